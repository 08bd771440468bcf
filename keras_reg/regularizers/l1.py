"""L1: the lasso."""

from typing import Any

import keras
from keras import ops

from keras_reg.ops.prox import soft_threshold
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class L1(RadialPenalty):
    """Sum of absolute values.

    value:  strength * sum(|w|)
    prox:   sign(w) * max(0, |w| - step * strength)

    The first choice for zeros of single weights, with `Proximal`. In a layer's `kernel_regularizer`
    it makes weights small and never exactly zero, as Keras's own L1 does.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: int, tuple of ints or None. Axes that index the groups; with any but None this
            is `GroupLasso`.
        size_scaling: bool. With groups, multiply each norm by the square root of the group's size.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite.
    Reference: Tibshirani, JRSS-B 1996.

    Example:
        >>> penalty = L1(0.5)
        >>> float(penalty(keras.ops.array([1.0, -2.0])))
        1.5
        >>> w = penalty.prox(keras.ops.array([1.0, -0.2]), step=1.0)
        >>> keras.ops.convert_to_numpy(ops.abs(w)).tolist()
        [0.5, 0.0]
    """

    def _value(self, r: Any) -> Any:
        return r

    def _prox(self, r: Any, step: Any) -> Any:
        return soft_threshold(r, step)

    def _slope(self, r: Any) -> Any:
        return ops.ones_like(r)
