"""The few largest eigenvalues of a Gram matrix, and a check that none of them is missed.

Subspace iteration with Chebyshev polynomials. Ritz values alone do not tell whether another
eigenvalue is as large: here the normal numbers that the iteration started from do. Multiplied by
the polynomials, an eigenvector that the Ritz vectors miss would stand out of what is left of them,
unless all its start's numbers were small at once, which has a probability of less than 1e-12.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import TINY
from keras_reg.ops.random import normal

# The degree of a polynomial, between two orthonormalizations, and how many there are at most.
_DEGREE = 6
_ROUNDS = {"float32": 8, "float64": 16}

# The logarithm of the chance to miss an eigenvalue.
_CHANCE = math.log(1e-12)

# How many roundings of the polynomials' largest value may hide a smaller one.
_ROUNDINGS = 64.0


def rounding(x: Any) -> float:
    """The relative distance of two neighbours in a float tensor's dtype.

    Example:
        >>> rounding(ops.ones((2,), "float32")) == 2.0**-23
        True
    """
    return float(np.finfo(keras.backend.standardize_dtype(x.dtype)).eps)


def leading_pairs(
    gram: Any, width: int, seed: Any, judge: Callable[..., tuple[Any, Any]]
) -> tuple[Any, Any, Any]:
    """The largest eigenvalues of a positive semidefinite matrix and their eigenvectors.

    Args:
        gram: (n, n), float32 or float64.
        width: int < n. How many to look for.
        seed: (), int32. Draws the start.
        judge: `judge(values, residuals, is_bounded)` to two bool scalars: whether these are good
            enough, and whether it is worth going on.
            values: (width,), Ritz values in descending order.
            residuals: (width - 1,), the Frobenius norms of gram V - V diag(values) over the first
                1, ..., width - 1 Ritz vectors V.
            is_bounded: `is_bounded(levels, count)`, for levels of shape (width - 1,) and the number
                of eigenvalues that matter: whether what is left of the matrix outside of the first
                1, ..., width - 1 Ritz vectors has no eigenvalue above the level.
    Shapes: result: values (width,), vectors (n, width), and whether `judge` found them good, ().
    Reference: Rutishauser, "Simultaneous iteration method for symmetric matrices", Numer. Math.
        1970; Halko, Martinsson & Tropp, SIAM Review 2011, proposition 10.4: the smallest singular
        value of a matrix of normal numbers.

    Example:
        >>> import keras
        >>> gram = ops.diag(ops.array([9.0, 1.0, 4.0, 0.5]))
        >>> judge = lambda values, residuals, is_bounded: (residuals[0] < 1e-5, True)
        >>> values, _, good = leading_pairs(gram, 2, ops.array(1, "int32"), judge)
        >>> round(float(values[0]), 3), bool(good)
        (9.0, True)
    """
    dtype = keras.backend.standardize_dtype(gram.dtype)
    rounds = _ROUNDS[dtype]

    def round_(
        pairs: tuple, mixing: Any, log_scale: Any, bounds: Any, done: Any, *verdict: Any
    ) -> tuple:
        values, vectors, images = pairs
        # Powers of ratios far above 2 would exceed the precision.
        low = ops.maximum(ops.maximum(values[-1], 0.5 * values[0]), TINY)
        q, r = ops.qr(_filtered(gram, vectors, images, low))
        pairs, rotation = _ritz(gram, q)
        mixing = ops.matmul(rotation, ops.matmul(r, mixing))
        scale = ops.maximum(ops.max(ops.abs(mixing)), TINY)
        mixing, log_scale = mixing / scale, log_scale + ops.log(scale)
        bounds = ops.where(ops.equal(ops.arange(rounds), done), low, bounds)
        values, vectors, images = pairs
        squares = ops.sum(ops.square(images - vectors * values), axis=0)
        is_bounded = _bounds(mixing, log_scale, bounds, done + 1)
        enough, again = judge(values, ops.sqrt(ops.cumsum(squares)[:-1]), is_bounded)
        going = ops.logical_and(ops.logical_not(enough), again)
        return pairs, mixing, log_scale, bounds, done + 1, enough, going

    zero, no = ops.zeros((), "int32"), ops.zeros((), "bool")
    start = ops.cast(normal((gram.shape[0], width), seed, zero), dtype)
    # The mean of all eigenvalues is below those that matter.
    mean = ops.zeros((width,), dtype) + ops.trace(gram) / gram.shape[0]
    bounds, log_scale = ops.zeros((rounds,), dtype), ops.zeros((), dtype)
    pairs = mean, start, ops.matmul(gram, start)
    state = pairs, ops.eye(width, dtype=dtype), log_scale, bounds, zero, no, ops.logical_not(no)
    state = ops.while_loop(lambda *state: state[-1], round_, state, maximum_iterations=rounds)
    (values, vectors, _), enough = state[0], state[-2]
    return values, vectors, enough


def _ritz(gram: Any, q: Any) -> tuple[tuple[Any, Any, Any], Any]:
    """Ritz values, vectors and their images in the span of orthonormal columns; the rotation."""
    images = ops.matmul(gram, q)
    inner = ops.matmul(ops.transpose(q), images)
    # The mean of two roundings of each number.
    values, rotation = ops.eigh(0.5 * (inner + ops.transpose(inner)))
    rotation = ops.flip(rotation, axis=1)
    pairs = ops.flip(values, axis=0), ops.matmul(q, rotation), ops.matmul(images, rotation)
    return pairs, ops.transpose(rotation)


def _filtered(gram: Any, vectors: Any, images: Any, low: Any) -> Any:
    """T(2 gram / low - I) vectors, T the Chebyshev polynomial: at most one below `low`."""
    before, now = vectors, images * (2.0 / low) - vectors
    for _ in range(_DEGREE - 1):
        before, now = now, (ops.matmul(gram, now) * (2.0 / low) - now) * 2.0 - before
    return now


def _bounds(mixing: Any, log_scale: Any, bounds: Any, done: Any) -> Callable[[Any, Any], Any]:
    """`is_bounded` of `leading_pairs`.

    mixing: (width, width), the coordinates of the filtered start in the Ritz vectors, over a scale.
    """
    width = mixing.shape[0]
    rows = ops.flip(ops.sum(ops.square(mixing), axis=1), axis=0)
    left = ops.sqrt(ops.flip(ops.cumsum(rows)[:-1], axis=0))
    roundings = _ROUNDINGS * rounding(mixing) * ops.sqrt(ops.sum(rows))

    def is_bounded(levels: Any, count: Any) -> Any:
        # What the polynomials make of a level, and of all that is above it at least.
        used = ops.less(ops.arange(bounds.shape[0]), done)
        ratios = 2.0 * ops.expand_dims(levels, 1) / ops.where(used, bounds, 1.0) - 1.0
        grown = ops.maximum(ratios, 1.0)
        log_values = _DEGREE * ops.log(grown + ops.sqrt(grown * grown - 1.0)) - math.log(2.0)
        log_value = ops.sum(ops.where(used, log_values, 0.0), axis=1)
        is_above = ops.all(ops.logical_or(ratios >= 1.0, ops.logical_not(used)), axis=1)
        # Of so many rows of `width` normal numbers no combination is shorter than this. Half of it
        # is for Ritz vectors that are not quite orthogonal to the missing one.
        spare = ops.maximum(width - ops.cast(count, mixing.dtype), 1.0)
        least = 0.5 * spare / (math.e * width**0.5) * ops.exp(_CHANCE / spare)
        is_small = ops.log(left + roundings) + log_scale < log_value + ops.log(least)
        return ops.logical_and(is_above, is_small)

    return is_bounded
