"""GroupLInf: groups to zero by their largest weight."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.group_rows import group_rows
from keras_reg.ops.norms import (
    GroupAxis,
    check_group_axis,
    group_norms,
    group_size,
    reduced_axes,
    safe_norm,
    with_sign_of,
)
from keras_reg.ops.sums import full_sum, reduced
from keras_reg.ops.thresholds import ball_threshold
from keras_reg.regularizers.penalty import Penalty


@keras.saving.register_keras_serializable("keras_reg")
class GroupLInf(Penalty):
    """Sum of the largest absolute value of each group.

    value:  strength * sum_g max_i |w_gi|
    prox:   clip(w_g, -t_g, t_g), where sum_i max(0, |w_gi| - t_g) = step * strength, or 0 if there
        is no such t_g: w_g less its projection on the L1 ball of radius step * strength

    Zeros whole groups as `GroupLasso` does, and levels the weights of those it keeps: a group that
    is used at all costs no more when all of it is used. For inputs shared by many units or tasks.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups;
            the maximum runs over the others.
        size_scaling: bool. Multiply by n_g, the group's size: the dual norm is the sum of n_g
            absolute values, as that of `GroupLasso` is the root of a sum of n_g squares. Papers
            leave it out, hence False.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite; at the first use if `group_axis` is
        out of the variable's range.
    Reference: Turlach, Venables & Wright, Technometrics 2005; Quattoni et al., ICML 2009.

    Example:
        >>> penalty = GroupLInf(1.0)
        >>> w = keras.ops.array([[3.0, 0.25], [1.0, 0.5]])
        >>> float(penalty(w))
        3.5
        >>> keras.ops.convert_to_numpy(penalty.prox(w, step=1.0)).tolist()
        [[2.0, 0.0], [1.0, 0.0]]
    """

    is_in_numpy = True

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        group_axis: GroupAxis = "outputs",
        size_scaling: bool = False,
    ):
        super().__init__(strength)
        self.group_axis = check_group_axis(group_axis)
        self.size_scaling = schedules.check_flag(size_scaling, "size_scaling")

    def _max_strength(self, gradient: Any) -> float:
        sums = ops.sum(ops.abs(group_rows(gradient, self.group_axis)), axis=1)
        return float(ops.max(sums)) / self._group_weight(gradient)

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        factor = strength * self._group_weight(w)
        rows, pull = group_rows(w, self.group_axis), -group_rows(gradient, self.group_axis)
        size = ops.abs(rows)
        largest = ops.max(size, axis=1, keepdims=True)
        # The subgradients share `factor` among the largest weights, each along its own sign.
        is_largest = ops.equal(size, largest)
        along = ops.where(is_largest, pull * ops.sign(rows), -float("inf"))
        over = ops.minimum(along, ball_threshold(along, factor, (1,)))
        moving = safe_norm(ops.where(is_largest, over, pull), axis=1)
        limit = ops.maximum(ball_threshold(ops.abs(pull), factor, (1,)), 0.0)
        resting = safe_norm(pull - ops.sign(pull) * ops.maximum(ops.abs(pull) - limit, 0.0), axis=1)
        distance = ops.where(ops.equal(largest[:, 0], 0.0), resting, moving)
        return ops.reshape(distance, group_norms(w, self.group_axis).shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "group_axis": self.group_axis,
            "size_scaling": self.size_scaling,
        }

    def _omega(self, w: Any) -> Any:
        return self._group_weight(w) * full_sum(self._largest(w))

    def _gradient(self, w: Any) -> Any:
        largest = self._largest(w)
        # The largest weights of a group share its pull, as backends do.
        is_largest = ops.cast(ops.greater_equal(ops.abs(w), largest), w.dtype)
        ties = reduced(is_largest, reduced_axes(tuple(w.shape), self.group_axis), keepdims=True)
        pull = self._group_weight(w) / ties
        return ops.where(ops.greater_equal(ops.abs(w), largest), with_sign_of(w, pull), 0.0)

    def _largest(self, w: Any) -> Any:
        axes = reduced_axes(tuple(w.shape), self.group_axis)
        return reduced(ops.abs(w), axes, True, ops.max, ops.maximum)

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        axes = reduced_axes(tuple(w.shape), self.group_axis)
        level = ball_threshold(ops.abs(w), scale * self._group_weight(w), axes)
        level = ops.where(level < 0, 0.0, level)
        return ops.clip(w, -level, level)

    def _group_weight(self, w: Any) -> float:
        return float(group_size(tuple(w.shape), self.group_axis)) if self.size_scaling else 1.0
