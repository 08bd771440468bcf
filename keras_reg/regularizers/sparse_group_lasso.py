"""SparseGroupLasso: whole groups to zero, and single weights in those that stay."""

from typing import Any

import keras
import numpy as np

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.group_rows import group_rows
from keras_reg.ops.grouping import Grouping
from keras_reg.ops.norms import (
    TINY,
    GroupAxis,
    check_group_axis,
    group_norms,
    with_sign_of,
)
from keras_reg.ops.prox import shrink_norms, soft_threshold
from keras_reg.ops.sums import full_sum
from keras_reg.regularizers.group_weights import (
    check_groups,
    check_no_groups,
    check_weights,
    group_factors,
    root_size,
    set_weights,
)
from keras_reg.regularizers.penalty import Penalty


@keras.saving.register_keras_serializable("keras_reg")
class SparseGroupLasso(Penalty):
    """A mixture of L1 and the group lasso.

    value:  strength * (l1_ratio * sum |w| + (1 - l1_ratio) * sum_g sqrt(n_g) * ||w_g||_2)
    prox:   that of L1, then that of GroupLasso on the result

    Removes units, filters, inputs or channels as a whole and, in those that stay, the weights they
    do not need. `l1_ratio=1` is `L1` and `l1_ratio=0` is `GroupLasso`.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        l1_ratio: float from 0 to 1. Share of L1.
        size_scaling: bool. Multiply each norm by sqrt(n_g), the square root of the group's size.
        weights: array-like of numbers >= 0, or None. A factor for all of each group's penalty, in
            the shape of the variable's group axes; groups with 0 are not penalized.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite, or l1_ratio is outside [0, 1], or
        weights are negative; at the first use if `group_axis` or `weights` does not fit.
    Reference: Simon, Friedman, Hastie & Tibshirani, Journal of Computational and Graphical
        Statistics 2013.

    Example:
        >>> penalty = SparseGroupLasso(1.0, l1_ratio=0.5, size_scaling=False)
        >>> w = keras.ops.array([[3.5, 0.4], [-4.5, 0.5]])
        >>> round(float(penalty(w)), 3)
        7.621
        >>> keras.ops.convert_to_numpy(penalty.prox(w, step=1.0)).round(2).tolist()
        [[2.7, 0.0], [-3.6, 0.0]]
    """

    is_in_numpy = True

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        group_axis: GroupAxis = "outputs",
        l1_ratio: float = 0.5,
        size_scaling: bool = True,
        weights: Any = None,
    ):
        super().__init__(strength)
        self.group_axis = check_group_axis(group_axis)
        self.l1_ratio = schedules.check_number(l1_ratio, "l1_ratio", at_least=0, at_most=1)
        self.size_scaling = schedules.check_flag(size_scaling, "size_scaling")
        self.weights = check_weights(weights)

    def _max_strength(self, gradient: Any) -> float:
        rows = ops.convert_to_numpy(group_rows(ops.cast(gradient, "float32"), self.group_axis))
        factors = np.ones(len(rows)) if self.weights is None else np.ravel(self.weights)
        rows, factors = rows[factors > 0], factors[factors > 0]
        strengths = _dual_norms(rows, self.l1_ratio, (1 - self.l1_ratio) * self._root(gradient))
        return float(np.max(strengths / factors, initial=0.0))

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        single, whole = (strength * factor for factor in self._factors(w))
        norms = group_norms(w, self.group_axis, keepdims=True)
        slope = gradient + whole * w / ops.maximum(norms, TINY)
        at_zero = ops.equal(w, 0.0)
        left = ops.where(at_zero, soft_threshold(gradient, single), slope + single * ops.sign(w))
        distance = group_norms(left, self.group_axis, keepdims=True)
        held = ops.where(ops.equal(norms, 0.0), ops.maximum(distance - whole, 0.0), distance)
        return ops.reshape(held, group_norms(w, self.group_axis).shape)

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        check_groups(self.weights, self.group_axis, shape, path)

    def get_config(self) -> dict:
        weights = {} if self.weights is None else {"weights": self.weights.tolist()}
        return {
            **super().get_config(),
            "group_axis": self.group_axis,
            "l1_ratio": self.l1_ratio,
            "size_scaling": self.size_scaling,
            **weights,
        }

    def _omega(self, w: Any) -> Any:
        single, whole = self._factors(w)
        norms = group_norms(w, self.group_axis, keepdims=True)
        return full_sum(single * ops.abs(w)) + ops.sum(whole * norms)

    def _gradient(self, w: Any) -> Any:
        single, whole = self._factors(w)
        norms = group_norms(w, self.group_axis, keepdims=True)
        return with_sign_of(w, single) + w * (whole / ops.maximum(norms, TINY))

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        single, whole = (scale * factor for factor in self._factors(w))
        shrunk = soft_threshold(w, single)
        return shrink_norms(shrunk, self.group_axis, lambda norms: soft_threshold(norms, whole))

    def _prox_of_groups(
        self, ws: list[Any], grouping: Grouping, step: Any, iteration: Any
    ) -> list[Any]:
        scale = self._scale(step, iteration, ws[0].dtype)
        in_none = [ops.zeros((count,), "bool") for count in grouping.counts]
        others = grouping.spread(in_none, ops.logical_and)
        single = scale * self.l1_ratio
        shrunk = [
            soft_threshold(w, ops.where(other, 0.0, single))
            for w, other in zip(ws, others, strict=True)
        ]
        weights, factors = set_weights(grouping, self.size_scaling), []
        for norms, weight in zip(grouping.norms(shrunk), weights, strict=True):
            norms = ops.clip(norms, TINY, np.inf)
            whole = scale * ((1 - self.l1_ratio) * weight)
            factors.append(soft_threshold(norms, whole) / norms)
        return [w * one for w, one in zip(shrunk, grouping.spread(factors), strict=True)]

    def _omega_of_groups(self, ws: list[Any], grouping: Grouping) -> Any:
        in_none = [ops.zeros((count,), "bool") for count in grouping.counts]
        others = grouping.spread(in_none, ops.logical_and)
        single = sum(
            ops.sum(ops.where(other, 0.0, ops.abs(w))) for w, other in zip(ws, others, strict=True)
        )
        pairs = zip(grouping.norms(ws), set_weights(grouping, self.size_scaling), strict=True)
        whole = sum(weight * ops.sum(norms) for norms, weight in pairs)
        return self.l1_ratio * single + (1 - self.l1_ratio) * whole

    def check_grouping(self, grouping: Grouping) -> None:
        super().check_grouping(grouping)
        check_no_groups(self)

    def _factors(self, w: Any) -> tuple[Any, Any]:
        """What multiplies the absolute values and the norms, to broadcast against both."""
        single, whole = self.l1_ratio, (1 - self.l1_ratio) * self._root(w)
        factors = group_factors(self.weights, w, self.group_axis)
        return single * factors, whole * factors

    def _root(self, w: Any) -> float:
        return root_size(w, self.group_axis) if self.size_scaling else 1.0


def _dual_norms(rows: np.ndarray, single: float, whole: float) -> np.ndarray:
    """For each row the t that solves ||soft_threshold(row, t * single)||_2 = t * whole.

    The entries that pass the threshold are the largest few; once their number is known, t solves
    a quadratic equation. float64, as sums of squares cancel.
    """
    size = -np.sort(-np.abs(rows.astype("float64")), axis=1)
    counts = np.arange(1, size.shape[1] + 1)
    totals, squares = np.cumsum(size, axis=1), np.cumsum(size**2, axis=1)
    left = squares - 2 * size * totals + counts * size**2
    passing = np.maximum(np.sum(single**2 * left < (whole * size) ** 2, axis=1), 1)
    total, square = (
        np.take_along_axis(x, passing[:, None] - 1, 1)[:, 0] for x in (totals, squares)
    )
    inside = (single * total) ** 2 - (passing * single**2 - whole**2) * square
    below = single * total + np.sqrt(np.maximum(inside, 0.0))
    return np.divide(square, below, out=np.zeros_like(square), where=below > 0)
