"""The weights of radial penalties: one factor for each group."""

import keras
import numpy as np
import oracles
import pytest
from keras import ops
from small_model import first_update

from keras_reg import optimizers, regularizers
from keras_reg.regularizers import L1, MCP, SCAD, GroupLasso, SparseGroupLasso

every_weighted = pytest.mark.parametrize("cls", [L1, GroupLasso, MCP, SCAD, SparseGroupLasso])


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def weights_of(w, group_axis):
    """Unequal factors, some of them zero, in the shape the penalty wants."""
    shape = w.shape if group_axis is None else tuple(w.shape[axis] for axis in group_axis)
    return np.arange(np.prod(shape)).reshape(shape) % 4 / 2


@every_weighted
@pytest.mark.parametrize("group_axis", [None, (1,), (0, 2)])
def test_weights_multiply_the_penalty_of_each_group(cls, group_axis):
    w = random(3, 4, 2)
    weights = weights_of(w, group_axis)
    penalty = cls(0.4, group_axis=group_axis, weights=weights)
    np.testing.assert_allclose(float(penalty(w)), oracles.value(penalty, w), rtol=1e-5)
    shrunk = numpy(penalty.prox(w, 0.7))
    index = [slice(None)] * 3
    for position in np.ndindex(weights.shape):
        for axis, at in zip(range(3) if group_axis is None else group_axis, position, strict=True):
            index[axis] = slice(at, at + 1)
        part = w[tuple(index)]
        alone = cls(0.4 * weights[position], group_axis=group_axis)
        np.testing.assert_allclose(shrunk[tuple(index)], numpy(alone.prox(part, 0.7)), atol=1e-6)
        index = [slice(None)] * 3


@every_weighted
def test_weights_of_one_change_nothing(cls):
    w = random(4, 3)
    plain, weighted = cls(0.3, group_axis=-1), cls(0.3, group_axis=-1, weights=[1, 1, 1])
    assert float(plain(w)) == float(weighted(w))
    np.testing.assert_array_equal(numpy(plain.prox(w, 0.5)), numpy(weighted.prox(w, 0.5)))
    assert plain.max_strength(w) == weighted.max_strength(w)


@every_weighted
@pytest.mark.parametrize("group_axis", [None, -1])
def test_a_weight_of_zero_leaves_its_group_bit_for_bit(cls, group_axis):
    w = random(50, 6) * np.array([1e-6, 1e-3, 1.0, 30.0, 1e6, 0.01], "float32")
    weights = np.ones(w.shape if group_axis is None else 6)
    weights[..., :5] = 0
    shrunk = numpy(cls(2.0, group_axis=group_axis, weights=weights).prox(w, 1.0))
    np.testing.assert_array_equal(shrunk[:, :5], w[:, :5])
    assert np.any(shrunk[:, 5] != w[:, 5])


@every_weighted
@pytest.mark.parametrize("group_axis", [None, -1])
def test_max_strength_and_stationarity_take_the_weights(cls, group_axis):
    gradient = random(3, 5)
    gradient[:, 0] = 100.0
    weights = np.full(gradient.shape if group_axis is None else 5, 0.5)
    weights[..., 0] = 0
    highest = cls(group_axis=group_axis, weights=weights).max_strength(gradient)
    assert highest < 50
    for factor, at_rest in [(1.001, True), (0.99, False)]:
        penalty = cls(highest * factor, group_axis=group_axis, weights=weights)
        distance = numpy(penalty.stationarity(0 * gradient, gradient))
        assert np.all(distance[..., 1:] == 0) == at_rest
        free = gradient[:, 0] if group_axis is None else np.linalg.norm(gradient[:, 0])
        np.testing.assert_allclose(distance[..., 0], free, rtol=1e-6)


@every_weighted
@pytest.mark.parametrize("group_axis", [None, (0, 2)])
def test_weighted_stationarity_is_zero_where_the_prox_lands(cls, group_axis):
    w = random(3, 4, 2)
    penalty = cls(0.3, group_axis=group_axis, weights=weights_of(w, group_axis))
    u = numpy(penalty.prox(w, 0.5))
    np.testing.assert_allclose(numpy(penalty.stationarity(u, (u - w) / 0.5)), 0, atol=1e-5)


@every_weighted
def test_no_penalized_group_needs_no_strength(cls):
    assert cls(group_axis=-1, weights=[0.0, 0]).max_strength(np.ones((3, 2), "float32")) == 0.0


@pytest.mark.parametrize(
    "weights",
    [
        [1, 0, 2.5],
        (1.0, 0.1, 2),
        np.array([0.1, 2.0, 3.0], "float32"),
        np.array([1, 2, 3]),
        ops.array([0.1, 0.2, 0.0]),
    ],
    ids=["list", "tuple", "float32", "int", "tensor"],
)
def test_weights_round_trip(weights):
    penalty = GroupLasso(0.1, weights=weights)
    given = numpy(weights).tolist() if ops.is_tensor(weights) else np.asarray(weights).tolist()
    assert penalty.get_config()["weights"] == given
    config = keras.saving.serialize_keras_object(penalty)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == penalty.get_config()
    assert "weights" not in GroupLasso(0.1).get_config()


def test_weights_are_a_copy_that_cannot_change():
    weights = np.ones(3)
    penalty = GroupLasso(0.1, weights=weights)
    weights[0] = 5
    assert penalty.get_config()["weights"] == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        penalty.weights[0] = 5
    assert len(repr(L1(0.1, weights=np.ones((100, 100))))) < 500


@pytest.mark.parametrize(
    "weights", [[1, -1], [np.nan], [np.inf], [[1], [1, 2]], ["a"], [True], "one", {"a": 1}]
)
@every_weighted
def test_bad_weights_are_refused(cls, weights):
    with pytest.raises(ValueError, match="`weights`"):
        cls(0.1, weights=weights)


@every_weighted
@pytest.mark.parametrize(
    ("group_axis", "shape", "wanted"),
    [(-1, (4,), r"\(3,\)"), (-1, (1, 3), r"\(3,\)"), (None, (3,), r"\(4, 3\)"), (0, (), r"\(4,\)")],
)
def test_weights_of_a_wrong_shape_name_the_variable(cls, group_axis, shape, wanted):
    penalty = cls(0.1, group_axis=group_axis, weights=np.ones(shape))
    message = rf"`weights` of shape {wanted}.*hidden/kernel"
    dense = keras.layers.Dense(3, name="hidden", kernel_regularizer=penalty)
    dense.build((None, 4))
    with pytest.raises(ValueError, match=message):
        _ = dense.losses
    plain = keras.layers.Dense(3, name="hidden")
    plain.build((None, 4))
    optimizer = optimizers.Proximal(keras.optimizers.SGD(0.1), {"hidden/kernel": penalty})
    with pytest.raises(ValueError, match=message):
        first_update(optimizer, plain.trainable_variables)


@pytest.mark.parametrize("name", ["L0", "L2", "Lq", "LogSum", "CappedL1", "ElasticNet"])
def test_the_other_penalties_take_no_weights(name):
    with pytest.raises(TypeError, match="weights"):
        getattr(regularizers, name)(0.1, weights=[1.0])


def descend(features, targets, penalty, shape, steps=500):
    """The penalized least squares fit, by proximal gradient descent."""
    w = np.zeros(shape, "float32")
    step = len(targets) / np.linalg.norm(features, 2) ** 2
    for _ in range(steps):
        gradient = features.T @ (features @ w.ravel() - targets) / len(targets)
        w = numpy(penalty.prox(w - step * gradient.reshape(shape), step))
    return w


def test_the_weighted_lasso_is_the_lasso_on_scaled_columns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    X = random(60, 8)
    y = X @ np.array([3, -2, 0.5, 0, 0, 0, 0, 0.2], "float32") + 0.3 * random(60)
    weights = np.array([0.3, 0.5, 2.0, 1.0, 5.0, 1.0, 1.0, 0.25], "float32")
    theirs = linear_model.Lasso(0.2, fit_intercept=False, tol=1e-8)
    theirs.fit((X / weights).astype("float64"), y)
    ours = descend(X, y, L1(0.2, weights=weights), shape=8)
    np.testing.assert_allclose(ours, theirs.coef_ / weights, atol=2e-4)
    assert 0 < np.sum(ours == 0) < 8


def test_adaptive_weights_by_group_shrink_what_is_kept_less():
    X = random(80, 6)
    truth = np.array([2.0, -2.0, 1.0, 1.0, 0.0, 0.0], "float32")
    y = X @ truth + 0.3 * random(80)
    first = np.linalg.lstsq(X, y, rcond=None)[0].reshape(3, 2)
    weights = 1 / np.linalg.norm(first, axis=1)
    equal, adaptive = (
        descend(X, y, GroupLasso(0.15, group_axis=0, weights=given), shape=(3, 2))
        for given in (None, weights)
    )
    assert np.all(adaptive[2] == 0)
    errors = [np.linalg.norm(w.ravel() - truth) for w in (adaptive, equal)]
    assert errors[0] < 0.85 * errors[1]
