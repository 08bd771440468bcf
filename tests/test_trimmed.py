"""Trimmed: the largest groups are left alone, against brute force and least squares."""

import itertools

import keras
import numpy as np
import pytest
from gradients import value_and_gradient
from keras import layers, ops
from sklearn.linear_model import LinearRegression

import keras_reg as kr
from keras_reg import schedules
from keras_reg.callbacks import TargetSparsity
from keras_reg.ops.grouping import Within
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import L0, L1, MCP, GroupLasso, LogSum, SparseGroupLasso, Trimmed

BACKEND = keras.backend.backend()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def by_brute_force(w, step, free):
    """The lowest 0.5 * |u - w|**2 + step * (sum of all but the `free` largest |u|), and its u."""
    found = []
    for chosen in itertools.combinations(range(len(w)), len(w) - free):
        u = w.copy()
        on = list(chosen)
        u[on] = np.sign(w[on]) * np.maximum(np.abs(w[on]) - step, 0)
        trimmed = np.sort(np.abs(u))[: len(w) - free].sum()
        found.append((0.5 * np.sum((u - w) ** 2) + step * trimmed, u))
    return min(found, key=lambda one: one[0])[1]


@pytest.mark.parametrize("step", [0.3, 2.0])
@pytest.mark.parametrize("at_least", [0.01, 0.4, 1.0])
def test_prox_of_the_trimmed_lasso_is_the_best_of_all_choices(at_least, step):
    w = normal(7).astype("float64")
    got = Trimmed(L1(1.0), at_least).prox(ops.array(w, "float32"), step)
    want = by_brute_force(w, step, int(np.ceil(at_least * 7)))
    np.testing.assert_allclose(ops.convert_to_numpy(got), want, atol=1e-6)


def test_value_is_that_of_all_but_the_largest_groups():
    w = normal(4, 5)
    sizes = np.sort(np.linalg.norm(w.astype("float64"), axis=0))
    penalty = Trimmed(GroupLasso(0.5, group_axis=-1, size_scaling=False), at_least=0.4)
    value, gradient = value_and_gradient(penalty, w)
    assert float(value) == pytest.approx(0.5 * sizes[:3].sum(), rel=1e-6)
    # Its gradient is that of three norms, each of length one.
    norms = np.linalg.norm(w, axis=0)
    lengths = np.where(norms >= sizes[3] * (1 - 1e-6), 0.0, 0.5)
    np.testing.assert_allclose(gradient, lengths * w / norms, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_is_left_alone_stays_bit_for_bit(dtype):
    w = ops.cast(normal(6, 9), dtype)
    after = Trimmed(GroupLasso(100.0), at_least=0.2).prox(w, 1.0)
    assert keras.backend.standardize_dtype(after.dtype) == dtype
    w, after = (ops.convert_to_numpy(ops.cast(one, "float32")) for one in (w, after))
    kept = np.sort(np.argsort(np.linalg.norm(w, axis=0))[-2:])
    assert np.flatnonzero(after.any(axis=0)).tolist() == kept.tolist()
    np.testing.assert_array_equal(after[:, kept], w[:, kept])


def test_of_equal_weights_the_first_are_left_alone_and_zero_keeps_none():
    penalty = Trimmed(L1(1.0), at_least=0.5)
    w = ops.array([1.0, -1.0, 1.0, 1.0])
    assert ops.convert_to_numpy(penalty.prox(w, 5.0)).tolist() == [1.0, -1.0, 0.0, 0.0]
    assert ops.convert_to_numpy(penalty.prox(ops.zeros((4,)), 5.0)).tolist() == [0.0] * 4


def test_strong_trimmed_lasso_is_least_squares_on_the_best_inputs():
    """With inputs that are not correlated the best are those of the largest coefficients."""
    x = np.linalg.qr(normal(60, 6).astype("float64"))[0] * np.sqrt(60)
    y = x @ [3.0, 0, -2, 0, 0.1, 1] + 0.1 * normal(60, seed=1)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1, use_bias=False)])
    penalty = Trimmed(L1(50.0), at_least=0.5)
    model.compile(Proximal(keras.optimizers.SGD(0.2), penalty), "mse")
    model.set_weights([np.linalg.lstsq(x, y[:, None], rcond=None)[0]])
    model.fit(x, y, batch_size=60, epochs=30, verbose=0)
    (kernel,) = model.get_weights()
    on = [0, 2, 5]
    want = np.zeros(6)
    want[on] = LinearRegression(fit_intercept=False).fit(x[:, on], y).coef_
    np.testing.assert_allclose(kernel[:, 0], want, atol=1e-4)
    gradient = 2 / 60 * x.T @ (x @ kernel - y[:, None])
    (row,) = kr.sparsity(model, gradients=[ops.array(gradient, "float32")]).rows
    assert row.stationarity == pytest.approx(0.0, abs=1e-3)


def two_layers():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu", name="a"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(5, activation="relu", name="b"),
            layers.Dense(3, name="out"),
        ],
        name="net",
    )


@pytest.mark.parametrize("penalty", [GroupLasso(1e6), MCP(1e6), L0(1e6), LogSum(1e6)], ids=repr)
def test_channels_keep_the_floor_of_every_kind(penalty):
    model = two_layers()
    for place, variable in enumerate(model.trainable_variables):
        variable.assign(normal(*variable.shape, seed=place) / 2**place)
    a, b = (model.get_layer(name).get_weights() for name in "ab")
    norm = model.get_layer("norm").get_weights()[:2]
    optimizer = Proximal(
        keras.optimizers.SGD(1.0), {kr.channels(model): Trimmed(penalty, at_least=0.3)}
    )
    gradients = [ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    for name, weights, kept in (("a", [*a, *norm], 3), ("b", b, 2)):
        sizes = sum(np.sum(w.reshape(-1, w.shape[-1]).astype("float64") ** 2, 0) for w in weights)
        best = np.sort(np.argsort(sizes)[-kept:])
        kernel, bias = model.get_layer(name).get_weights()
        assert np.flatnonzero(kernel.any(axis=0)).tolist() == best.tolist()
        np.testing.assert_array_equal(kernel[:, best], weights[0][:, best])
        np.testing.assert_array_equal(bias[best], weights[1][best])


def test_steered_far_no_layer_vanishes():
    keras.utils.set_random_seed(0)
    model = two_layers()
    penalty = Trimmed(LogSum(0.01), at_least=0.25)
    model.compile(Proximal(keras.optimizers.Adam(0.01), {kr.channels(model): penalty}), "mse")
    x = normal(64, 6)
    arguments = {"batch_size": 8, "epochs": 8, "verbose": 0}
    model.fit(x, x[:, :3], callbacks=[TargetSparsity(0.69, 4, of="channels")], **arguments)
    left = [group.size for group in kr.channels(kr.compact(model)).free()]
    # A quarter, rounded up, of 8 and of 5.
    assert left == [2, 2]
    with pytest.raises(ValueError, match=r"`target` to be at most 0\.6923"):
        model.fit(x, x[:, :3], callbacks=[TargetSparsity(0.75, 4, of="channels")], **arguments)


def test_saved_and_loaded_with_its_schedule(tmp_path):
    model = two_layers()
    strength = schedules.Linear(0.0, 0.5, steps=10)
    penalty = Trimmed(MCP(strength, gamma=2.0, group_axis="outputs"), at_least=0.2)
    penalties = {"a/kernel": penalty, kr.channels(model).matching("net/b"): penalty}
    model.compile(Proximal("adam", penalties), "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    found = list(loaded.penalties.values())
    assert [repr(one) for one in found] == [repr(penalty)] * 2
    assert found[0].get_config() == penalty.get_config()


def test_stationarity_is_that_of_the_others_and_the_gradient_of_what_is_left_alone():
    w = ops.array([[2.0, 0.0, 1.0]])
    penalty = Trimmed(L1(0.5), at_least=0.3)
    gradient = ops.array([[0.25, 0.75, -0.5]])
    distances = ops.convert_to_numpy(penalty.stationarity(w, gradient))
    np.testing.assert_allclose(np.ravel(distances), [0.25, 0.25, 0.0], atol=1e-7)


def test_max_strength_is_not_defined():
    with pytest.raises(NotImplementedError, match="max_strength is not defined for Trimmed"):
        Trimmed(L1(0.1)).max_strength(ops.ones((3,)))


@pytest.mark.parametrize(
    ("penalty", "at_least", "error", "message"),
    [
        (SparseGroupLasso(0.1), 0.1, TypeError, "RadialPenalty.*SparseGroupLasso"),
        (0.1, 0.1, TypeError, "RadialPenalty.*penalty=0.1"),
        (L1(0.1, weights=[1.0, 2.0]), 0.1, ValueError, "without `weights`"),
        (L1(0.1), 0.0, ValueError, "`at_least` to be above 0"),
        (L1(0.1), 1.5, ValueError, "at_least=1.5"),
    ],
)
def test_what_cannot_be_trimmed_is_refused(penalty, at_least, error, message):
    with pytest.raises(error, match=message):
        Trimmed(penalty, at_least)


def test_the_adaptive_metric_is_refused():
    model = two_layers()
    model.compile(Proximal("adam", Trimmed(L1(0.1)), metric="adaptive"), "mse")
    with pytest.raises(ValueError, match=r"sum over single weights.*Trimmed"):
        model.optimizer.build(model.trainable_variables)


@pytest.mark.parametrize("penalty", [GroupLasso(0.5, -1), LogSum(0.5, group_axis=-1)], ids=repr)
def test_zeros_ahead_are_those_of_the_steps_one_after_the_other(penalty):
    penalty = Trimmed(penalty, at_least=0.4)
    w = normal(4, 100) * np.geomspace(0.1, 0.001, 100).astype("float32")
    w[:, -3:] = 0.0
    now, grouping = ops.array(w), Within([w.shape], [-1])
    (seen,) = penalty.zeros_ahead([now], grouping, ops.array(0.01), ops.array(1000.0), 0)
    for _ in range(100):
        now = penalty.prox(now, 0.1)
    zero = np.all(ops.convert_to_numpy(now) == 0, axis=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(seen).ravel(), zero)
    assert zero.sum() == 60
