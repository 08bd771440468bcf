"""CappedL1: L1 up to a cap."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import TINY, GroupAxis
from keras_reg.ops.prox import capped_soft_threshold
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class CappedL1(RadialPenalty):
    """L1 that charges no weight more than that of size `cap`.

    value:  strength * sum(min(|w|, cap))
    prox:   w if |w| > t else sign(w) * max(0, |w| - s), with s = step * strength and
            t = cap + s / 2 if s < 2 * cap else sqrt(2 * s * cap)

    Small weights are those of L1 and large ones are not shrunk at all. The plainest penalty of the
    kind; `MCP` and `SCAD` go from the one to the other without a jump in the slope.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        cap: float > 0. The size from which a weight is not shrunk.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        size_scaling: bool. With groups, multiply by the square root of the group's size.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite, or cap is not positive.
    Reference: Zhang, JMLR 2010, "Analysis of Multi-stage Convex Relaxation for Sparse
        Regularization".

    Example:
        >>> penalty = CappedL1(0.5, cap=2.0)
        >>> float(penalty(keras.ops.array([1.0, -4.0])))
        1.5
        >>> keras.ops.convert_to_numpy(penalty.prox([1.0, -4.0], step=1.0)).tolist()
        [0.5, -4.0]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        cap: float = 1.0,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
    ):
        super().__init__(strength, group_axis, size_scaling)
        self.cap = schedules.check_number(cap, "cap", at_least=TINY)

    def _value(self, r: Any) -> Any:
        return ops.minimum(r, self.cap)

    def _prox(self, r: Any, step: Any) -> Any:
        return capped_soft_threshold(r, step, self.cap)

    def _slope(self, r: Any) -> Any:
        return ops.where(ops.greater_equal(r, self.cap), 0.0, ops.ones_like(r))

    def get_config(self) -> dict:
        return {**super().get_config(), "cap": self.cap}
