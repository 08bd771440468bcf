"""HoyerSquare: sparsity whatever the scale."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import (
    TINY,
    GroupAxis,
    check_group_axis,
    group_norms,
    reduced_axes,
    with_sign_of,
)
from keras_reg.ops.sums import full_sum
from keras_reg.regularizers.penalty import Penalty


@keras.saving.register_keras_serializable("keras_reg")
class HoyerSquare(Penalty):
    """Squared ratio of the L1 and the L2 norm: it counts the weights that matter.

    value:  strength * sum(|w|)**2 / sum(w**2), from 1 (one non-zero) to n (all equal), times
        strength; 0 for a zero weight. With groups, of the group norms.
    prox:   none; a layer's `kernel_regularizer` is its place

    Pushes small weights towards zero and lets large ones grow, with no shrinkage as a whole: the
    value is the same for w and 2 * w. No weight becomes exactly zero; cut them after training.

    Args:
        strength: float >= 0.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups;
            None: single weights.
    Shapes: w: any rank. value: (), float32. `max_strength` is 0: the value jumps at zero, so that
        zero is a local minimum at every strength.
    Raises: ValueError if strength is negative or not finite; in `prox`; at the first use if
        `group_axis` is out of the variable's range.
    Reference: Yang, Wen & Li, "DeepHoyer", ICLR 2020.

    Example:
        >>> penalty = HoyerSquare(1.0)
        >>> float(penalty(keras.ops.array([2.0, -2.0, 0.0]))), float(penalty([0.5, 0.0, 0.0]))
        (2.0, 1.0)
    """

    is_in_numpy = True

    def __init__(self, strength: schedules.Value = 0.01, group_axis: GroupAxis = None):
        super().__init__(strength)
        self.group_axis = check_group_axis(group_axis)

    def _max_strength(self, gradient: Any) -> float:
        return 0.0

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        norms = group_norms(w, self.group_axis, keepdims=True)
        total, square = ops.sum(norms), ops.maximum(ops.sum(ops.square(norms)), TINY)
        steepest = 2.0 * strength * total / square
        slope = steepest * (1.0 - total * norms / square)
        moving = group_norms(gradient + slope * w / ops.maximum(norms, TINY), self.group_axis)
        resting = ops.maximum(group_norms(gradient, self.group_axis) - steepest, 0.0)
        at_zero = ops.equal(group_norms(w, self.group_axis), 0.0)
        distance = ops.where(at_zero, resting, moving)
        return ops.where(ops.equal(total, 0.0), ops.zeros_like(distance), distance)

    def get_config(self) -> dict:
        return {**super().get_config(), "group_axis": self.group_axis}

    def _omega(self, w: Any) -> Any:
        return self._shares(w)[2]

    def _gradient(self, w: Any) -> Any:
        sum_of_norms, shares, ratio = self._shares(w)
        is_single = not reduced_axes(tuple(w.shape), self.group_axis)
        direction = with_sign_of(w, 1.0) if is_single else w / ops.maximum(self._norms(w), TINY)
        return (2.0 * ratio / sum_of_norms) * (direction - shares * ratio)

    def _shares(self, w: Any) -> tuple[Any, Any, Any]:
        """The sum of the norms, each weight as a share of it, and the sum's square over theirs.

        The squares of shares neither over- nor underflow where those of the weights do.
        """
        sum_of_norms = ops.maximum(full_sum(self._norms(w)), TINY)
        shares = w * (1.0 / sum_of_norms)
        square = full_sum(ops.square(shares))
        return sum_of_norms, shares, ops.where(square > 0.0, 1.0 / ops.maximum(square, TINY), 0.0)

    def _norms(self, w: Any) -> Any:
        if not reduced_axes(tuple(w.shape), self.group_axis):
            return ops.abs(w)
        largest = ops.maximum(ops.max(ops.abs(w)), TINY)
        return largest * group_norms(w / largest, self.group_axis, keepdims=True)
