"""NM: N:M structured sparsity."""

from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.ops.blocks import largest_along
from keras_reg.regularizers.projection import Projection


@keras.saving.register_keras_serializable("keras_reg")
class NM(Projection):
    """Keeps the n largest of every m consecutive weights.

    value:  0 if every m consecutive weights along `axis` have at most n that are not 0, else
            infinity
    prox:   w for the n weights with the largest |w| of every m, 0 for the others

    For processors that skip zeros in this pattern: 2:4 along the inputs of a kernel is that of
    NVIDIA's sparse tensor cores. Train without it first, then go on with it in `Proximal`.

    Of equal weights the first are kept.

    Args:
        n: int >= 1. Weights kept of every m.
        m: int > n. Its work grows as m**2 for each block: meant for small blocks.
        axis: int. The axis the blocks lie along. -2: the inputs of a Dense kernel, the input
            channels of a Conv kernel.
    Shapes: w: rank 2 or more for the axis -2; m divides the length of the axis. value: (), float32.
        prox: as w, same dtype.
    Raises: ValueError if not 1 <= n < m, if it is put in a layer, or at the first use if m does not
        divide the length of the axis.
    Reference: Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021.

    Example:
        >>> w = NM(2, 4, axis=-1).prox(keras.ops.array([0.1, -3.0, 2.0, 0.5]), step=1.0)
        >>> keras.ops.convert_to_numpy(w).tolist()
        [0.0, -3.0, 2.0, 0.0]
    """

    def __init__(self, n: int = 2, m: int = 4, axis: int = -2):
        super().__init__()
        self.n = schedules.check_count(n, "n", at_least=1)
        self.m = schedules.check_count(m, "m", at_least=1)
        if not self.n < self.m:
            raise ValueError(f"Expected `n` to be below `m`. Received: n={n!r}, m={m!r}")
        if not isinstance(axis, int) or isinstance(axis, bool):
            raise ValueError(f"Expected `axis` to be an int. Received: axis={axis!r}")
        self.axis = axis

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        rank, name = len(shape), path or "a weight"
        if not -rank <= self.axis < rank:
            raise ValueError(
                f"Expected `axis` to be one of {name} of shape {shape}, from {-rank} to {rank - 1}."
                f" Received: axis={self.axis}"
            )
        if shape[self.axis] % self.m:
            raise ValueError(
                f"Expected m={self.m} to divide the length of axis {self.axis} of {name}. "
                f"Received: shape={shape}"
            )

    def get_config(self) -> dict:
        return {"n": self.n, "m": self.m, "axis": self.axis}

    def _kept(self, w: Any, iteration: Any) -> Any:
        axis = self.axis % len(w.shape)
        before, after = w.shape[:axis], w.shape[axis + 1 :]
        blocks = ops.reshape(ops.abs(w), (*before, w.shape[axis] // self.m, self.m, *after))
        return ops.reshape(largest_along(blocks, self.n, axis + 1), w.shape)
