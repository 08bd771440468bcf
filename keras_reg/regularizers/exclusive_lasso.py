"""ExclusiveLasso: competition inside each group."""

import math
from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.group_rows import group_rows
from keras_reg.ops.norms import (
    GroupAxis,
    check_group_axis,
    group_norms,
    reduced_axes,
    safe_norm,
    with_sign_of,
)
from keras_reg.ops.prox import soft_threshold
from keras_reg.ops.sums import reduced
from keras_reg.ops.thresholds import squared_sum_threshold
from keras_reg.regularizers.penalty import Penalty


@keras.saving.register_keras_serializable("keras_reg")
class ExclusiveLasso(Penalty):
    """Sum of the squared L1 norm of each group: sparse inside groups, and no group is lost.

    value:  strength * sum_g (sum_i |w_gi|)**2
    prox:   sign(w_gi) * max(0, |w_gi| - t_g), t_g = 2 * step * strength * sum_i |prox_gi|

    The opposite of `GroupLasso`: the weights of a group compete, so that each unit keeps a few
    inputs of its own (`group_axis="outputs"`) or each input serves a few units ("inputs").

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype. `max_strength` is infinite
        unless the gradient is zero: the penalty is flat at zero.
    Raises: ValueError if strength is negative or not finite; at the first use if `group_axis` is
        out of the variable's range.
    Reference: Zhou, Jin & Hoi, AISTATS 2010; Kowalski, Applied and Computational Harmonic Analysis
        2009, for prox.

    Example:
        >>> penalty = ExclusiveLasso(0.5)
        >>> w = keras.ops.array([[3.0, 2.0], [0.5, 0.0]])
        >>> float(penalty(w))
        8.125
        >>> keras.ops.convert_to_numpy(penalty.prox(w, step=1.0)).tolist()
        [[1.5, 1.0], [0.0, 0.0]]
    """

    is_in_numpy = True

    def __init__(self, strength: schedules.Value = 0.01, group_axis: GroupAxis = "outputs"):
        super().__init__(strength)
        self.group_axis = check_group_axis(group_axis)

    def _max_strength(self, gradient: Any) -> float:
        return math.inf if float(ops.max(ops.abs(gradient))) > 0.0 else 0.0

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        rows, slope = group_rows(w, self.group_axis), group_rows(gradient, self.group_axis)
        limit = 2.0 * strength * ops.sum(ops.abs(rows), axis=1, keepdims=True)
        at_zero = ops.equal(rows, 0.0)
        left = ops.where(at_zero, soft_threshold(slope, limit), slope + limit * ops.sign(rows))
        return ops.reshape(safe_norm(left, axis=1), group_norms(w, self.group_axis).shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "group_axis": self.group_axis}

    def _omega(self, w: Any) -> Any:
        return ops.sum(ops.square(self._sums(w)))

    def _gradient(self, w: Any) -> Any:
        return with_sign_of(w, 2.0 * self._sums(w))

    def _sums(self, w: Any) -> Any:
        return reduced(ops.abs(w), reduced_axes(tuple(w.shape), self.group_axis), keepdims=True)

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        axes = reduced_axes(tuple(w.shape), self.group_axis)
        return soft_threshold(w, squared_sum_threshold(ops.abs(w), scale, axes))
