"""Lq: a power of the weights below one, between L0 and L1."""

import math
from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import GroupAxis
from keras_reg.ops.roots import LARGEST, inverse_root
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class Lq(RadialPenalty):
    """Sum of square roots, or of cube roots squared, of the absolute values.

    value:  strength * sum(|w|**q), q = 1/2 or 2/3
    prox:   with s = step * strength, and each with the sign of w,
            q = 1/2: 0 if |w| <= 1.5 * s**(2/3), else |w| * 2/3 * (1 + cos(2/3 * (pi - p))),
                     p = arccos(s / 4 * (|w| / 3)**-1.5)
            q = 2/3: 0 if |w| <= 2 * (2/3 * s)**(3/4), else y**3,
                     y the largest root of y**4 - |w| * y + 2/3 * s

    Sparser than L1 at the same error and with less shrinkage of large weights; these two powers are
    those whose proximal operator has a closed form. It has many local minima: start from trained
    weights, or raise the strength by a schedule.

    The slope at zero is infinite. The gradient of the value is set to 0 at exactly zero; anywhere
    else it is the true one, or that at 2**-120 if a weight is smaller: finite, but so large near
    zero that in a layer it is best trained with an optimizer that normalizes its gradients. Every
    strength > 0 makes zero a local minimum: `max_strength` is 0.0 and `stationarity` is 0 at zero.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        q: float, 1/2 or 2/3.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        size_scaling: bool. With groups, multiply by the square root of the group's size.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite, or q is neither 1/2 nor 2/3.
    Reference: Xu, Chang, Xu & Zhang, IEEE Trans. Neural Netw. Learn. Syst. 2012, for 1/2; Cao,
        Sun & Xu, J. Vis. Commun. Image Represent. 2013, for 2/3.

    Example:
        >>> penalty = Lq(0.5, q=1 / 2)
        >>> float(penalty(keras.ops.array([4.0, 0.0, -1.0])))
        1.5
        >>> w = penalty.prox(keras.ops.array([4.0, 0.0, -0.9]), step=1.0)
        >>> [round(float(x), 3) for x in ops.abs(w)]
        [3.873, 0.0, 0.0]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        q: float = 0.5,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
    ):
        super().__init__(strength, group_axis, size_scaling)
        self.q = schedules.check_number(q, "q")
        if self.q not in (1 / 2, 2 / 3):
            raise ValueError(f"Expected `q` to be 1 / 2 or 2 / 3. Received: q={q!r}")

    def _value(self, r: Any) -> Any:
        return r * self._inverse_root(r)

    def _prox(self, r: Any, step: Any) -> Any:
        if self.q == 1 / 2:
            threshold, kept = 1.5 * step ** (2 / 3), _kept_half
        else:
            threshold, kept = 2.0 * (2 / 3 * step) ** (3 / 4), _kept_two_thirds
        return ops.where(ops.less_equal(r, threshold), 0.0, kept(r, threshold))

    def _slope(self, r: Any) -> Any:
        return ops.where(ops.equal(r, 0.0), math.inf, self.q * self._inverse_root(r))

    def _inverse_root(self, r: Any) -> Any:
        """r**(q - 1)."""
        return inverse_root(r, 2 if self.q == 1 / 2 else 3)

    def get_config(self) -> dict:
        return {**super().get_config(), "q": self.q}


# Both are written in threshold / r, from 0 to 1, so that no power of r can overflow, and such that
# a ratio of 0, which is a step of 0, gives r bit for bit. The closed forms with their arccosines
# and powers need not, and are much slower: it is Newton's method from a parabola on every device.


def _kept_half(r: Any, threshold: Any) -> Any:
    """r * y**2 with y the largest root of y**3 - y + c, c = (ratio / 1.5)**1.5 / 2."""
    root = ops.rsqrt(_inverse_ratio(r, threshold))
    c = root * root * root * (0.5 / 1.5**1.5)
    y = 1.0 - c * (0.454 + 0.790 * c)
    for _ in range(_newton_steps(r)):
        squared = y * y
        y = y - (squared * y - y + c) / (3.0 * squared - 1.0)
    return r * (y * y)


def _kept_two_thirds(r: Any, threshold: Any) -> Any:
    """r * z**3 with z the largest root of z**4 - z + k, k = (ratio / 2)**(4 / 3)."""
    root = inverse_root(_inverse_ratio(r, threshold), 3)
    squared = ops.square(root * 0.5 ** (1 / 3))
    k = squared * squared
    z = 1.0 - k * (0.261 + 0.631 * k)
    for _ in range(_newton_steps(r)):
        cubed = z * z * z
        z = z - (cubed * z - z + k) / (4.0 * cubed - 1.0)
    return r * (z * z * z)


def _inverse_ratio(r: Any, threshold: Any) -> Any:
    """r / threshold for r above the threshold, 1 below it; the largest number for one of 0."""
    # Not ops.maximum: PyTorch's gives float32 for a number beside float64.
    return ops.clip(r / threshold, 1.0, LARGEST)


def _newton_steps(r: Any) -> int:
    """The parabolas are right to 0.004; each step squares the error, four times."""
    return 3 if _is_double(r) else 2


def _is_double(x: Any) -> bool:
    return keras.backend.standardize_dtype(x.dtype) == "float64"
