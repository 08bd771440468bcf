"""Orthogonal: kernels whose columns, or rows, are orthonormal."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.matrix import (
    gram_error,
    gram_minus_identity,
    gram_residual,
    random_signs,
    unit,
    weight_seed,
)
from keras_reg.ops.norms import GroupAxis, safe_norm
from keras_reg.ops.random import hash32
from keras_reg.regularizers.matrix_penalty import MatrixPenalty

KINDS = ("soft", "double_soft", "mutual_coherence", "srip")

# More probes estimate better: the variance falls as 1 / probes, and each costs three thin products.
_PROBES = 1
_SAMPLED_COLUMNS = 4
_POWER_ITERATIONS = 2


@keras.saving.register_keras_serializable("keras_reg")
class Orthogonal(MatrixPenalty):
    """Distance of a kernel from an orthogonal one.

    value:  strength * f(W^T W - I), W the weight as a matrix (inputs, outputs), transposed if
            it is wide: the columns, or of a wide matrix the rows, are made orthonormal
            soft: the sum of squares; mutual_coherence: the largest absolute entry;
            srip: the largest absolute eigenvalue;
            double_soft: ||W^T W - I||_F^2 + ||W W^T - I||_F^2, which is 2 * soft + |m - n|
    prox:   none; this penalty is for a layer's `kernel_regularizer`

    Keeps signals and gradients of a deep network from growing or vanishing; start with "soft" and
    a strength near 1e-4. The products with W^T W would cost several times a whole training step, so
    they are formed only with `exact=True`; by default an estimate takes their place:

    soft and double_soft: ||(W^T W - I) v||^2 for a vector v of random signs, which has the right
    expectation, as has its gradient. mutual_coherence: the largest entry in 4 random
    columns. srip: two power iterations from a random start. The last two are never above the exact
    value. The random numbers are a hash of 64 of the weights: they change whenever those do, in
    training at every step, and the same weights always give the same value.

    srip with `exact=True` takes an eigendecomposition, at which TensorFlow's XLA is slow: keep it
    out of `jit_compile=True`. `max_strength` and `stationarity` are not defined: the penalty is not
    convex and zero is one of its stationary points whatever the strength.

    Args:
        strength: float >= 0.
        kind: "soft", "double_soft", "mutual_coherence" or "srip".
        exact: bool. True forms W^T W in place of the estimate.
        axis: "outputs", int or tuple of ints. The axes that index the columns; the others index the
            rows. "outputs": a column for each unit or filter, for each index of each head in
            attention; which axes those are is told as in `GroupLasso`.
    Shapes: w: rank 2 or more. value: (), float32.
    Raises: ValueError if an argument is out of range; at the first use if the rank is 1 or `axis`
        does not suit.
    Reference: Bansal, Chen & Wang, NeurIPS 2018; Hutchinson, Commun. Stat. Simul. 1989.

    Example:
        >>> w = keras.ops.array([[2.0, 0.0], [0.0, 1.0]])
        >>> [round(float(Orthogonal(0.5, kind, exact=True)(w)), 4) for kind in KINDS]
        [4.5, 9.0, 1.5, 1.5]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        kind: str = "soft",
        exact: bool = False,
        axis: GroupAxis = "outputs",
    ):
        super().__init__(strength, axis)
        if kind not in KINDS:
            raise ValueError(f"Expected `kind` to be one of {KINDS}. Received: kind={kind!r}")
        self.kind = kind
        self.exact = schedules.check_flag(exact, "exact")

    def get_config(self) -> dict:
        return {**super().get_config(), "kind": self.kind, "exact": self.exact}

    def _omega(self, w: Any) -> Any:
        matrix = self._matrix(w)
        excess = abs(matrix.shape[0] - matrix.shape[1])
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else ops.transpose(matrix)
        if self.kind == "soft":
            return _soft(tall, self.exact)
        if self.kind == "double_soft":
            return 2.0 * _soft(tall, self.exact) + float(excess)
        if self.kind == "mutual_coherence":
            return ops.max(ops.abs(gram_residual(tall, _columns(tall, self.exact))))
        return safe_norm(gram_residual(tall, _eigenvector(tall, self.exact)))


def _soft(tall: Any, exact: bool) -> Any:
    if exact:
        return gram_error(tall)
    probes = random_signs(_PROBES, tall.shape[1], weight_seed(tall))
    return ops.sum(ops.square(gram_residual(tall, probes))) / _PROBES


def _columns(tall: Any, exact: bool) -> Any:
    """Unit vectors: the column of W^T W - I with the largest entry, or some drawn by chance."""
    count = tall.shape[1]
    if exact:
        error = ops.abs(gram_minus_identity(ops.stop_gradient(tall)))
        index = ops.argmax(ops.max(error, axis=0, keepdims=True), axis=1)
    else:
        seed = weight_seed(tall)
        index = ops.mod(hash32(ops.arange(_SAMPLED_COLUMNS, dtype="int32"), seed), count)
    return ops.stop_gradient(ops.one_hot(index, count, dtype="float32"))


def _eigenvector(tall: Any, exact: bool) -> Any:
    """Of W^T W - I, for the largest absolute eigenvalue; by default power iterations to it."""
    fixed = ops.stop_gradient(tall)
    if not exact:
        v = random_signs(1, tall.shape[1], weight_seed(tall))
        for _ in range(_POWER_ITERATIONS):
            v = unit(gram_residual(fixed, unit(v)))
        return ops.stop_gradient(v)
    values, vectors = ops.eigh(_finite(gram_minus_identity(fixed)))
    picked = ops.take(vectors, ops.argmax(ops.abs(values)), axis=1)
    return ops.stop_gradient(ops.expand_dims(picked, 0))


def _finite(matrix: Any) -> Any:
    # Backends stop with an error on others; the residual still shows them.
    return ops.where(ops.all(ops.isfinite(matrix)), matrix, ops.zeros_like(matrix))
