"""TotalVariation: piecewise constant weights."""

import math
from typing import Any

import keras
import numpy as np

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.group_rows import from_group_rows, group_rows
from keras_reg.ops.isotonic import isotonic_fit
from keras_reg.ops.norms import safe_norm
from keras_reg.ops.sums import full_sum
from keras_reg.regularizers.penalty import Penalty


@keras.saving.register_keras_serializable("keras_reg")
class TotalVariation(Penalty):
    """Sum of the absolute differences of neighbours along one axis: the fused lasso.

    value:  strength * sum_i |w_{i+1} - w_i|
    prox:   exact, with neighbours exactly equal wherever the penalty fuses them

    For an axis with an order (time, frequency, positions, classes by age), along which weights
    should be flat with few jumps. Zero is no better to it than any other constant: no weight
    becomes zero. Its prox takes O(n log(n)**2) work for a line of n weights, all lines at once.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        axis: int. The axis whose neighbours are compared.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype. `stationarity`: w's shape
        without `axis`. `max_strength` is infinite unless the gradient adds up to 0 along each line.
    Raises: ValueError if strength is negative or not finite, or axis is no int; at the first use if
        `axis` is out of the variable's range.
    Reference: Tibshirani, Saunders, Rosset, Zhu & Knight, JRSS-B 2005.

    Example:
        >>> penalty = TotalVariation(1.0)
        >>> w = keras.ops.array([0.0, 1.0, 5.0, 6.0])
        >>> float(penalty(w))
        6.0
        >>> keras.ops.convert_to_numpy(penalty.prox(w, step=1.0)).tolist()
        [1.0, 1.0, 5.0, 5.0]
    """

    is_in_numpy = True
    fusible = False

    def __init__(self, strength: schedules.Value = 0.01, axis: int = 0):
        super().__init__(strength)
        if not isinstance(axis, int) or isinstance(axis, bool):
            raise ValueError(f"Expected `axis` to be an int. Received: axis={axis!r}")
        self.axis = axis

    def _max_strength(self, gradient: Any) -> float:
        lines = ops.convert_to_numpy(self._lines(ops.cast(gradient, "float32")))
        totals = np.cumsum(lines.astype("float64"), axis=1)
        return math.inf if np.any(totals[:, -1] != 0.0) else float(np.max(np.abs(totals)))

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        lines = self._lines(w)
        jumps = ops.sign(lines[:, 1:] - lines[:, :-1])
        # What no choice of subgradient between the jumps can cancel, by Moreau's identity.
        left = isotonic_fit(-self._lines(gradient), strength, strength, jumps)
        others = [length for at, length in enumerate(w.shape) if at != self.axis % len(w.shape)]
        return ops.reshape(safe_norm(left, axis=1), others)

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        if not -len(shape) <= self.axis < len(shape):
            raise ValueError(
                f"Expected `axis` to be an axis of {path or 'a weight'} of shape {tuple(shape)}. "
                f"Received: axis={self.axis}"
            )

    def get_config(self) -> dict:
        return {**super().get_config(), "axis": self.axis}

    def _omega(self, w: Any) -> Any:
        return full_sum(ops.abs(self._slice(w, 1, None) - self._slice(w, None, -1)))

    def _gradient(self, w: Any) -> Any:
        if w.shape[self.axis] == 1:
            return ops.zeros_like(w)
        later, earlier = self._slice(w, 1, None), self._slice(w, None, -1)
        # In bytes, as XLA writes them out: the optimizer reads each of them several times.
        rises, falls = ops.greater(later, earlier), ops.less(later, earlier)
        signs = ops.cast(rises, "int8") - ops.cast(falls, "int8")
        inner = self._slice(signs, None, -1) - self._slice(signs, 1, None)
        ends = -self._slice(signs, None, 1), self._slice(signs, -1, None)
        return ops.cast(ops.concatenate([ends[0], inner, ends[1]], axis=self.axis), w.dtype)

    def _slice(self, x: Any, start: int | None, stop: int | None) -> Any:
        """Along the axis of the penalty."""
        return x[(*(slice(None),) * (self.axis % len(x.shape)), slice(start, stop))]

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        fitted = isotonic_fit(self._lines(w), scale, scale)
        fused = from_group_rows(fitted, tuple(w.shape), self._others(w))
        return ops.where(ops.equal(scale, 0.0), w, fused)

    def _others(self, w: Any) -> tuple[int, ...]:
        """The axes that index the lines."""
        rank = len(w.shape)
        return tuple(at for at in range(rank) if at != self.axis % rank)

    def _lines(self, w: Any) -> Any:
        return group_rows(w, self._others(w))
