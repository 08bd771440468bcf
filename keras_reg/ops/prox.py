"""Proximal operators that several penalties share."""

import math
import numbers
from collections.abc import Callable
from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import TINY, GroupAxis, group_norms


def soft_threshold(x: Any, threshold: Any) -> Any:
    """Moves every element towards zero by `threshold`; those that reach it are exactly zero.

    Solves argmin_u 0.5 * (u - x)**2 + threshold * |u|. A threshold of 0 returns `x` itself, bit for
    bit, and a NaN stays a NaN.

    Args:
        x: float tensor.
        threshold: float or tensor >= 0 that broadcasts against `x`.
    Shapes: result: as `x`, same dtype.
    Raises: ValueError if the threshold is a number below 0, not a tensor.
    Reference: Donoho, "De-noising by soft-thresholding", IEEE Trans. Inf. Theory 1995.

    Example:
        >>> import keras
        >>> x = keras.ops.array([-3.0, 0.5, 2.0])
        >>> keras.ops.convert_to_numpy(soft_threshold(x, 1.0)).tolist()
        [-2.0, 0.0, 1.0]
    """
    _check_threshold(threshold)
    return x - ops.clip(x, -threshold, threshold)


def capped_soft_threshold(r: Any, threshold: Any, cap: float) -> Any:
    """Soft threshold below a size, nothing above it.

    Solves argmin_u 0.5 * (u - r)**2 + threshold * min(u, cap) over u >= 0. The larger r stays as it
    is, bit for bit, and the smaller is soft-thresholded; where both cost the same, the smaller
    result is taken. A NaN stays a NaN.

    Args:
        r: float tensor of numbers >= 0.
        threshold: float or tensor >= 0 that broadcasts against `r`.
        cap: float > 0.
    Shapes: result: as `r`, same dtype.
    Raises: ValueError if the threshold is a number below 0, not a tensor.
    Reference: Gong et al., "A General Iterative Shrinkage and Thresholding Algorithm for Non-convex
        Regularized Optimization Problems", ICML 2013.

    Example:
        >>> import keras
        >>> r = keras.ops.array([0.5, 2.0, 4.0])
        >>> keras.ops.convert_to_numpy(capped_soft_threshold(r, 1.0, 2.0)).tolist()
        [0.0, 1.0, 4.0]
    """
    _check_threshold(threshold)
    both_zero = ops.sqrt(2.0 * cap * threshold)
    kept_from = ops.where(ops.less(threshold, 2.0 * cap), cap + threshold / 2.0, both_zero)
    return ops.where(ops.greater(r, kept_from), r, soft_threshold(r, threshold))


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
    norms = ops.clip(group_norms(w, group_axis, keepdims=True), TINY, math.inf)
    return w * (shrink(norms) / norms)


def _check_threshold(threshold: Any) -> None:
    if isinstance(threshold, numbers.Real) and threshold < 0:
        raise ValueError(f"Expected `threshold` >= 0. Received: threshold={threshold}")
