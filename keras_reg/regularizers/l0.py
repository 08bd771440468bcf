"""L0: the number of weights that are not zero."""

import math
from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import GroupAxis
from keras_reg.regularizers.radial import RadialPenalty


@keras.saving.register_keras_serializable("keras_reg")
class L0(RadialPenalty):
    """Number of non-zero weights, or groups.

    value:  strength * sum(w != 0)
    prox:   0 if |w| <= sqrt(2 * step * strength) else w

    Removes small weights and leaves the others as they are, with no shrinkage. It has many local
    minima: start from trained weights, or raise the strength by a schedule.

    Its gradient is zero everywhere, so in a layer or a loss it is refused; `value` tells what it
    is worth. Every strength > 0 makes zero a local minimum, so `max_strength` is 0.0 and
    `stationarity` is 0 at zero.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        size_scaling: bool. With groups, multiply by the square root of the group's size.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite, or if it is put in a layer.
    Reference: Blumensath & Davies, J. Fourier Anal. Appl. 2008, for the hard threshold.

    Example:
        >>> penalty = L0(0.5)
        >>> float(penalty.value(keras.ops.array([1.5, 0.0, -0.5])))
        1.0
        >>> w = penalty.prox(keras.ops.array([1.5, 0.0, -0.5]), step=1.0)
        >>> keras.ops.convert_to_numpy(ops.abs(w)).tolist()
        [1.5, 0.0, 0.0]
    """

    _gradient = None  # type: ignore[assignment]  # Zero wherever there is one.

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
    ):
        super().__init__(strength, group_axis, size_scaling)

    def _value(self, r: Any) -> Any:
        return ops.where(ops.greater(r, 0.0), 1.0, r)  # Zero, or a NaN that stays one.

    def _prox(self, r: Any, step: Any) -> Any:
        return ops.where(ops.less_equal(r, ops.sqrt(2.0 * step)), 0.0, r)

    def _slope(self, r: Any) -> Any:
        return ops.where(ops.equal(r, 0.0), math.inf, ops.zeros_like(r))
