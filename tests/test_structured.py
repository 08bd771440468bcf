"""Penalties that are no function of a norm of each group, against other ways to solve them."""

import keras
import numpy as np
import oracles
import pytest
from keras import ops
from scipy.optimize import minimize

from keras_reg import regularizers
from keras_reg.ops.group_rows import from_group_rows, group_rows

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


SPARSE_GROUP = regularizers.SparseGroupLasso(1.0, l1_ratio=0.5, size_scaling=False)


@pytest.mark.parametrize(
    ("penalty", "w", "pull", "distance"),
    [
        # The subdifferential is worked out by hand for each.
        (regularizers.SLOPE(1.0, "linear"), [2, 1], [0.6, 0.9], 0.32),  # (1, 0.5)
        (regularizers.SLOPE(1.0, "linear"), [1, -1], [1, -1], 0.125),  # from (1, -.5) to (.5, -1)
        (regularizers.SLOPE(1.0, "linear"), [0, 0], [2, 0], 1.0),  # |v_i| <= 1, sum <= 1.5
        (regularizers.TotalVariation(1.0), [0, 1, 1], [0, 1.5, 0.5], 1.5),  # (-1, 1 - u, u)
        (regularizers.TotalVariation(1.0), [0, 0], [3, 0], 5.0),  # (-u, u), |u| <= 1
        (regularizers.GroupLInf(1.0), [2, 1], [1.5, 0.5], 0.5),  # (1, 0)
        (regularizers.GroupLInf(1.0), [1, -1], [1, -1], 0.5),  # (t, t - 1)
        (regularizers.GroupLInf(1.0), [0, 0], [1, 1], 0.5),  # |v_1| + |v_2| <= 1
        (regularizers.ExclusiveLasso(1.0), [2, 0], [5, 6], 5.0),  # (4, -4 to 4)
        (SPARSE_GROUP, [3, 4], [1.8, 0.9], 1.0),  # (0.8, 0.9)
        (SPARSE_GROUP, [0, 0], [2, 0.5], 1.0),  # a square of 0.5 and a disc of 0.5
    ],
    ids=str,
)
def test_stationarity_is_the_distance(penalty, w, pull, distance):
    column, gradient = (np.array(x, "float32")[:, None] for x in (w, pull))
    found = numpy(penalty.stationarity(column, -gradient)).item()
    assert found**2 == pytest.approx(distance, abs=1e-5)
