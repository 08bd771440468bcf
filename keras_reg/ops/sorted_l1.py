"""The sorted L1 norm: its weights and its proximal operator."""

import math
from typing import Any

from keras import ops

from keras_reg.ops.isotonic import isotonic_fit
from keras_reg.ops.scan import scan_rows

# Wichura's PPND7: the normal quantile of a probability t = exp(-r**2), in powers of r - 1.6.
_TAIL = (
    (1.7023821103e-1, 1.3067284816, 2.7568153900, 1.4234372777),
    (1.2021132975e-1, 0.73700164250, 1.0),
)


def bh_weights(n: int, q: float) -> Any:
    """The weights of Benjamini and Hochberg, normal quantiles at i * q / (2 * n), largest 1.

    Args:
        n: int. How many.
        q: float. Target of the false discovery rate.
    Shapes: result: (n,), float32, decreasing.
    Reference: Bogdan et al., Annals of Applied Statistics 2015; Wichura, Applied Statistics 1988,
        for the quantile.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(bh_weights(3, 0.1)).round(3).tolist()
        [1.0, 0.862, 0.773]
    """
    tail = ops.arange(1, n + 1, dtype="float32") * (q / (2 * n))
    quantiles = _upper_quantile(tail)
    return quantiles / quantiles[0]


def linear_weights(n: int) -> Any:
    """The weights of OSCAR, from 1 down to 1 / n in equal steps.

    Shapes: result: (n,), float32.
    Reference: Bondell & Reich, Biometrics 2008.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(linear_weights(4)).tolist()
        [1.0, 0.75, 0.5, 0.25]
    """
    return ops.arange(n, 0, -1, dtype="float32") / n


def sorted_l1_prox(w: Any, weights: Any) -> Any:
    """argmin_u 0.5 * ||u - w||**2 + sum_i weights_i * |u|_(i), |u|_(1) the largest.

    Sorts, fits a decreasing line to |w| - weights (`isotonic_fit`), and sorts back: O(n log(n)**2)
    work for n weights. Weights that the penalty ties come back exactly equal.

    Args:
        w: float tensor.
        weights: float tensor >= 0, decreasing.
    Shapes: w: (n,). weights: (n,). result: as `w`, same dtype.
    Reference: Bogdan et al., Annals of Applied Statistics 2015.

    Example:
        >>> import keras
        >>> w, weights = keras.ops.array([2.0, -3.0, 0.5]), keras.ops.array([2.0, 1.0, 0.5])
        >>> keras.ops.convert_to_numpy(sorted_l1_prox(w, weights)).tolist()
        [1.0, -1.0, 0.0]
    """
    magnitude = ops.where(w < 0, -w, w)
    order = ops.argsort(-magnitude)
    shrunk = (ops.take(magnitude, order) - weights)[None]
    fitted = isotonic_fit(shrunk, math.inf, 0.0, _certain_falls(shrunk))[0]
    positive = ops.where(fitted < 0, 0.0, fitted)
    kept = ops.scatter(order[:, None], positive, w.shape)
    return ops.where(w < 0, -kept, kept)


def _certain_falls(y: Any) -> Any:
    """-1 where all before is above all that follows, so that no piece reaches across, else 0."""
    (least,) = scan_rows(lambda a, b: (ops.minimum(a[0], b[0]),), (y,), ops.isnan)
    backwards = ops.flip(y, axis=1)
    (most,) = scan_rows(lambda a, b: (ops.maximum(a[0], b[0]),), (backwards,), ops.isnan)
    return -ops.cast(least[:, :-1] > ops.flip(most, axis=1)[:, 1:], y.dtype)


def _upper_quantile(tail: Any) -> Any:
    """x such that a standard normal number is above it with probability `tail`, up to 1/2."""
    r = ops.sqrt(-ops.log(tail)) - 1.6
    above, below = _TAIL
    far = _polynomial(above, r) / _polynomial(below, r)
    near = math.sqrt(2.0) * ops.erfinv(1.0 - 2.0 * tail)
    return ops.where(tail < 0.05, far, near)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    total = ops.zeros_like(x)
    for coefficient in coefficients:
        total = total * x + coefficient
    return total
