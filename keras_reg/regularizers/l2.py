"""L2: ridge."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import GroupAxis
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class L2(RadialPenalty):
    """Sum of squares, as in Keras: no factor 1/2.

    value:  strength * sum(w**2)
    prox:   w / (1 + 2 * step * strength)

    Shrinks every weight by the same factor and makes none zero. In a layer's `kernel_regularizer`
    it is Keras's L2; in `Proximal` it is weight decay that adaptive optimizers do not rescale.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: "outputs", "inputs", int, tuple of ints or None. It matters only with
            `size_scaling`.
        size_scaling: bool. With groups, multiply by the square root of the group's size.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite.
    Reference: Hoerl & Kennard, Technometrics 1970.

    Example:
        >>> penalty = L2(0.5)
        >>> float(penalty(keras.ops.array([1.0, -2.0])))
        2.5
        >>> keras.ops.convert_to_numpy(penalty.prox([1.0, -2.0], step=1.0)).tolist()
        [0.5, -1.0]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
    ):
        super().__init__(strength, group_axis, size_scaling)

    def _value(self, r: Any) -> Any:
        return ops.square(r)

    def _prox(self, r: Any, step: Any) -> Any:
        return r / (1.0 + 2.0 * step)

    def _slope(self, r: Any) -> Any:
        return 2.0 * r

    def _gradient(self, w: Any) -> Any:
        return (2.0 * self._factors(w, keepdims=True)) * w
