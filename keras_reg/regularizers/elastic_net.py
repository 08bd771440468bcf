"""ElasticNet: L1 and L2 together."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops.norms import GroupAxis, reduced_axes, with_sign_of
from keras_reg.ops.prox import soft_threshold
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class ElasticNet(RadialPenalty):
    """A mixture of L1 and L2.

    value:  strength * sum(l1_ratio * |w| + (1 - l1_ratio) * w**2)
    prox:   sign(w) * max(0, |w| - s * l1_ratio) / (1 + 2 * s * (1 - l1_ratio)), s = step * strength

    Keeps or drops correlated inputs together, where L1 keeps one of them by chance.
    `ElasticNet(s, 1)` is `L1(s)` and `ElasticNet(s, 0)` is `L2(s)`. scikit-learn halves its square:
    its (alpha, rho) is strength = alpha * (1 + rho) / 2 and l1_ratio = 2 * rho / (1 + rho) here.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        l1_ratio: float from 0 to 1. Share of L1.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        size_scaling: bool. With groups, multiply by the square root of the group's size.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite, or l1_ratio is outside [0, 1].
    Reference: Zou & Hastie, JRSS-B 2005.

    Example:
        >>> penalty = ElasticNet(1.0, l1_ratio=0.5)
        >>> float(penalty(keras.ops.array([1.0, -2.0])))
        4.0
        >>> keras.ops.convert_to_numpy(penalty.prox([1.5, -0.25], step=1.0)).tolist()
        [0.5, -0.0]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        l1_ratio: float = 0.5,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
    ):
        super().__init__(strength, group_axis, size_scaling)
        self.l1_ratio = schedules.check_number(l1_ratio, "l1_ratio", at_least=0, at_most=1)

    def _value(self, r: Any) -> Any:
        return self.l1_ratio * r + (1 - self.l1_ratio) * r * r

    def _prox(self, r: Any, step: Any) -> Any:
        shrunk = soft_threshold(r, step * self.l1_ratio)
        return shrunk / (1.0 + 2.0 * step * (1 - self.l1_ratio))

    def _slope(self, r: Any) -> Any:
        return self.l1_ratio + 2.0 * (1 - self.l1_ratio) * r

    def _gradient(self, w: Any) -> Any:
        if reduced_axes(tuple(w.shape), self.group_axis):
            return super()._gradient(w)
        pull = with_sign_of(w, self.l1_ratio) + 2.0 * (1 - self.l1_ratio) * w
        return self._factors(w) * pull

    def get_config(self) -> dict:
        return {**super().get_config(), "l1_ratio": self.l1_ratio}
