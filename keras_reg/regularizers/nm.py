"""NM: N:M structured sparsity."""

import math
from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.blocks import largest_along
from keras_reg.ops.norms import GroupAxis, check_group_axis, reduced_axes
from keras_reg.regularizers.projection import Projection
from keras_reg.structure import Layout


@keras.saving.register_keras_serializable("keras_reg")
class NM(Projection):
    """Keeps the n largest of every m consecutive weights.

    value:  0 if every m consecutive weights along `axis` have at most n that are not 0, else
            infinity
    prox:   w for the n weights with the largest |w| of every m, 0 for the others

    For processors that skip zeros in this pattern: 2:4 along the inputs of a kernel is that of
    NVIDIA's sparse tensor cores. Train without it first, then go on with it in `Proximal`.

    Of equal weights the first are kept. Blocks along "inputs" lie along the axis that a product
    with the kernel sums over: several axes, such as heads and their sizes in the output projection
    of attention, are one after another, and the height and width of a filter stay apart.

    Args:
        n: int >= 1. Weights kept of every m.
        m: int > n. Its work grows as m**2 for each block: meant for small blocks.
        axis: "inputs", "outputs", int or tuple of ints. The axis the blocks lie along, or several
            as one. "inputs": the inputs of a kernel, the input channels of a convolution.
        skip_unfit: bool. In `Proximal`, leave out weights that m does not divide, such as a first
            convolution on three colours, in place of an error that lists them.
    Shapes: w: rank 2 or more for inputs; m divides the length of the axis. value: (), float32.
        prox: as w, same dtype.
    Raises: ValueError if not 1 <= n < m, if it is put in a layer, or at the first use if m does not
        divide the length of the axis.
    Reference: Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021.

    Example:
        >>> w = NM(2, 4, axis=-1).prox(keras.ops.array([0.1, -3.0, 2.0, 0.5]), step=1.0)
        >>> keras.ops.convert_to_numpy(w).tolist()
        [0.0, -3.0, 2.0, 0.0]
    """

    _axis_argument = "axis"

    def __init__(
        self,
        n: int = 2,
        m: int = 4,
        axis: GroupAxis = "inputs",
        skip_unfit: bool = False,
    ):
        super().__init__()
        self.n = schedules.check_count(n, "n", at_least=1)
        self.m = schedules.check_count(m, "m", at_least=1)
        if not self.n < self.m:
            raise ValueError(f"Expected `n` to be below `m`. Received: n={n!r}, m={m!r}")
        if axis is None:
            raise ValueError(f"Expected `axis` to name an axis. Received: axis={axis!r}")
        self.axis = check_group_axis(axis, "axis")
        self.skip_unfit = schedules.check_flag(skip_unfit, "skip_unfit")

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        axes, _ = self._axes(shape, path)
        if math.prod(shape[axis] for axis in axes) % self.m:
            raise ValueError(
                f"Expected m={self.m} to divide the length of axis {self.axis} of "
                f"{path or 'a weight'}. Received: shape={shape}"
            )

    def get_config(self) -> dict:
        return {"n": self.n, "m": self.m, "axis": self.axis, "skip_unfit": self.skip_unfit}

    def _axes_in(self, layout: Layout) -> tuple[int, ...]:
        return layout.inputs if self.axis == "inputs" else layout.outputs

    def _kept(self, w: Any, iteration: Any) -> Any:
        shape = tuple(w.shape)
        axes, others = self._axes(shape)
        # The axes of the blocks side by side, where they mostly are already.
        at = sum(other < axes[0] for other in others)
        order = (*others[:at], *axes, *others[at:])
        moved = ops.transpose(ops.abs(w), order)
        before, after = ([shape[axis] for axis in part] for part in (others[:at], others[at:]))
        blocks = ops.reshape(moved, (*before, -1, self.m, *after))
        kept = ops.reshape(largest_along(blocks, self.n, at + 1), moved.shape)
        return ops.transpose(kept, [order.index(axis) for axis in range(len(shape))])

    def _axes(
        self, shape: tuple[int, ...], path: str = ""
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes that blocks lie along, in the order given, and all others."""
        others = reduced_axes(shape, self.axis, path, "axis")
        named: Any = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        return tuple(axis % len(shape) for axis in named), others
