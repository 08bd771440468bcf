"""SpectralNorm: a bound on how much a layer amplifies."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import compiled_alone, runs_operations_singly
from keras_reg.ops.leading import leading_pairs, rounding
from keras_reg.ops.matrix import (
    from_matrix,
    keep_non_finite,
    thin_svd,
    top_direction,
    weight_seed,
)
from keras_reg.ops.norms import TINY, GroupAxis, safe_norm
from keras_reg.ops.thresholds import ball_threshold
from keras_reg.regularizers.matrix_penalty import MatrixPenalty

# Of the largest singular value: by how much less than that all may change together, so that none
# changes but those about as large.
_SMALL = 2.0**-6

# How many of the largest singular values are looked for first, and in matrices of what size: in
# smaller ones all are found as fast.
_FEW = 16
_LEAST_SIZE = 512 if runs_operations_singly() else 256


@keras.saving.register_keras_serializable("keras_reg")
class SpectralNorm(MatrixPenalty):
    """Largest singular value: the layer's Lipschitz constant.

    value:  strength * s_1, for the weight U diag(s) V^T as a matrix (inputs, outputs)
    prox:   U diag(min(s, t)) V^T with sum(max(0, s - t)) = step * strength, or 0 if sum(s) is less

    Makes a network less sensitive to changes of its input. Yoshida & Miyato add s_1**2 / 2, whose
    gradient is s_1 times that of s_1; the norm itself keeps its force as s_1 falls and has this
    prox, which lowers the largest singular values together.

    In a loss the value comes from power iteration with a fixed start, at two products with a vector
    an iteration; it is never above s_1. For a kernel at its random start, whose singular values lie
    close together, 10 iterations find about 0.97 s_1, and more once one of them stands out.
    `exact=True` takes a singular value decomposition instead. The prox looks for the largest
    singular values alone, where the matrix has 256 rows and columns or more (512 on PyTorch), and
    takes them if they are exact to rounding and no other is as large, which is wrong with a
    probability below 1e-12. Else it takes the eigenvalues of the Gram matrix, if the step is small
    against s_1, or the decomposition.
    TensorFlow's XLA is slow at either, so keep both out of `jit_compile=True`.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        exact: bool. In a loss, a singular value decomposition in place of power iteration.
        iterations: int >= 1. Power iterations; with `exact` they do not matter.
        axis: "outputs", int or tuple of ints. The axes that index the columns; the others index the
            rows. "outputs": a column for each unit or filter, for each index of each head in
            attention; which axes those are is told as in `GroupLasso`.
    Shapes: w: rank 2 or more. value: (), float32. prox: as w, same dtype. stationarity: ().
    Raises: ValueError if an argument is out of range; at the first use if the rank is 1 or `axis`
        does not suit.
    Reference: Yoshida & Miyato, arXiv:1705.10941, 2017.

    Example:
        >>> penalty = SpectralNorm(0.5)
        >>> w = keras.ops.array([[0.0, 3.0], [1.0, 0.0]])
        >>> round(float(penalty(w)), 4)
        1.5
        >>> keras.ops.convert_to_numpy(penalty.prox(w, step=1.0)).round(4).tolist()
        [[0.0, 2.5], [1.0, 0.0]]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        exact: bool = False,
        iterations: int = 10,
        axis: GroupAxis = "outputs",
    ):
        super().__init__(strength, axis)
        self.exact = schedules.check_flag(exact, "exact")
        self.iterations = schedules.check_count(iterations, "iterations", at_least=1)

    def _max_strength(self, gradient: Any) -> float:
        return float(ops.sum(thin_svd(self._matrix(gradient))[1]))

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        matrix, pull = self._matrix(w), -self._matrix(gradient)
        at_zero = ops.all(ops.equal(matrix, 0.0))
        resting = safe_norm(_shrink_sum_by_svd(pull, strength))
        moving = safe_norm(
            pull - strength * _nearest_subgradient(matrix, pull / max(strength, 1e-30))
        )
        return ops.where(at_zero, resting, moving)

    def get_config(self) -> dict:
        return {**super().get_config(), "exact": self.exact, "iterations": self.iterations}

    def _omega(self, w: Any) -> Any:
        matrix = self._matrix(w)
        fixed = ops.stop_gradient(matrix)
        v = thin_svd(fixed)[2][:1] if self.exact else top_direction(fixed, self.iterations)
        return safe_norm(ops.matmul(matrix, ops.transpose(ops.stop_gradient(v))))

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        moved = from_matrix(_shrunk(self._matrix(w), scale), tuple(w.shape), self.axis)
        return keep_non_finite(w, moved)


def _shrink_sum(matrix: Any, radius: Any) -> Any:
    """The matrix less its projection on those of nuclear norm `radius` (Moreau's identity).

    The eigenvalues of the Gram matrix are the squares of the singular values. Rounding of the
    squares is as small in the largest of them, and for a small radius those alone change: a few,
    which are found by themselves in a fifth of the time of all.
    """
    scale = ops.maximum(ops.max(ops.abs(matrix)), TINY)
    wide = matrix.shape[0] < matrix.shape[1]

    def gram() -> Any:
        small = ops.where(ops.isfinite(scale), matrix / scale, ops.zeros_like(matrix))
        left, right = (small, ops.transpose(small)) if wide else (ops.transpose(small), small)
        return ops.matmul(left, right)

    def removed(vectors: Any, shares: Any) -> Any:
        if wide:
            return ops.matmul(vectors, ops.matmul(ops.transpose(vectors * shares), matrix))
        return ops.matmul(ops.matmul(matrix, vectors * shares), ops.transpose(vectors))

    def by_all() -> Any:
        # Made again, for the first would lie in memory beside the decomposition's work.
        squares, vectors = ops.eigh(gram())
        s = ops.sqrt(ops.maximum(squares, 0.0))

        def by_gram() -> Any:
            threshold = ball_threshold(s, radius / scale, (0,))
            return matrix - removed(vectors, _over(s, s - threshold))

        is_small = radius < s[-1] * scale * _SMALL
        return ops.cond(is_small, by_gram, lambda: _shrink_sum_by_svd(matrix, radius))

    if min(matrix.shape) < _LEAST_SIZE:
        return by_all()
    squares, vectors, good = leading_pairs(
        gram(), _FEW, weight_seed(matrix), lambda *found: _judged(radius / scale, *found)
    )
    s = ops.sqrt(ops.maximum(squares, 0.0))
    shares = _over(s, _cut(s, radius / scale) - (s[0] - s))
    return ops.cond(good, lambda: matrix - removed(vectors, shares), by_all)


def _over(s: Any, excess: Any) -> Any:
    """Which shares of the singular values are above the threshold."""
    return ops.maximum(excess, 0.0) / ops.maximum(s, TINY)


def _cut(s: Any, radius: Any) -> Any:
    """By how much the largest singular value is above the threshold; `s` in descending order.

    Taken from the differences, in which less is lost to rounding than in the threshold.
    """
    counts = ops.arange(1, s.shape[0] + 1, dtype=s.dtype)
    return ops.min((radius + ops.cumsum(s[0] - s)) / counts)


def _judged(radius: Any, squares: Any, residuals: Any, is_bounded: Any) -> tuple[Any, Any]:
    """Whether so few eigenvalues of a Gram matrix determine the step, and whether more time may do.

    The first Ritz vectors, up to any, may be taken for an invariant space where what is left of the
    matrix is bounded by a level below the threshold. They are then turned out of the true ones by
    no more than residual / gap (Davis & Kahan 1970), and their values are wrong by its square.
    """
    s = ops.sqrt(ops.maximum(squares, 0.0))
    threshold = ops.maximum(s[0] - _cut(s, radius), 0.0)
    depths = threshold * threshold - squares[1:]
    gaps = 0.25 * depths - residuals
    turns = residuals / ops.where(gaps > 0.0, gaps, TINY)
    errors = 2.0 * radius * turns + residuals * turns / ops.maximum(s[0], TINY)
    is_exact = ops.logical_and(gaps > 0.0, errors <= rounding(s) * s[0])
    lowered = ops.sum(ops.cast(s > threshold, "int32"))
    levels = threshold * threshold - 0.25 * depths
    enough = ops.any(ops.logical_and(is_exact, is_bounded(levels, lowered)))
    return enough, depths[-1] > 0.0


# Outside of a program, each of its branches would be compiled anew each time.
_shrunk = compiled_alone(_shrink_sum)


def _shrink_sum_by_svd(matrix: Any, radius: Any) -> Any:
    u, s, vt = thin_svd(matrix)
    over = ops.maximum(s - ball_threshold(s, radius, (0,)), 0.0)
    lowered = matrix - ops.matmul(u * over, vt)
    return ops.where(ops.sum(s) <= radius, ops.zeros_like(matrix), lowered)


def _nearest_subgradient(matrix: Any, target: Any) -> Any:
    """U H V^T nearest to `target`, U and V of the top singular values, H >= 0 of trace 1."""
    u, s, vt = thin_svd(matrix)
    top = ops.cast(s >= s[0] * (1.0 - 1e-4), s.dtype)
    u, v = u * top, ops.transpose(vt) * top
    inner = ops.matmul(ops.transpose(u), ops.matmul(target, v))
    # The eigenvalues outside of the top space must not take part in the projection.
    outside = (1.0 - top) * (1.0 + 2.0 * safe_norm(target))
    values, vectors = ops.eigh(0.5 * (inner + ops.transpose(inner)) - ops.diag(outside))
    shares = ops.maximum(values - ball_threshold(values, 1.0, (0,)), 0.0)
    h = ops.matmul(vectors * shares, ops.transpose(vectors))
    return ops.matmul(u, ops.matmul(h, ops.transpose(v)))
