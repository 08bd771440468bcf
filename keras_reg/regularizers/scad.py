"""SCAD: the smoothly clipped absolute deviation."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import TINY, GroupAxis
from keras_reg.ops.prox import capped_soft_threshold, soft_threshold
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class SCAD(RadialPenalty):
    """L1 up to `gamma / a`, with a slope that falls to nothing from there to `gamma`.

    value:  strength * sum(c * phi(|w|)), c = `weights`, 1 without; with k = gamma / a,
            phi(r) = r up to k, r - (r - k)**2 / (2 * (gamma - k)) up to gamma, then (gamma + k) / 2
    prox:   with s = step * strength * c, d = gamma - k, and each with the sign of w,
            s < d:  the larger of max(0, |w| - s) and min(|w|, (|w| - s * gamma / d) / (1 - s / d))
            s >= d: |w| if |w| > t else max(0, |w| - s),
                    t = (gamma + k + s) / 2 if s < gamma + k else sqrt(s * (gamma + k))

    Zeros as with L1, and no shrinkage of weights larger than gamma. Between `CappedL1` (a near 1)
    and `MCP` (a large), it treats the smallest weights exactly as L1 does.

    `gamma` is a size of weights: those of networks lie between 0.01 and 1, and with a gamma above
    them all the penalty is L1. It does not move with the strength. The textbook's p(lambda, a),
    with knots at lambda and a * lambda, is `SCAD(lambda, gamma=a * lambda, a=a)`: the same value,
    and the same proximal operator for step 1 and a > 2.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        gamma: float > 0. The size from which a weight is not shrunk.
        a: float > 1. gamma as a multiple of the size up to which the penalty is L1.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        size_scaling: bool. With groups, multiply by the square root of the group's size.
        weights: array-like of numbers >= 0, or None. One factor for each weight, in the variable's
            shape, or for each group, in the shape of the group axes. 0: not penalized.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength or one of the weights is negative or not finite, gamma is not
        positive or a not above 1; at the first use if `weights` does not have the variable's shape.
    Reference: Fan & Li, JASA 2001.

    Example:
        >>> penalty = SCAD(0.5, gamma=3.0, a=3.0)
        >>> float(penalty(keras.ops.array([1.0, -4.0])))
        1.5
        >>> w = penalty.prox([1.25, -4.0, 0.25], step=1.0)
        >>> keras.ops.convert_to_numpy(w).tolist()
        [0.75, -4.0, 0.0]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        gamma: float = 0.1,
        a: float = 3.7,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
        weights: Any = None,
    ):
        super().__init__(strength, group_axis, size_scaling, weights=weights)
        self.gamma = schedules.check_number(gamma, "gamma", at_least=TINY)
        self.a = schedules.check_number(a, "a", at_least=1.001)

    @property
    def _knot(self) -> float:
        return self.gamma / self.a

    def _value(self, r: Any) -> Any:
        capped = ops.minimum(r, self.gamma)
        beyond = ops.maximum(capped - self._knot, 0.0)
        return capped - beyond * (beyond * (0.5 / (self.gamma - self._knot)))

    def _prox(self, r: Any, step: Any) -> Any:
        width = self.gamma - self._knot
        convex = ops.less(step, width)
        soft = soft_threshold(r, step)
        bend = (r - step * (self.gamma / width)) / ops.where(convex, 1.0 - step / width, 1.0)
        # Beyond, the objective is concave between the knots: its minimum is the soft threshold or
        # r, as with a cap of the same height.
        capped = capped_soft_threshold(r, step, (self.gamma + self._knot) / 2.0)
        return ops.where(convex, ops.maximum(soft, ops.minimum(r, bend)), capped)

    def _slope(self, r: Any) -> Any:
        # Selections are cheaper than `ops.clip`, which looks for NaN.
        falling = (self.gamma - r) * (1.0 / (self.gamma - self._knot))
        slope = ops.where(ops.less(r, self._knot), 1.0, falling)
        return ops.where(ops.less(r, self.gamma), slope, 0.0)

    def get_config(self) -> dict:
        return {**super().get_config(), "gamma": self.gamma, "a": self.a}
