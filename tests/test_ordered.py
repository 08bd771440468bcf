"""SLOPE and TotalVariation, and the fits they rest on, against other ways to solve them."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.optimize import lsq_linear
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from test_structured import draw, numpy, seeds

from keras_reg import regularizers
from keras_reg.ops.backend import compiled
from keras_reg.ops.counted_ranks import falling_ranks
from keras_reg.ops.isotonic import isotonic_fit
from keras_reg.ops.scan import scan_rows
from keras_reg.ops.sorted_l1 import bh_weights, sorted_l1_prox


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
    found = scan_rows(compose, elements, lambda factor, _: ops.isnan(factor))[1]
    np.testing.assert_allclose(numpy(found), x[:, 1:], atol=1e-5)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_running_minimum_goes_on_until_nothing_changes(backwards):
    for y in (-np.arange(40.0), np.arange(40.0), draw(3, 40), np.array([0.0, *np.ones(39)])):
        row = ops.convert_to_tensor(y[None].astype("float32"))
        lower = lambda a, b: (ops.minimum(a[0], b[0]),)  # noqa: E731
        (found,) = scan_rows(lower, (row,), None, backwards=backwards)
        turn = slice(None, None, -1 if backwards else 1)
        expected = np.minimum.accumulate(y.astype("float32")[turn])[turn]
        np.testing.assert_array_equal(numpy(found)[0], expected)


@seeds
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_isotonic_fit_is_isotonic_regression(seed, n):
    y = draw(seed, (3, n))
    fit = IsotonicRegression(increasing=False).fit_transform
    expected = [fit(np.arange(n), row.astype("float64")) for row in y]
    fast = compiled(lambda y: isotonic_fit(y, float("inf"), 0.0))(ops.convert_to_tensor(y))
    np.testing.assert_allclose(numpy(fast), expected, atol=2e-6)


def test_isotonic_fit_of_a_cascade():
    """Pools that grow by one element at a time, and values of every magnitude."""
    up_and_down = np.concatenate([np.arange(30), np.arange(30)[::-1]])
    geometric = np.concatenate([2.0 ** np.arange(30, -30, -1)])
    for y in (up_and_down, geometric, -geometric, geometric[::-1]):
        fit = IsotonicRegression(increasing=False).fit_transform(np.arange(60), y)
        ours = numpy(
            isotonic_fit(ops.convert_to_tensor(y[None], dtype="float32"), float("inf"), 0.0)
        )
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


@pytest.mark.parametrize("scale", [1e-4, 0.01, 0.3, 2.0, 30.0])
@pytest.mark.parametrize("walk", [False, True])
def test_long_lines_meet_the_conditions_of_the_minimum(scale, walk):
    """sum_{j <= i} (w_j - x_j) is between -scale and scale, and at an end where x has a step."""
    w = draw(0, (300, 20))
    w = (np.cumsum(w, axis=0) / 20 if walk else w).astype("float32")
    x = numpy(regularizers.TotalVariation(scale).prox(w, 1.0))
    carried = np.cumsum(w.astype("float64") - x, axis=0)
    rounding = 3e-5 * max(1.0, np.max(np.abs(w)))
    np.testing.assert_allclose(carried[-1], 0, atol=rounding)
    assert np.all(np.abs(carried[:-1]) <= scale + rounding)
    step = np.sign(np.diff(x, axis=0))
    np.testing.assert_allclose(carried[:-1][step != 0], -scale * step[step != 0], atol=rounding)


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


MANY = 5000
NORMAL = np.abs(draw(0, MANY))
# Enough of them that ranks are counted where a compiler would sort slowly.
LARGE = {
    "normal": NORMAL,
    "half of them zero": np.maximum(NORMAL - 0.7, 0.0),
    "of all magnitudes": NORMAL**20,
    "one far off": np.append(NORMAL[1:], 1e30).astype("float32"),
    "few values": np.round(4.0 * NORMAL) / 4.0,
    "some ties": np.append(NORMAL[: MANY // 2], NORMAL[: MANY // 2]),
}


@pytest.mark.parametrize("x", LARGE.values(), ids=LARGE)
def test_falling_ranks_are_those_of_a_stable_sort(x):
    expected = np.empty(MANY)
    expected[np.argsort(-x, kind="stable")] = np.arange(MANY)
    expected[x == 0] = MANY - 1
    np.testing.assert_array_equal(numpy(falling_ranks(ops.convert_to_tensor(x))), expected)


def test_slope_prox_of_many_weights_is_isotonic_regression():
    w = np.sign(draw(2, MANY)) * LARGE["half of them zero"]
    i = np.arange(1, MANY + 1)
    charges = 0.3 * norm.isf(i * 0.1 / (2 * MANY)) / norm.isf(0.1 / (2 * MANY))
    order = np.argsort(-np.abs(w), kind="stable")
    expected = np.zeros(MANY)
    fit = IsotonicRegression(increasing=False, y_min=0.0)
    expected[order] = fit.fit_transform(i, np.abs(w)[order].astype("float64") - charges)
    shrunk = numpy(regularizers.SLOPE(0.3).prox(w, 1.0))
    np.testing.assert_allclose(shrunk, np.sign(w) * expected, atol=2e-6)


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


@seeds
@pytest.mark.parametrize("cls", [regularizers.TotalVariation, regularizers.SLOPE])
def test_step_zero_returns_ties_bit_for_bit(cls, seed):
    # The mean of equal numbers is not always that number.
    w = np.repeat(draw(2 * seed, (9, 2)), 7, axis=0)
    np.testing.assert_array_equal(numpy(cls(0.3).prox(w, 0.0)), w)
