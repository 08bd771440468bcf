"""The sorted L1 norm: its weights and its proximal operator."""

import math
from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import compiled_alone
from keras_reg.ops.counted_ranks import falling_ranks
from keras_reg.ops.isotonic import isotonic_fit
from keras_reg.ops.scan import scan_rows

# Wichura's PPND16: the normal quantile of a probability p, in powers of 0.180625 - (p - 0.5)**2,
# and from p = 0.075 down in powers of sqrt(-log(p)) - 1.6. It is exact to 1e-15 from 1e-11 on.
_MIDDLE = (
    (
        2.5090809287301226727e3,
        3.3430575583588128105e4,
        6.7265770927008700853e4,
        4.5921953931549871457e4,
        1.3731693765509461125e4,
        1.9715909503065514427e3,
        1.3314166789178437745e2,
        3.3871328727963666080,
    ),
    (
        5.2264952788528545610e3,
        2.8729085735721942674e4,
        3.9307895800092710610e4,
        2.1213794301586595867e4,
        5.3941960214247511077e3,
        6.8718700749205790830e2,
        4.2313330701600911252e1,
        1.0,
    ),
)
_TAIL = (
    (
        7.74545014278341407640e-4,
        2.27238449892691845833e-2,
        2.41780725177450611770e-1,
        1.27045825245236838258,
        3.64784832476320460504,
        5.76949722146069140550,
        4.63033784615654529590,
        1.42343711074968357734,
    ),
    (
        1.05075007164441684324e-9,
        5.47593808499534494600e-4,
        1.51986665636164571966e-2,
        1.48103976427480074590e-1,
        6.89767334985100004550e-1,
        1.67638483018380384940,
        2.05319162663775882187,
        1.0,
    ),
)


def bh_weights(n: int, q: float, dtype: str = "float32") -> Any:
    """The weights of Benjamini and Hochberg, normal quantiles at i * q / (2 * n), largest 1.

    Args:
        n: int. How many.
        q: float. Target of the false discovery rate.
        dtype: "float32" or "float64".
    Shapes: result: (n,), decreasing.
    Reference: Bogdan et al., Annals of Applied Statistics 2015; Wichura, Applied Statistics 1988,
        for the quantile.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(bh_weights(3, 0.1)).round(3).tolist()
        [1.0, 0.862, 0.773]
    """
    tail = ops.arange(1, n + 1, dtype=dtype) * (q / (2 * n))
    quantiles = _upper_quantile(tail)
    return quantiles / quantiles[0]


def linear_weights(n: int, dtype: str = "float32") -> Any:
    """The weights of OSCAR, from 1 down to 1 / n in equal steps.

    Args:
        n: int. How many.
        dtype: "float32" or "float64".
    Shapes: result: (n,).
    Reference: Bondell & Reich, Biometrics 2008.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(linear_weights(4)).tolist()
        [1.0, 0.75, 0.5, 0.25]
    """
    return ops.arange(n, 0, -1, dtype=dtype) / n


def sorted_l1_prox(w: Any, weights: Any) -> Any:
    """argmin_u 0.5 * ||u - w||**2 + sum_i weights_i * |u|_(i), |u|_(1) the largest.

    Ranks (`falling_ranks`), fits a decreasing line to |w| - weights (`isotonic_fit`), and puts it
    back in place: O(n log(n)**2) work for n weights. Weights that the penalty ties come back
    exactly equal.

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
    magnitude = ops.abs(w)
    ranks = falling_ranks(magnitude)
    shrunk = (ops.scatter(ranks[:, None], magnitude, w.shape) - weights)[None]
    fitted = isotonic_fit(shrunk, math.inf, 0.0, _certain_falls(shrunk))[0]
    positive = ops.where(fitted < 0, 0.0, fitted)
    kept = ops.take(positive, ranks)
    return ops.where(w < 0, -kept, kept)


def _falls(y: Any) -> Any:
    """-1 where all before is above all that follows, so that no piece reaches across, else 0."""
    (least,) = scan_rows(lambda a, b: (ops.minimum(a[0], b[0]),), (y,), None)
    (most,) = scan_rows(lambda a, b: (ops.maximum(a[0], b[0]),), (y,), None, backwards=True)
    return -ops.cast(least[:, :-1] > most[:, 1:], y.dtype)


_certain_falls = compiled_alone(_falls)


def _upper_quantile(tail: Any) -> Any:
    """x such that a standard normal number is above it with probability `tail`, up to 1/2."""
    middle = 0.5 - tail
    near = middle * _ratio(_MIDDLE, 0.180625 - middle * middle)
    far = _ratio(_TAIL, ops.sqrt(-ops.log(tail)) - 1.6)
    return ops.where(tail < 0.075, far, near)


def _ratio(polynomials: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    above, below = polynomials
    return _polynomial(above, x) / _polynomial(below, x)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    total = ops.zeros_like(x)
    for coefficient in coefficients:
        total = total * x + coefficient
    return total
