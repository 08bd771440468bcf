"""L1: the lasso."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import GroupAxis
from keras_reg.ops.prox import soft_threshold
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class L1(RadialPenalty):
    """Sum of absolute values.

    value:  strength * sum(c * |w|), c = `weights`, 1 without
    prox:   sign(w) * max(0, |w| - step * strength * c)

    The first choice for zeros of single weights, with `Proximal`. In a layer's `kernel_regularizer`
    it makes weights small and never exactly zero, as Keras's own L1 does. With `weights` it is the
    adaptive lasso: c = 1 / |w0| of a first fit w0 shrinks what was large less.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups;
            with any but None this is `GroupLasso`.
        size_scaling: bool. With groups, multiply each norm by the square root of the group's size.
        weights: array-like of numbers >= 0, or None. One factor for each weight, in the variable's
            shape, or for each group, in the shape of the group axes. A weight whose factor is 0 is
            not penalized: `prox` leaves it as it is, and `max_strength` is that of the others.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength or one of the weights is negative or not finite; at the first use
        if `weights` does not have the variable's shape.
    Reference: Tibshirani, JRSS-B 1996; Zou, JASA 2006, for the weights.

    Example:
        >>> penalty = L1(0.5)
        >>> float(penalty(keras.ops.array([1.0, -2.0])))
        1.5
        >>> w = penalty.prox(keras.ops.array([1.0, -0.2]), step=1.0)
        >>> keras.ops.convert_to_numpy(ops.abs(w)).tolist()
        [0.5, 0.0]
        >>> w = L1(0.5, weights=[2, 0]).prox(keras.ops.array([1.5, -0.25]), step=1.0)
        >>> keras.ops.convert_to_numpy(w).tolist()
        [0.5, -0.25]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
        weights: Any = None,
    ):
        super().__init__(strength, group_axis, size_scaling, weights=weights)

    def _value(self, r: Any) -> Any:
        return r

    def _prox(self, r: Any, step: Any) -> Any:
        return soft_threshold(r, step)

    def _slope(self, r: Any) -> Any:
        return ops.ones_like(r)
