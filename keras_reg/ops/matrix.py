"""Weights as matrices: singular values, and products with a Gram matrix that is never formed."""

import math
from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import updates_in_one_program
from keras_reg.ops.norms import TINY, GroupAxis, reduced_axes, safe_norm
from keras_reg.ops.random import hash32, uniform

# So many weights, spread over the matrix, decide which random numbers are drawn.
_SEED_WEIGHTS = 64

# The relative error of one float32 operation.
_ROUNDING = 2.0**-23


def as_matrix(w: Any, axis: GroupAxis = -1) -> Any:
    """A weight of any rank as a matrix: one column a unit or filter.

    Args:
        w: tensor.
        axis: int or tuple of ints. The axes that index the columns.

    Example:
        >>> import keras
        >>> tuple(as_matrix(keras.ops.ones((3, 3, 16, 32))).shape)
        (144, 32)
        >>> tuple(as_matrix(keras.ops.ones((16, 4, 8)), axis=(1, 2)).shape)
        (16, 32)
    """
    order, rows = _rows_first(tuple(w.shape), axis)
    return ops.reshape(ops.transpose(w, order), (rows, math.prod(w.shape) // max(rows, 1)))


def from_matrix(matrix: Any, shape: tuple[int, ...], axis: GroupAxis = -1) -> Any:
    """The weight of shape `shape` whose `as_matrix` is `matrix`.

    Example:
        >>> import keras
        >>> w = keras.ops.reshape(keras.ops.arange(6), (3, 1, 2))
        >>> back = from_matrix(as_matrix(w, axis=0), (3, 1, 2), axis=0)
        >>> keras.ops.convert_to_numpy(back == w).all().item()
        True
    """
    order, _ = _rows_first(shape, axis)
    moved = ops.reshape(matrix, [shape[at] for at in order])
    return ops.transpose(moved, [order.index(at) for at in range(len(shape))])


def _rows_first(shape: tuple[int, ...], axis: GroupAxis) -> tuple[list[int], int]:
    """The axes that index the rows, then those of the columns, and the number of rows."""
    rows = reduced_axes(shape, axis, argument="axis")
    columns = [at for at in range(len(shape)) if at not in rows]
    return [*rows, *columns], math.prod(shape[at] for at in rows)


def check_matrix(shape: tuple[int, ...], path: str = "") -> None:
    """Raises ValueError, which names the variable, for a weight that has no two axes."""
    if len(shape) < 2:
        raise ValueError(
            "Expected a weight of rank 2 or more, to be read as a matrix. "
            f"Received: {path or 'a weight'} of shape {tuple(shape)}"
        )


def thin_svd(matrix: Any) -> tuple[Any, Any, Any]:
    """Singular value decomposition U, s, V^T with s in descending order.

    A matrix with NaN or inf in it, on which some backends stop with an error, is read as zero.

    Args:
        matrix: (m, n), float32 or float64.
    Shapes: result: (m, k), (k,), (k, n) with k = min(m, n).

    Example:
        >>> import keras
        >>> _, s, _ = thin_svd(keras.ops.array([[0.0, 3.0], [4.0, 0.0]]))
        >>> keras.ops.convert_to_numpy(s).round(4).tolist()
        [4.0, 3.0]
    """
    finite = ops.all(ops.isfinite(matrix))
    return ops.svd(ops.where(finite, matrix, ops.zeros_like(matrix)), full_matrices=False)


def keep_non_finite(w: Any, result: Any) -> Any:
    """`result`, or `w` itself where it holds a NaN or inf: they must not become silent zeros.

    Example:
        >>> import keras
        >>> w = keras.ops.array([1.0, float("inf")])
        >>> keras.ops.convert_to_numpy(keep_non_finite(w, 0 * w)).tolist()
        [1.0, inf]
    """
    return ops.where(ops.all(ops.isfinite(w)), result, w)


def rank_mask(s: Any, shape: tuple[int, ...], slack: float = 1.0) -> Any:
    """1 for singular values that differ from zero by more than rounding, else 0.

    Args:
        s: singular values, in descending order.
        shape: the matrix's shape.
        slack: float >= 1. Multiplies the rounding error that is allowed for.
    Shapes: result: as `s`, same dtype.
    Reference: Golub & Van Loan, "Matrix Computations", section 5.4.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(rank_mask(keras.ops.array([2.0, 1e-8]), (2, 2))).tolist()
        [1.0, 0.0]
    """
    return ops.cast(s > s[0] * (slack * max(shape) * _ROUNDING), s.dtype)


def weight_seed(matrix: Any) -> Any:
    """An integer hash of 64 of the matrix's own weights: training changes it at every step.

    Random numbers drawn from it need no state, and are the same on every replica of a model.

    Args:
        matrix: float32 tensor.
    Shapes: result: (), int32.

    Example:
        >>> import keras
        >>> ones = keras.ops.ones((4, 4))
        >>> int(weight_seed(ones)) == int(weight_seed(ones + 1e-6))
        False
    """
    flat = ops.stop_gradient(ops.reshape(matrix, (-1,)))
    picked = flat[:: max(1, math.prod(matrix.shape) // _SEED_WEIGHTS)]
    # The last bits of a weight of the usual size, about 0.01, are worth 2**-30.
    bits = ops.cast(ops.mod(picked * 2.0**30, 2.0**24), "int32")
    places = ops.arange(picked.shape[0], dtype="int32")
    return ops.cast(ops.sum(hash32(bits, hash32(places, places))), "int32")


def random_signs(count: int, length: int, seed: Any) -> Any:
    """Rows of independent -1 and +1.

    Shapes: seed: (), int32. result: (count, length), float32.

    Example:
        >>> import keras
        >>> signs = random_signs(2, 8, keras.ops.array(1, "int32"))
        >>> keras.ops.convert_to_numpy(signs * signs).tolist() == [[1.0] * 8] * 2
        True
    """
    draw = uniform((count, length), seed, ops.zeros((), "int32"))
    return ops.where(draw < 0.5, -1.0, 1.0)


def unit(x: Any) -> Any:
    """A vector divided by its norm; zero stays zero.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(unit(keras.ops.array([0.0, -4.0]))).tolist()
        [0.0, -1.0]
    """
    return x / ops.maximum(safe_norm(x), TINY)


def top_direction(matrix: Any, iterations: int) -> Any:
    """Power iteration towards the first right singular vector, from a fixed start.

    Args:
        matrix: (m, n).
        iterations: int >= 1. Each costs two products of the matrix with a vector.
    Shapes: result: (1, n), of norm 1.

    Example:
        >>> import keras
        >>> v = top_direction(keras.ops.array([[3.0, 0.0], [0.0, 1.0]]), iterations=10)
        >>> keras.ops.convert_to_numpy(keras.ops.abs(v)).round(4).tolist()
        [[1.0, 0.0]]
    """
    v = unit(random_signs(1, matrix.shape[1], ops.ones((), "int32")))
    for _ in range(iterations):
        v = unit(ops.matmul(ops.transpose(ops.matmul(matrix, ops.transpose(v))), matrix))
    return v


@ops.custom_gradient
def gram_residual(matrix: Any, vectors: Any) -> Any:
    """(W^T W - I) v for each row v of `vectors`, by thin products alone.

    Its gradient in W is one product of two thin matrices; in `vectors`, constants, it is zero.

    Args:
        matrix: W, (m, n).
        vectors: (p, n).
    Shapes: result: (p, n).

    Example:
        >>> import keras
        >>> w = keras.ops.array([[2.0, 0.0], [0.0, 1.0]])
        >>> keras.ops.convert_to_numpy(gram_residual(w, keras.ops.ones((1, 2)))).tolist()
        [[3.0, 0.0]]
    """
    images = ops.matmul(matrix, ops.transpose(vectors))

    def gradient(*arguments: Any, upstream: Any = None) -> Any:
        upstream = arguments[0] if upstream is None else upstream
        pulled = ops.matmul(matrix, ops.transpose(upstream))
        left = ops.concatenate([images, pulled], axis=1)
        right = ops.concatenate([upstream, vectors], axis=0)
        return _thin_product(left, right), ops.zeros_like(vectors)

    return ops.matmul(ops.transpose(images), matrix) - vectors, gradient


def _thin_product(left: Any, right: Any) -> Any:
    if updates_in_one_program() and right.shape[0] == 2:
        # Elementwise, so that it is never written out but becomes part of the optimizer's loop.
        return left[:, :1] * right[:1] + left[:, 1:] * right[1:]
    return ops.matmul(left, right)


@ops.custom_gradient
def gram_error(matrix: Any) -> Any:
    """||W^T W - I||_F^2, with the gradient 4 W (W^T W - I) by one product.

    Shapes: matrix: (m, n). result: ().
    Differentiation of the first product would take two.

    Example:
        >>> import keras
        >>> float(gram_error(keras.ops.array([[2.0, 0.0], [0.0, 1.0]])))
        9.0
    """
    error = gram_minus_identity(matrix)

    def gradient(*arguments: Any, upstream: Any = None) -> Any:
        upstream = arguments[0] if upstream is None else upstream
        return ops.matmul(matrix, error) * (4.0 * upstream)

    return ops.sum(ops.square(error)), gradient


def gram_minus_identity(matrix: Any) -> Any:
    """W^T W - I.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(gram_minus_identity(keras.ops.array([[2.0]]))).tolist()
        [[3.0]]
    """
    return ops.matmul(ops.transpose(matrix), matrix) - ops.eye(matrix.shape[1], dtype=matrix.dtype)
