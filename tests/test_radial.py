"""The radial penalties one by one: their global minima and their limits."""

import keras
import numpy as np
import oracles
import pytest
from keras import ops

from keras_reg.regularizers import L0, L1, MCP, SCAD, CappedL1, LogSum, Lq

NONCONVEX = [
    L0(1.0),
    Lq(1.0, q=1 / 2),
    Lq(1.0, q=2 / 3),
    LogSum(1.0, epsilon=0.05),
    LogSum(1.0, epsilon=1.2),
    CappedL1(1.0, cap=0.6),
    MCP(1.0, gamma=0.4),
    MCP(1.0, gamma=2.0),
    SCAD(1.0, gamma=0.5, a=2.0),
    SCAD(1.0, gamma=2.0, a=3.7),
]

every_nonconvex = pytest.mark.parametrize("penalty", NONCONVEX, ids=repr)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


@every_nonconvex
def test_prox_is_the_lowest_point_of_a_grid_for_every_step(penalty):
    r = np.append(np.linspace(0, 6, 73), 8.9).astype("float32")
    grid = np.linspace(0, 9, 4501)
    config = penalty.get_config()
    phi = np.array([oracles.PHI[type(penalty).__name__](u, config) for u in grid])
    squares = 0.5 * (grid - r[:, None].astype("float64")) ** 2
    # From far below the step where the objective stops to be convex to far above it.
    for step in [1e-4, 0.02, 0.1, 0.3, 0.39, 0.41, 0.7, 1.3, 1.7, 2.5, 8.0]:
        found = numpy(penalty.prox(r, step))
        assert np.all(found >= 0)
        worth = np.array([oracles.PHI[type(penalty).__name__](u, config) for u in found])
        reached = 0.5 * (found - r.astype("float64")) ** 2 + step * worth
        objective = squares + step * phi
        np.testing.assert_array_less(reached, np.min(objective, axis=1) + 2e-6)
        # Where the lowest point of the grid is lowest by far, it is that very point.
        lowest = grid[np.argmin(objective, axis=1)]
        elsewhere = np.abs(grid - lowest[:, None]) > 0.05
        gap = np.min(np.where(elsewhere, objective, np.inf), axis=1) - np.min(objective, axis=1)
        clear = gap > 1e-3
        assert np.mean(clear) > 0.5
        np.testing.assert_allclose(found[clear], lowest[clear], atol=1.5e-3)


@every_nonconvex
def test_prox_is_odd_and_never_grows(penalty):
    w = 3 * random(200)
    shrunk = numpy(penalty.prox(w, 0.8))
    np.testing.assert_array_equal(numpy(penalty.prox(-w, 0.8)), -shrunk)
    assert np.all(np.abs(shrunk) <= np.abs(w))
    order = np.argsort(w)
    assert np.all(np.diff(shrunk[order]) >= 0)


# Squares: at step 3 and epsilon 0.3, rounding makes skglm's bisection start at a NaN and return 0.
@pytest.mark.parametrize("step", [0.01, 0.25, 1.0, 4.0])
def test_skglm_has_the_same_thresholds(step):
    functions = pytest.importorskip("skglm.utils.prox_funcs")
    w = 3 * random(300).astype("float64")
    for penalty, theirs in [
        (Lq(1.0, q=1 / 2), lambda x: functions.prox_05(x, step)),
        (Lq(1.0, q=2 / 3), lambda x: functions.prox_2_3(x, step)),
        (LogSum(1.0, epsilon=0.3), lambda x: functions.prox_log_sum(x, step, 0.3)),
        (LogSum(1.0, epsilon=2.0), lambda x: functions.prox_log_sum(x, step, 2.0)),
    ]:
        expected = [theirs(x) for x in w]
        np.testing.assert_allclose(numpy(penalty.prox(w, step)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("strength", "shape", "step"), [(0.3, 3.0, 1.0), (1.2, 3.7, 0.6)])
def test_the_textbook_parameters_map_as_documented(strength, shape, step):
    functions = pytest.importorskip("skglm.utils.prox_funcs")
    w = 3 * random(300).astype("float64")
    mcp = MCP(strength, gamma=shape * strength)
    scad = SCAD(strength, gamma=shape * strength, a=shape)
    for penalty, value, prox in [
        (mcp, functions.value_MCP, functions.prox_MCP),
        (scad, functions.value_SCAD, functions.prox_SCAD),
    ]:
        np.testing.assert_allclose(float(penalty(w)), value(w, strength, shape), rtol=1e-5)
        expected = [prox(x, step, strength, shape) for x in w]
        np.testing.assert_allclose(numpy(penalty.prox(w, step)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("penalty", "limit"),
    [
        (MCP(0.3, gamma=1e8), L1(0.3)),
        (SCAD(0.3, gamma=1e8), L1(0.3)),
        (CappedL1(0.3, cap=1e8), L1(0.3)),
        (LogSum(0.3 * 1e4, epsilon=1e4), L1(0.3)),
        (SCAD(0.3, gamma=1.1, a=1e6), MCP(0.3, gamma=1.1)),
        (SCAD(0.3, gamma=1.1, a=1.001), CappedL1(0.3, cap=1.1)),
        (MCP(600.0, gamma=1e-3), L0(0.3)),
        (CappedL1(300.0, cap=1e-3), L0(0.3)),
    ],
    ids=repr,
)
def test_limits(penalty, limit):
    w = 2 * random(500)
    w = w[np.abs(w) > 0.01]
    np.testing.assert_allclose(float(penalty.value(w)), float(limit.value(w)), rtol=2e-3)
    np.testing.assert_allclose(numpy(penalty.prox(w, 0.5)), numpy(limit.prox(w, 0.5)), atol=2e-3)


@every_nonconvex
def test_large_weights_are_shrunk_less_than_by_l1(penalty):
    w = np.array([40.0], "float32")
    kept, l1 = float(penalty.prox(w, 1.0)[0]), float(L1(1.0).prox(w, 1.0)[0])
    assert l1 + 0.5 < kept <= 40.0
    assert (kept == 40.0) == isinstance(penalty, (L0, MCP, SCAD, CappedL1))


def test_the_half_threshold_jumps_where_xu_et_al_say():
    # Their example: lambda = 1 in ||u - w||**2 + lambda * |u|**0.5, the threshold 54**(1/3) / 4.
    jump = 54 ** (1 / 3) / 4
    below, above = numpy(Lq(1.0, q=0.5).prox(np.array([jump - 1e-4, jump + 1e-4]), 0.5))
    assert below == 0.0
    np.testing.assert_allclose(above, 2 / 3 * jump, rtol=1e-3)


@pytest.mark.parametrize("q", [0.0, 1.0, 0.667, -0.5, "1/2", None])
def test_other_powers_are_refused(q):
    with pytest.raises(ValueError, match="`q`"):
        Lq(0.1, q=q)


@pytest.mark.parametrize(
    ("cls", "name"),
    [(MCP, "gamma"), (SCAD, "gamma"), (SCAD, "a"), (CappedL1, "cap"), (LogSum, "epsilon")],
)
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, "1"])
def test_shapes_out_of_range_are_refused(cls, name, bad):
    with pytest.raises(ValueError, match=f"`{name}`"):
        cls(0.1, **{name: bad})


def test_l0_in_a_layer_is_refused_and_says_where_it_belongs():
    dense = keras.layers.Dense(3, kernel_regularizer=L0(0.1))
    dense.build((None, 4))
    with pytest.raises(ValueError, match=r"useful gradient.*Proximal"):
        _ = dense.losses


@pytest.mark.parametrize("group_axis", [None, -1])
def test_l0_counts(group_axis):
    w = np.array([[1.0, 0.0], [0.0, 0.0], [-2.0, 1e-6]], "float32")
    count = L0(2.0, group_axis=group_axis, size_scaling=False).value(w)
    assert float(count) == 2.0 * (3 if group_axis is None else 2)


@pytest.mark.parametrize("penalty", [L0(0.0), Lq(0.0), Lq(0.0, q=2 / 3)], ids=repr)
def test_without_strength_the_gradient_is_the_distance_even_with_an_infinite_slope(penalty):
    w, gradient = np.array([0.0, 2.0], "float32"), np.array([3.0, -4.0], "float32")
    np.testing.assert_array_equal(numpy(penalty.stationarity(w, gradient)), [3.0, 4.0])


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 by default")
def test_float64_keeps_its_precision():
    r = np.random.default_rng(0).uniform(1.2, 4.0, 200)
    step = 0.375
    for penalty, slope in [
        (Lq(1.0, q=1 / 2), lambda u: 0.5 * u**-0.5),
        (Lq(1.0, q=2 / 3), lambda u: 2 / 3 * u ** (-1 / 3)),
        (LogSum(1.0, epsilon=0.5), lambda u: 1 / (u + 0.5)),
    ]:
        u = numpy(penalty.prox(r, step))
        assert np.all(u > 0)
        np.testing.assert_allclose(u - r + step * slope(u), 0, atol=1e-14)


@pytest.mark.parametrize("penalty", [Lq(1.0), Lq(1.0, q=2 / 3), LogSum(1.0, epsilon=1e-3)])
def test_huge_and_tiny_weights(penalty):
    w = np.array([1e-38, 1e-25, 1e10, 1e25, 3e38], "float32")
    for step in (0.0, 1e-30, 1.0, 1e8):
        shrunk = numpy(penalty.prox(w, step))
        np.testing.assert_array_equal(shrunk[3:], w[3:])
        assert np.all((shrunk >= 0) & (shrunk <= w))
        if step > 1e-25:
            np.testing.assert_array_equal(shrunk[:2], [0, 0])
