"""MCP: the minimax concave penalty."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import TINY, GroupAxis
from keras_reg.ops.prox import capped_soft_threshold, soft_threshold
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class MCP(RadialPenalty):
    """L1 near zero, with a slope that falls to nothing at `gamma`.

    value:  strength * sum(c * phi(|w|)), c = `weights`, 1 without,
            phi(r) = r - r**2 / (2 * gamma) up to gamma, then gamma / 2
    prox:   with s = step * strength * c, and each with the sign of w,
            s < gamma:  min(|w|, max(0, |w| - s) / (1 - s / gamma))
            s >= gamma: 0 if |w| <= sqrt(s * gamma) else |w|

    Zeros as with L1, and no shrinkage of weights larger than gamma. Where L1 needs a refit of what
    it selects, this does not; the price is local minima.

    `gamma` is a size of weights: those of networks lie between 0.01 and 1, and with a gamma above
    them all the penalty is L1. It does not move with the strength. In the textbook's p(lambda, g)
    it is lambda * g: `MCP(lambda, gamma=lambda * g)` has the same value, and the same proximal
    operator where that is defined, step < g. From step * strength * c = gamma on it is the hard
    threshold above.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        gamma: float > 0. The size from which a weight is not shrunk.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        size_scaling: bool. With groups, multiply by the square root of the group's size.
        weights: array-like of numbers >= 0, or None. One factor for each weight, in the variable's
            shape, or for each group, in the shape of the group axes. 0: not penalized.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength or one of the weights is negative or not finite, or gamma is not
        positive; at the first use if `weights` does not have the variable's shape.
    Reference: Zhang, Ann. Statist. 2010; Breheny & Huang, Stat. Comput. 2015, with groups.

    Example:
        >>> penalty = MCP(0.5, gamma=2.0)
        >>> float(penalty(keras.ops.array([1.0, -4.0])))
        0.875
        >>> w = penalty.prox([1.25, -4.0, 0.25], step=1.0)
        >>> keras.ops.convert_to_numpy(w).tolist()
        [1.0, -4.0, 0.0]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        gamma: float = 0.1,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
        weights: Any = None,
    ):
        super().__init__(strength, group_axis, size_scaling, weights=weights)
        self.gamma = schedules.check_number(gamma, "gamma", at_least=TINY)

    def _value(self, r: Any) -> Any:
        capped = ops.minimum(r, self.gamma)
        return capped - capped * (capped * (0.5 / self.gamma))

    def _prox(self, r: Any, step: Any) -> Any:
        convex = ops.less(step, self.gamma)
        firm = soft_threshold(r, step) / ops.where(convex, 1.0 - step / self.gamma, 1.0)
        # Beyond, the objective is concave up to gamma: its minimum is at 0 or at r, as with a cap
        # of the same height.
        hard = capped_soft_threshold(r, step, self.gamma / 2.0)
        return ops.where(convex, ops.minimum(r, firm), hard)

    def _slope(self, r: Any) -> Any:
        # A selection is cheaper than a maximum, which looks for NaN.
        return ops.where(ops.less(r, self.gamma), 1.0 - r * (1.0 / self.gamma), 0.0)

    def get_config(self) -> dict:
        return {**super().get_config(), "gamma": self.gamma}
