"""Penalties that are no function of a norm of each group, against other ways to solve them."""

import keras
import numpy as np
import oracles
import pytest
from keras import ops
from scipy.optimize import lsq_linear, minimize
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression

from keras_reg import regularizers
from keras_reg.ops.backend import compiled
from keras_reg.ops.chain import chain_fit
from keras_reg.ops.groups import from_group_rows, group_rows
from keras_reg.ops.scan import scan_rows
from keras_reg.ops.sorted_l1 import bh_weights, sorted_l1_prox

seeds = pytest.mark.parametrize("seed", range(4))


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def draw(seed, shape, ties=True):
    """Random weights, on a coarse grid where there should be ties."""
    w = np.random.default_rng(seed).standard_normal(shape)
    return (np.round(2 * w) / 2 if ties and seed % 2 else w).astype("float32")


def test_group_rows_are_the_groups():
    w = draw(0, (2, 3, 4, 5))
    for axis in (None, -1, 1, (0, 2), (-1, 0)):
        rows = group_rows(ops.convert_to_tensor(w), axis)
        expected = np.stack(oracles.groups(w, axis))
        np.testing.assert_array_equal(numpy(rows), expected)
        np.testing.assert_array_equal(numpy(from_group_rows(rows, w.shape, axis)), w)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 13])
def test_scan_combines_in_order(n):
    # The composition of affine maps depends on the order.
    factor, shift = draw(0, (2, n)), draw(2, (2, n))

    def compose(inner, outer):
        return inner[0] * outer[0], inner[1] * outer[0] + outer[1]

    elements = (ops.convert_to_tensor(factor), ops.convert_to_tensor(shift))
    x = np.zeros((2, n + 1))
    for i in range(n):
        x[:, i + 1] = factor[:, i] * x[:, i] + shift[:, i]
    np.testing.assert_allclose(numpy(scan_rows(compose, elements)[1]), x[:, 1:], atol=1e-5)


@seeds
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_chain_fit_is_isotonic_regression(seed, n):
    y = draw(seed, (3, n))
    fit = IsotonicRegression(increasing=False).fit_transform
    expected = [fit(np.arange(n), row.astype("float64")) for row in y]
    fast = compiled(lambda y: chain_fit(y, float("inf"), 0.0))(ops.convert_to_tensor(y))
    np.testing.assert_allclose(numpy(fast), expected, atol=2e-6)


def test_chain_fit_of_a_cascade():
    """Pools that grow by one element at a time, and values of every magnitude."""
    up_and_down = np.concatenate([np.arange(30), np.arange(30)[::-1]])
    geometric = np.concatenate([2.0 ** np.arange(30, -30, -1)])
    for y in (up_and_down, geometric, -geometric, geometric[::-1]):
        fit = IsotonicRegression(increasing=False).fit_transform(np.arange(60), y)
        ours = numpy(chain_fit(ops.convert_to_tensor(y[None], dtype="float32"), float("inf"), 0.0))
        np.testing.assert_allclose(ours[0], fit, rtol=1e-6)


def total_variation_by_its_dual(y, scale):
    """y - D'u, where u is the point of the box |u| <= scale with the least ||y - D'u||."""
    n = y.size
    differences = np.diff(np.eye(n), axis=0)
    dual = lsq_linear(differences.T, y, (-scale, scale), tol=1e-14, max_iter=1000)
    return y - differences.T @ dual.x


@seeds
@pytest.mark.parametrize("scale", [0.05, 0.4, 3.0])
def test_total_variation_prox_solves_the_dual(seed, scale):
    w = draw(seed, (9, 2, 3))
    penalty = regularizers.TotalVariation(scale, axis=0)
    expected = np.zeros(w.shape)
    for index in np.ndindex(2, 3):
        line = w[(slice(None), *index)].astype("float64")
        expected[(slice(None), *index)] = total_variation_by_its_dual(line, scale)
    np.testing.assert_allclose(numpy(penalty.prox(w, 1.0)), expected, atol=1e-4)
    fast = compiled(lambda w: penalty.prox(w, 1.0))(ops.convert_to_tensor(w))
    np.testing.assert_allclose(numpy(fast), expected, atol=1e-4)


def test_total_variation_fuses_exactly():
    w = draw(0, (64, 1))
    fused = numpy(regularizers.TotalVariation(2.0).prox(w, 1.0))[:, 0]
    assert 1 < len(np.unique(fused)) < 20
    everything = numpy(regularizers.TotalVariation(100.0).prox(w, 1.0))
    np.testing.assert_allclose(everything, np.full(w.shape, np.mean(w)), rtol=1e-5)


def test_total_variation_max_strength_without_a_mean():
    gradient = np.array([[1.0], [2.0], [-3.0]], "float32")
    assert regularizers.TotalVariation().max_strength(gradient) == 3.0
    below, above = (regularizers.TotalVariation(s).prox(-gradient, 1.0) for s in (2.9, 3.001))
    assert np.any(np.abs(numpy(below)) > 1e-3)
    np.testing.assert_allclose(numpy(above), 0 * gradient, atol=1e-6)


@pytest.mark.parametrize("axis", [1.0, None, True, (0,)])
def test_total_variation_refuses_a_bad_axis(axis):
    with pytest.raises(ValueError, match="axis"):
        regularizers.TotalVariation(0.1, axis=axis)


def test_total_variation_names_the_variable():
    dense = keras.layers.Dense(3, name="hidden")
    dense.build((None, 4))
    with pytest.raises(ValueError, match=r"hidden/kernel of shape \(4, 3\)"):
        regularizers.TotalVariation(0.1, axis=2)(dense.kernel)


@seeds
@pytest.mark.parametrize("charge", [0.0, 0.3, 5.0])
def test_equal_charges_are_l1(seed, charge):
    w = draw(seed, 20)
    ours = sorted_l1_prox(ops.convert_to_tensor(w), ops.full((20,), charge))
    np.testing.assert_allclose(numpy(ours), numpy(regularizers.L1(charge).prox(w, 1.0)), atol=1e-6)


@seeds
@pytest.mark.parametrize("scale", [0.1, 0.8, 2.0])
@pytest.mark.parametrize("kwargs", [{}, {"sequence": "linear"}])
def test_slope_prox_is_isotonic_regression_of_the_sorted(seed, scale, kwargs):
    w = draw(seed, (6, 5))
    i = np.arange(1, 31)
    charges = (31 - i) / 30 if kwargs else norm.isf(i * 0.1 / 60) / norm.isf(0.1 / 60)
    size = np.abs(w).ravel().astype("float64")
    order = np.argsort(-size, kind="stable")
    fit = IsotonicRegression(increasing=False, y_min=0.0)
    expected = np.zeros(30)
    expected[order] = fit.fit_transform(i, size[order] - scale * charges)
    expected = np.sign(w) * expected.reshape(w.shape)
    penalty = regularizers.SLOPE(scale, **kwargs)
    np.testing.assert_allclose(numpy(penalty.prox(w, 1.0)), expected, atol=3e-6)
    fast = compiled(lambda w: penalty.prox(w, 1.0))(ops.convert_to_tensor(w))
    np.testing.assert_allclose(numpy(fast), expected, atol=3e-6)


@seeds
def test_slope_prox_is_that_of_skglm(seed):
    prox_slope = pytest.importorskip("skglm.utils.prox_funcs").prox_SLOPE
    size = -np.sort(-np.abs(draw(seed, 25)))
    charges = 0.7 * numpy(bh_weights(25, 0.1))
    ours = sorted_l1_prox(ops.convert_to_tensor(size), ops.convert_to_tensor(charges))
    expected = prox_slope(size.astype("float64"), charges.astype("float64"))
    np.testing.assert_allclose(numpy(ours), expected, atol=3e-6)


def test_slope_ties_exactly():
    w = np.array([3.0, -3.1, 2.95, 0.1], "float32")
    size = np.abs(numpy(regularizers.SLOPE(1.0, sequence="linear").prox(w, 1.0)))
    assert size[0] == size[1] == size[2] > 0
    assert size[3] == 0


@pytest.mark.parametrize("n", [1, 10, 100_000])
@pytest.mark.parametrize("q", [0.001, 0.1, 0.999])
def test_charges_are_normal_quantiles(n, q):
    quantiles = norm.isf(np.arange(1, n + 1) * q / (2 * n))
    np.testing.assert_allclose(numpy(bh_weights(n, q)), quantiles / quantiles[0], atol=2e-6)


@pytest.mark.parametrize("kwargs", [{"sequence": "oscar"}, {"q": 0.0}, {"q": 1.0}, {"q": "x"}])
def test_slope_refuses(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        regularizers.SLOPE(0.1, **kwargs)


def project_on_l1_ball(x, radius):
    """By its definition, over the split x = p - n into non-negative parts."""
    n = x.size
    start = np.zeros(2 * n)
    return minimize(
        lambda v: (
            0.5 * np.sum((v[:n] - v[n:] - x) ** 2),
            np.concatenate([v[:n] - v[n:] - x, x - v[:n] + v[n:]]),
        ),
        start,
        jac=True,
        bounds=[(0, None)] * (2 * n),
        constraints={"type": "ineq", "fun": lambda v: radius - np.sum(v)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    ).x.reshape(2, n)


@seeds
@pytest.mark.parametrize("scale", [0.2, 1.0, 50.0])
def test_group_linf_prox_leaves_a_projection(seed, scale):
    w = draw(seed, (5, 3))
    shrunk = numpy(regularizers.GroupLInf(scale).prox(w, 1.0))
    for j in range(3):
        positive, negative = project_on_l1_ball(w[:, j].astype("float64"), scale)
        np.testing.assert_allclose(w[:, j] - shrunk[:, j], positive - negative, atol=1e-4)


def test_group_linf_levels_a_group_exactly():
    w = np.array([[3.0], [-2.9], [0.3]], "float32")
    size = np.abs(numpy(regularizers.GroupLInf(1.0).prox(w, 1.0)))[:, 0]
    assert size[0] == size[1]
    assert size[2] == np.float32(0.3)


@seeds
@pytest.mark.parametrize("scale", [0.02, 0.3, 4.0])
def test_exclusive_lasso_prox_is_the_minimum(seed, scale):
    w = draw(seed, (5, 3))
    shrunk = numpy(regularizers.ExclusiveLasso(scale).prox(w, 1.0))
    for j in range(3):
        size = np.abs(w[:, j]).astype("float64")
        # Signs stay, so that a smooth problem over sizes u >= 0 is left.
        best = minimize(
            lambda u, size=size: (
                0.5 * np.sum((u - size) ** 2) + scale * np.sum(u) ** 2,
                u - size + 2 * scale * np.sum(u),
            ),
            size,
            jac=True,
            bounds=[(0, None)] * 5,
            options={"ftol": 1e-15, "gtol": 1e-10},
        ).x
        np.testing.assert_allclose(shrunk[:, j], np.sign(w[:, j]) * best, atol=1e-5)


def test_exclusive_lasso_keeps_every_group():
    w = draw(0, (5, 3))
    shrunk = numpy(regularizers.ExclusiveLasso(100.0).prox(w, 1.0))
    assert np.all(np.sum(shrunk != 0, axis=0) == 1)


@seeds
@pytest.mark.parametrize("size_scaling", [True, False])
def test_sparse_group_lasso_has_l1_and_group_lasso_at_its_ends(seed, size_scaling):
    w = draw(seed, (4, 3))
    group = {"group_axis": -1, "size_scaling": size_scaling}
    for ratio, other in [
        (1.0, regularizers.L1(0.3)),
        (0.0, regularizers.GroupLasso(0.3, **group)),
    ]:
        penalty = regularizers.SparseGroupLasso(0.3, l1_ratio=ratio, **group)
        np.testing.assert_allclose(numpy(penalty(w)), numpy(other(w)), rtol=1e-6)
        np.testing.assert_allclose(
            numpy(penalty.prox(w, 1.0)), numpy(other.prox(w, 1.0)), atol=1e-7
        )
        assert penalty.max_strength(w) == pytest.approx(other.max_strength(w), rel=1e-6)


@pytest.mark.parametrize("group_axis", [None, -1])
def test_hoyer_square_ignores_the_scale(group_axis):
    w = draw(0, (4, 3))
    penalty = regularizers.HoyerSquare(0.5, group_axis=group_axis)
    for scale in (1e-25, 1e-3, 1e20):
        scaled = (w * np.float32(scale)).astype("float32")
        np.testing.assert_allclose(numpy(penalty(scaled)), numpy(penalty(w)), rtol=1e-5)


def test_hoyer_square_counts_equal_weights():
    penalty = regularizers.HoyerSquare(1.0)
    assert float(penalty(np.array([0.0, 3.0, -3.0, 3.0], "float32"))) == pytest.approx(3.0)
    assert float(penalty(np.zeros(4, "float32"))) == 0.0


def test_hoyer_square_has_no_prox():
    with pytest.raises(ValueError, match="proximal operator"):
        regularizers.HoyerSquare(0.1).prox(np.ones((2, 2), "float32"), 0.1)


@pytest.mark.parametrize("group_axis", [None, -1])
def test_hoyer_square_stationarity_by_differences(group_axis):
    w, h = draw(0, (4, 3)).astype("float64"), 1e-6
    w[:, 1] = 0
    penalty = regularizers.HoyerSquare(0.5, group_axis=group_axis)
    slope = np.zeros(w.shape)
    for at in np.ndindex(w.shape):
        e = np.zeros(w.shape)
        e[at] = h
        slope[at] = (oracles.value(penalty, w + e) - oracles.value(penalty, w - e)) / (2 * h)
    residual = numpy(penalty.stationarity(w.astype("float32"), -slope.astype("float32")))
    np.testing.assert_allclose(residual, 0 * residual, atol=1e-4)
    assert np.all(numpy(penalty.stationarity(w.astype("float32"), np.float32(9 - slope))) > 0.1)
    assert np.all(numpy(penalty.stationarity(0 * w, slope)) == 0)


@pytest.mark.parametrize("given_as", [list, np.asarray, ops.convert_to_tensor, keras.Variable])
def test_l2_sp_pulls_to_its_reference(given_as):
    reference, w = draw(0, (4, 3)), draw(2, (4, 3))
    penalty = regularizers.L2SP(0.5, given_as(reference.tolist()))
    np.testing.assert_allclose(numpy(penalty(w)), 0.5 * np.sum((w - reference) ** 2), rtol=1e-5)
    # The minimum of 0.5 * (u - w)**2 + 2 * 0.5 * (u - reference)**2 lies two thirds of the way.
    expected = w + 2 / 3 * (reference - w)
    np.testing.assert_allclose(numpy(penalty.prox(w, 2.0)), expected, rtol=1e-5)
    np.testing.assert_array_equal(numpy(penalty.prox(w, 0.0)), w)
    residual = numpy(penalty.stationarity(expected, (expected - w) / 2.0))
    np.testing.assert_allclose(residual, np.zeros((4, 3)), atol=1e-5)


def test_l2_sp_config_holds_plain_lists():
    reference = draw(0, (2, 3))
    config = regularizers.L2SP(0.1, reference).get_config()
    assert config["reference"] == reference.tolist()
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(regularizers.L2SP(0.1, reference))
    )
    assert again.get_config() == config


def test_l2_sp_refuses_another_shape_and_names_the_variable():
    dense = keras.layers.Dense(3, name="hidden")
    dense.build((None, 4))
    with pytest.raises(ValueError, match=r"hidden/kernel, \(4, 3\)"):
        regularizers.L2SP(0.1, np.zeros((4, 2)))(dense.kernel)


@pytest.mark.parametrize("reference", ["x", [[1.0], [1.0, 2.0]], [float("nan")], {"a": 1}])
def test_l2_sp_refuses_a_bad_reference(reference):
    with pytest.raises(ValueError, match="reference"):
        regularizers.L2SP(0.1, reference)


def test_l2_sp_has_no_max_strength_away_from_zero():
    with pytest.raises(NotImplementedError, match="reference"):
        regularizers.L2SP(0.1, [1.0]).max_strength(np.ones(1, "float32"))


@pytest.mark.parametrize(
    "penalty",
    [
        regularizers.SLOPE(2.0),
        regularizers.TotalVariation(2.0),
        regularizers.GroupLInf(2.0),
        regularizers.ExclusiveLasso(0.05),
        regularizers.SparseGroupLasso(0.5),
    ],
    ids=repr,
)
def test_prox_of_a_larger_weight_is_stationary(penalty):
    w = draw(0, (300, 8))
    u = numpy(penalty.prox(w, 1.0))
    residual = numpy(penalty.stationarity(u, u - w))
    np.testing.assert_allclose(residual, 0 * residual, atol=2e-3)
