"""Proximal operators that several penalties share."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_reg.ops.norms import TINY, GroupAxis, group_norms


def soft_threshold(x: Any, threshold: Any) -> Any:
    """Moves every element towards zero by `threshold`; those that reach it are exactly zero.

    Solves argmin_u 0.5 * (u - x)**2 + threshold * |u|. A threshold of 0 returns `x` itself, bit for
    bit, and a NaN stays a NaN.

    Args:
        x: float tensor.
        threshold: float or tensor >= 0 that broadcasts against `x`.
    Shapes: result: as `x`, same dtype.
    Reference: Donoho, "De-noising by soft-thresholding", IEEE Trans. Inf. Theory 1995.

    Example:
        >>> import keras
        >>> x = keras.ops.array([-3.0, 0.5, 2.0])
        >>> keras.ops.convert_to_numpy(soft_threshold(x, 1.0)).tolist()
        [-2.0, 0.0, 1.0]
    """
    return x - ops.clip(x, -threshold, threshold)


def shrink_norms(w: Any, group_axis: GroupAxis, shrink: Callable[[Any], Any]) -> Any:
    """Replaces the norm r of each group by `shrink(r)` and keeps the group's direction.

    For a penalty that depends on a weight through its group norms alone this is the proximal
    operator, once `shrink` is that of the function of the norm (Parikh & Boyd 2014, section 6.5).
    A zero group stays zero; where `shrink` changes nothing the weight comes back bit for bit.

    Args:
        w: float tensor of any rank.
        group_axis: int, tuple of ints or None. Axes that index the groups.
        shrink: norms -> new norms, elementwise.
    Shapes: result: as `w`, same dtype.

    Example:
        >>> import keras
        >>> w = keras.ops.array([[3.0, 0.3], [4.0, 0.4]])
        >>> halved = shrink_norms(w, -1, lambda r: r / 2)
        >>> keras.ops.convert_to_numpy(halved).round(2).tolist()
        [[1.5, 0.15], [2.0, 0.2]]
    """
    norms = ops.maximum(group_norms(w, group_axis, keepdims=True), TINY)
    return w * (shrink(norms) / norms)
