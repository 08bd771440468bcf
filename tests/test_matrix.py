"""Penalties of a weight as a matrix: nuclear norm, spectral norm, orthogonality."""

import functools

import keras
import numpy as np
import oracles
import pytest
from keras import ops
from test_regularizers import numpy, value_and_gradient

from keras_reg import regularizers
from keras_reg.ops.backend import compiled
from keras_reg.ops.leading import leading_pairs
from keras_reg.ops.matrix import gram_residual, weight_seed
from keras_reg.regularizers import NuclearNorm, Orthogonal, SpectralNorm, spectral_norm

KINDS = ("soft", "double_soft", "mutual_coherence", "srip")
MATRIX_CLASSES = [NuclearNorm, SpectralNorm, Orthogonal]
every_kind = pytest.mark.parametrize("kind", KINDS)


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def orthonormal(rows, columns):
    q = np.linalg.qr(gaussian(max(rows, columns), min(rows, columns)).astype("float64"))[0]
    return (q if rows >= columns else q.T).astype("float32")


def singular_values(w):
    return np.linalg.svd(np.asarray(w, "float64"), compute_uv=False)


def slope(penalty, w, direction, h=1e-5):
    """The derivative of the definition along a direction."""
    w = w.astype("float64")
    ahead, behind = (oracles.value(penalty, w + sign * h * direction) for sign in (1, -1))
    return (ahead - behind) / (2 * h)


@pytest.mark.parametrize("cls", MATRIX_CLASSES)
def test_a_vector_is_refused_by_name(cls):
    variable = keras.Variable(np.ones(3, "float32"), name="gain")
    with pytest.raises(ValueError, match=r"rank 2 or more.*gain.* of shape \(3,\)"):
        cls(0.1)(variable)


@pytest.mark.parametrize("cls", [NuclearNorm, SpectralNorm])
def test_a_convolution_kernel_is_its_matrix(cls):
    kernel = gaussian(3, 3, 4, 5)
    matrix = kernel.reshape(36, 5)
    shrunk = numpy(cls(0.4).prox(kernel, 1.0))
    np.testing.assert_allclose(shrunk.reshape(36, 5), numpy(cls(0.4).prox(matrix, 1.0)), atol=1e-6)
    assert float(cls(0.4)(kernel)) == pytest.approx(float(cls(0.4)(matrix)), rel=1e-6)


def test_nuclear_prox_lowers_every_singular_value_and_the_rank():
    w = gaussian(12, 7)
    before = singular_values(w)
    threshold = (before[3] + before[4]) / 2
    after = singular_values(numpy(NuclearNorm(threshold).prox(w, 1.0)))
    np.testing.assert_allclose(after, np.maximum(before - threshold, 0), atol=1e-5)
    assert np.sum(after > 1e-5) == 4


def test_nuclear_gradient_is_finite_where_singular_values_repeat():
    _, gradient = value_and_gradient(NuclearNorm(2.0), np.eye(4, dtype="float32"))
    np.testing.assert_allclose(gradient, 2 * np.eye(4), atol=1e-5)


def test_nuclear_gradient_of_a_low_rank_weight_is_the_smallest_subgradient():
    u, v = orthonormal(6, 2), orthonormal(5, 2)
    _, gradient = value_and_gradient(NuclearNorm(1.0), (u * [3.0, 1.0]) @ v.T.astype("float32"))
    np.testing.assert_allclose(gradient, u @ v.T, atol=1e-4)


# A step that changes the largest singular values alone, and one that levels most of them.
@pytest.mark.parametrize("strength", [0.05, 1.5])
@pytest.mark.parametrize("shape", [(9, 6), (6, 9)])
def test_spectral_prox_lowers_the_largest_singular_values_together(strength, shape):
    w = gaussian(*shape)
    before = singular_values(w)
    shrunk = numpy(SpectralNorm(strength).prox(w, 1.0))
    after = singular_values(shrunk)
    assert np.sum(before - after) == pytest.approx(strength, abs=1e-4)
    np.testing.assert_allclose(after, np.minimum(before, after[0]), atol=1e-5)
    # Moreau: what the prox takes off lies in the ball of the dual norm, and on its face.
    removed = w - shrunk
    assert np.sum(singular_values(removed)) == pytest.approx(strength, abs=1e-4)
    assert np.sum(removed * shrunk) == pytest.approx(strength * after[0], rel=1e-4)


def with_singular_values(s, rows, columns):
    return (orthonormal(rows, len(s)) * np.asarray(s, "float32")) @ orthonormal(len(s), columns)


# Of 64 singular values, whether the few largest suffice: one or five of them are lowered; twenty
# are equal; the step is large.
FEW = [
    ([2.0, *np.linspace(1.5, 0.1, 63)], 1e-3, True),
    ([2.0] * 5 + [*np.linspace(1.5, 0.1, 59)], 1e-2, True),
    ([2.0] * 20 + [*np.linspace(1.5, 0.1, 44)], 1e-3, False),
    ([*np.linspace(2.0, 0.1, 64)], 5.0, False),
]
few = pytest.mark.parametrize(("s", "radius", "suffices"), FEW, ids=["1", "5", "20", "most"])


@few
@pytest.mark.parametrize("shape", [(96, 64), (64, 96)])
def test_spectral_prox_of_a_large_kernel_is_its_definition(s, radius, suffices, shape, monkeypatch):
    monkeypatch.setattr(spectral_norm, "_LEAST_SIZE", 64)
    w = with_singular_values(s, *shape)
    u, exact, vt = np.linalg.svd(w.astype("float64"), full_matrices=False)
    cut = np.max((np.cumsum(exact) - radius) / np.arange(1, 65))
    expected = (u * np.minimum(exact, cut)) @ vt
    found = numpy(SpectralNorm(1.0).prox(w, radius))
    # TensorFlow's decomposition of all is the less exact.
    allowed = 1e-6 if suffices else 3e-6
    assert np.linalg.norm(found - expected, 2) < allowed * exact[0]


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 by default")
def test_spectral_prox_of_a_large_kernel_is_exact_in_float64(monkeypatch):
    monkeypatch.setattr(spectral_norm, "_LEAST_SIZE", 64)
    w = with_singular_values([2.0, *np.linspace(1.5, 0.1, 63)], 64, 64).astype("float64")
    u, _, vt = np.linalg.svd(w)
    step = ops.convert_to_tensor(1e-3, "float64")
    found = numpy(SpectralNorm(1.0).prox(ops.convert_to_tensor(w, "float64"), step))
    np.testing.assert_allclose(found, w - float(step) * np.outer(u[:, 0], vt[0]), atol=1e-15)


@few
def test_the_few_largest_singular_values_are_taken_only_where_they_suffice(s, radius, suffices):
    w = with_singular_values(s, 96, 64)
    gram, seed = ops.convert_to_tensor(w.T @ w), ops.array(1, "int32")
    judge = functools.partial(spectral_norm._judged, radius)
    values, _, good = leading_pairs(gram, 16, seed, judge)
    assert bool(good) == suffices
    if suffices:
        # To what the step needs: those that it does not lower may be less exact.
        np.testing.assert_allclose(numpy(values)[:5], np.square(s[:5]), rtol=2e-3)


@pytest.mark.parametrize(("level", "bounded"), [(2.9, False), (3.5, True)])
def test_a_bound_below_an_eigenvalue_is_not_given(level, bounded):
    gram = ops.diag(ops.array([4.0, 3.0] + [1.0] * 62))

    def judge(values, residuals, is_bounded):
        return is_bounded(level * ops.ones_like(values[1:]), 1)[0], True

    assert bool(leading_pairs(gram, 16, ops.array(1, "int32"), judge)[2]) == bounded


def test_power_iteration_is_below_and_comes_close():
    w = gaussian(60, 40)
    top = singular_values(w)[0]
    found = [float(SpectralNorm(1.0, iterations=count)(w)) for count in (1, 10, 100)]
    assert found == sorted(found)
    assert found[1] > 0.95 * top
    assert found[2] == pytest.approx(top, rel=1e-3)
    assert found[2] <= top * (1 + 1e-6)


@pytest.mark.parametrize("iterations", [0, 1.5, "many"])
def test_bad_iterations_are_refused(iterations):
    with pytest.raises(ValueError, match="iterations"):
        SpectralNorm(0.1, iterations=iterations)


@every_kind
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 2, 2, 4), (1, 4), (1, 1)])
def test_exact_value_is_its_definition(kind, shape):
    w, penalty = gaussian(*shape), Orthogonal(0.3, kind, exact=True)
    assert float(penalty(w)) == pytest.approx(oracles.value(penalty, w), rel=1e-4)


@every_kind
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 2, 2, 4)])
def test_exact_gradient_matches_differences(kind, shape):
    w, penalty = gaussian(*shape), Orthogonal(0.3, kind, exact=True)
    _, gradient = value_and_gradient(penalty, w)
    for seed in range(1, 4):
        direction = gaussian(*shape, seed=seed)
        expected = slope(penalty, w, direction)
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=2e-3, abs=2e-3)


@every_kind
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)])
def test_orthonormal_matrices_cost_nothing(kind, exact, shape):
    value = float(Orthogonal(1.0, kind, exact)(orthonormal(*shape)))
    least = abs(shape[0] - shape[1]) if kind == "double_soft" else 0.0
    assert least <= value < least + 1e-5


@every_kind
@pytest.mark.parametrize("exact", [False, True])
def test_never_negative_and_zero_is_stationary(kind, exact):
    penalty = Orthogonal(1.0, kind, exact)
    values = [float(penalty(orthonormal(n, n) + 1e-7 * gaussian(n, n))) for n in (2, 16, 40)]
    assert min(values) >= 0.0
    _, gradient = value_and_gradient(penalty, np.zeros((4, 3), "float32"))
    np.testing.assert_array_equal(gradient, np.zeros((4, 3)))


@every_kind
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_weights_show_in_the_value(kind, exact, bad):
    w = gaussian(4, 3)
    w[1, 1] = bad
    assert not np.isfinite(float(Orthogonal(1.0, kind, exact)(w)))


def perturbed(w, count):
    """Weights that differ by rounding errors, and so have different seeds."""
    return [w + np.float32(1e-6) * gaussian(*w.shape, seed=seed) for seed in range(count)]


@pytest.mark.parametrize("kind", ["soft", "double_soft"])
@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_the_estimate_and_its_gradient_have_the_exact_mean(kind, shape):
    w = 0.5 * gaussian(*shape)
    penalty = Orthogonal(1.0, kind)
    draws = [value_and_gradient(penalty, v) for v in perturbed(w, 150)]
    value, gradient = value_and_gradient(Orthogonal(1.0, kind, exact=True), w)
    for estimates, exact in zip(zip(*draws, strict=True), (value, gradient), strict=True):
        error = np.std(estimates, axis=0) / np.sqrt(len(draws))
        assert np.all(np.abs(np.mean(estimates, axis=0) - exact) < 4.5 * error + 1e-4)
        assert np.max(error) > 1e-3


@pytest.mark.parametrize("kind", ["mutual_coherence", "srip"])
def test_the_other_estimates_are_below_and_reach_the_exact_value(kind):
    w = 0.5 * gaussian(12, 8)
    exact = float(Orthogonal(1.0, kind, exact=True)(w))
    penalty = Orthogonal(1.0, kind)
    draws = [float(penalty(v)) for v in perturbed(w, 60)]
    assert max(draws) <= exact * (1 + 1e-4)
    assert max(draws) > 0.97 * exact
    assert len(set(np.round(draws, 3))) > 1


def test_gradient_of_the_residual_is_that_of_its_formula():
    w, vectors, pull = gaussian(6, 4), gaussian(3, 4, seed=1), gaussian(3, 4, seed=2)
    _, gradient = value_and_gradient(
        lambda w: ops.sum(gram_residual(w, ops.convert_to_tensor(vectors)) * ops.array(pull)), w
    )
    for direction in (gaussian(6, 4, seed=3), gaussian(6, 4, seed=4)):
        ahead, behind = (w.astype("float64") + sign * 1e-5 * direction for sign in (1, -1))
        rise = (ahead.T @ ahead - behind.T @ behind) / 2e-5
        expected = np.sum((vectors @ rise) * pull)
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-4)


def test_the_seed_follows_any_of_its_weights():
    w = 0.02 * gaussian(8, 8)
    seeds = {int(weight_seed(ops.convert_to_tensor(w)))}
    for index in np.ndindex(8, 8):
        moved = w.copy()
        moved[index] = np.nextafter(moved[index] * np.float32(1.0001), np.float32(1))
        seeds.add(int(weight_seed(ops.convert_to_tensor(moved))))
    assert len(seeds) == 65


@every_kind
@pytest.mark.parametrize("exact", [False, True])
def test_orthogonal_compiled_equals_eager(kind, exact):
    w, penalty = gaussian(6, 4), Orthogonal(0.5, kind, exact, axis=-1)
    fast = compiled(lambda w: penalty._omega(w))(ops.convert_to_tensor(w))
    assert float(fast) * 0.5 == pytest.approx(float(penalty(w)), rel=1e-4)


@every_kind
def test_training_makes_columns_orthonormal(kind):
    dense = keras.layers.Dense(6, use_bias=False, kernel_regularizer=Orthogonal(1.0, kind))
    model = keras.Sequential([keras.Input((12,)), dense])
    model.compile(keras.optimizers.SGD(0.02), "mse", jit_compile=False)
    x = np.zeros((640, 12), "float32")
    exact = Orthogonal(1.0, kind, exact=True)
    before = float(exact(dense.get_weights()[0]))
    model.fit(x, np.zeros((640, 6), "float32"), batch_size=4, verbose=0)
    least = 6.0 if kind == "double_soft" else 0.0
    assert float(exact(dense.get_weights()[0])) - least < 0.5 * (before - least)


def test_orthogonal_says_what_it_has_not():
    with pytest.raises(ValueError, match="proximal operator"):
        Orthogonal(0.1).prox(gaussian(3, 2), 0.1)
    with pytest.raises(NotImplementedError, match="max_strength is not defined"):
        Orthogonal(0.1).max_strength(gaussian(3, 2))
    with pytest.raises(NotImplementedError, match="stationarity is not defined"):
        Orthogonal(0.1).stationarity(gaussian(3, 2), gaussian(3, 2))
    with pytest.raises(ValueError, match=r"Expected `kind` to be one of .*'hard'"):
        Orthogonal(0.1, kind="hard")


@pytest.mark.parametrize("cls", [NuclearNorm, SpectralNorm])
def test_huge_weights_are_shrunk_and_finite(cls):
    w = np.array([[1e-25, 1e15], [-1e-25, 1e15]], "float32")
    shrunk = numpy(cls(0.1).prox(w, 0.1))
    assert np.linalg.norm(shrunk) <= np.linalg.norm(w) * (1 + 1e-6)


def test_keras_orthogonal_regularizer_has_the_same_minimum():
    # It penalizes the angles between columns and not their lengths.
    theirs = keras.regularizers.OrthogonalRegularizer(1.0, mode="columns")
    w = ops.convert_to_tensor(orthonormal(6, 4))
    assert float(theirs(w)) < 1e-6
    assert float(regularizers.Orthogonal(1.0)(w)) < 1e-6
    assert float(theirs(3.0 * w)) < 1e-6
    assert float(regularizers.Orthogonal(1.0)(3.0 * w)) > 1.0
