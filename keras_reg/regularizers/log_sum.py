"""LogSum: the logarithm of the weights, the limit of reweighted L1."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.ops.norms import TINY, GroupAxis
from keras_reg.ops.roots import inverse_root
from keras_reg.ops.sums import folded
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class LogSum(RadialPenalty):
    """Sum of logarithms.

    value:  strength * sum(log(1 + |w| / epsilon))
    prox:   sign(w) * max(0, u) if that is lower than 0 is, else 0, with s = step * strength and
            u = (|w| - epsilon + sqrt((|w| + epsilon)**2 - 4 * s)) / 2, where the root is real

    What L1 with weights 1 / (|w| + epsilon), computed again and again, goes to: it shrinks large
    weights less than small ones. A small epsilon is near L0, and a large one near L1, with
    `LogSum(strength, epsilon)` near `L1(strength / epsilon)`, the slope at zero.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        epsilon: float > 0. The size of a weight at which the slope is half of that at zero.
        group_axis: int, tuple of ints or None. Axes that index the groups.
        size_scaling: bool. With groups, multiply by the square root of the group's size.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite, or epsilon is not positive.
    Reference: Candes, Wakin & Boyd, J. Fourier Anal. Appl. 2008; Prater-Bennette, Shen & Tripp,
        J. Sci. Comput. 2022, for the proximal operator.

    Example:
        >>> penalty = LogSum(0.5, epsilon=1.0)
        >>> round(float(penalty(keras.ops.array([0.0, -1.0]))), 4)
        0.3466
        >>> w = penalty.prox(keras.ops.array([2.0, -0.4]), step=1.0)
        >>> [round(float(x), 4) for x in ops.abs(w)]
        [1.8229, 0.0]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        epsilon: float = 0.1,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
    ):
        super().__init__(strength, group_axis, size_scaling)
        self.epsilon = schedules.check_number(epsilon, "epsilon", at_least=TINY)

    def _value(self, r: Any) -> Any:
        return ops.log1p(r / self.epsilon)

    def _prox(self, r: Any, step: Any) -> Any:
        a = r + self.epsilon
        root = a * ops.sqrt(ops.maximum(1.0 - 4.0 * (step / a) / a, 0.0))
        # The formula of the class less r, so that a step of 0 gives r bit for bit. Without a real
        # root the objective rises from 0, and the comparison below finds 0 lower.
        u = r - 2.0 * step / (a + root)
        positive = ops.greater(u, 0.0)
        divisor = ops.where(positive, u, 1.0)
        rise = u / 2.0 - r + step * (ops.log1p(divisor / self.epsilon) / divisor)
        convex = ops.less_equal(step, self.epsilon**2)
        higher = ops.logical_and(ops.greater_equal(rise, 0.0), ops.logical_not(convex))
        return ops.where(ops.logical_or(ops.less_equal(u, 0.0), higher), 0.0, u)

    def _slope(self, r: Any) -> Any:
        return ops.square(inverse_root(r + self.epsilon, 2))

    def _omega(self, w: Any) -> Any:
        ratios = self._norms(w) / self.epsilon
        # One logarithm for a product (1 + a)(1 + b) = 1 + (a + b + a * b), if that is in range.
        products = folded(ratios, lambda a, b: a + b + a * b)
        if products is ratios:
            return super()._omega(w)
        value = ops.sum(ops.log1p(products)) * self._factors(w)
        return ops.cond(ops.isfinite(value), lambda: value, partial(super()._omega, w))

    def get_config(self) -> dict:
        return {**super().get_config(), "epsilon": self.epsilon}
