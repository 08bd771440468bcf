"""NuclearNorm: low rank."""

from typing import Any

import keras

from keras_reg.ops import arrays as ops
from keras_reg.ops.matrix import from_matrix, keep_non_finite, rank_mask, thin_svd
from keras_reg.ops.prox import soft_threshold
from keras_reg.regularizers.matrix_penalty import MatrixPenalty


@keras.saving.register_keras_serializable("keras_reg")
class NuclearNorm(MatrixPenalty):
    """Sum of singular values: the lasso of the rank.

    value:  strength * sum_i s_i, for the weight U diag(s) V^T as a matrix (inputs, outputs)
    prox:   U diag(max(0, s - step * strength)) V^T

    Makes a kernel low-rank, so that two thin kernels can stand for it; use it with `Proximal`,
    where singular values become zero to rounding. Each value, gradient or prox is one singular
    value decomposition, about 20 * m * n * min(m, n) operations (seconds for 1024 x 1024 on a CPU):
    for large kernels it belongs in short fine-tuning. TensorFlow's XLA is slow at it, so it is left
    out of `compiled` and should be kept out of `jit_compile=True`.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        axis: "outputs", int or tuple of ints. The axes that index the columns; the others index the
            rows. "outputs": a column for each unit or filter, for each index of each head in
            attention; which axes those are is told as in `GroupLasso`.
    Shapes: w: rank 2 or more. value: (), float32. prox: as w, same dtype. stationarity: ().
    Raises: ValueError if an argument is out of range; at the first use if the rank is 1 or `axis`
        does not suit.
    Reference: Cai, Candes & Shen, SIAM J. Optim. 2010.

    Example:
        >>> penalty = NuclearNorm(0.5)
        >>> w = keras.ops.array([[0.0, 3.0], [0.25, 0.0]])
        >>> round(float(penalty(w)), 4)
        1.625
        >>> keras.ops.convert_to_numpy(penalty.prox(w, step=1.0)).round(4).tolist()
        [[0.0, 2.5], [0.0, 0.0]]
    """

    def _max_strength(self, gradient: Any) -> float:
        return float(thin_svd(self._matrix(gradient))[1][0])

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        left, right = _spaces(self._matrix(w))
        total = self._matrix(gradient) + strength * ops.matmul(left, right)
        free = total - ops.matmul(left, ops.matmul(ops.transpose(left), total))
        free = free - ops.matmul(ops.matmul(free, ops.transpose(right)), right)
        excess = ops.maximum(thin_svd(free)[1] - strength, 0.0)
        squares = ops.sum(ops.square(total - free)) + ops.sum(ops.square(excess))
        return ops.sqrt(squares)

    def _omega(self, w: Any) -> Any:
        matrix = self._matrix(w)
        u, s, vt = thin_svd(ops.stop_gradient(matrix))
        polar = ops.matmul(u * rank_mask(s, matrix.shape), vt)
        # <U V^T, W> is the norm, and U V^T its gradient; that of the decomposition itself is
        # infinite where singular values repeat.
        return ops.sum(ops.stop_gradient(polar) * matrix)

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        u, s, vt = thin_svd(self._matrix(w))
        low = ops.matmul(u * soft_threshold(s, scale), vt)
        moved = ops.where(ops.equal(scale, 0.0), w, from_matrix(low, tuple(w.shape), self.axis))
        return keep_non_finite(w, moved)


def _spaces(matrix: Any) -> tuple[Any, Any]:
    # A thousand roundings: a prox leaves that much in singular values that it made zero.
    u, s, vt = thin_svd(matrix)
    mask = rank_mask(s, matrix.shape, slack=1000.0)
    return u * mask, ops.expand_dims(mask, 1) * vt
