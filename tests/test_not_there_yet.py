"""Models that have no trainable variable yet, or not those that the penalties name."""

import keras
import numpy as np
import pytest
from small_model import data, dense_model, fit

from keras_reg import regularize
from keras_reg.optimizers import FixedSupport, Proximal
from keras_reg.regularizers import L1

MAKE = {
    "one penalty": lambda: Proximal("adam", L1(0.1)),
    "a pattern": lambda: Proximal("adam", {"hidden/kernel": L1(0.1)}),
    "adaptive": lambda: Proximal("adam", L1(0.1), metric="adaptive"),
    "fixed": lambda: FixedSupport("adam"),
    "averages": lambda: Proximal(keras.optimizers.Adam(use_ema=True), L1(0.1)),
}
# Keras says so of a file whose optimizer has state for variables that are now frozen.
without_state = pytest.mark.filterwarnings("ignore:[^$]*Skipping variable loading for optimizer")
every_kind = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def trained(make):
    model = dense_model()
    model.compile(make(), keras.losses.MeanSquaredError())
    fit(model)
    return model


def saved_and_loaded(model, path):
    model.save(path)
    return keras.models.load_model(path)


def assert_same_weights(model, other):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# PyTorch compiles nothing, so it takes them all.
SAVED = [(name, whole, end) for name in MAKE for whole in (True, False) for end in ("keras", "h5")]
SAVED = SAVED if keras.backend.backend() == "torch" else SAVED[::3]


@pytest.mark.parametrize(("name", "whole", "ending"), SAVED)
@without_state
def test_a_model_frozen_before_it_was_saved_is_loaded_and_evaluated(name, whole, ending, tmp_path):
    model = trained(MAKE[name])
    (model if whole else model.get_layer("hidden")).trainable = False
    again = saved_and_loaded(model, tmp_path / f"model.{ending}")
    assert_same_weights(again, model)
    expected = keras.ops.convert_to_numpy(model(data()[0]))
    np.testing.assert_allclose(again.predict(data()[0], verbose=0), expected, atol=1e-5)
    assert np.isfinite(again.evaluate(*data(), verbose=0))


@every_kind
def test_a_legacy_file_is_loaded_and_trains_once_compiled_anew(make, tmp_path):
    model = trained(make)
    again = saved_and_loaded(model, tmp_path / "model.h5")
    assert_same_weights(again, model)
    assert type(again.optimizer) is type(model.optimizer)
    again.compile(make(), keras.losses.MeanSquaredError())
    fit(again)


def test_a_legacy_file_trained_without_that_says_what_it_says_of_adam(tmp_path):
    messages = []
    for make in (keras.optimizers.Adam, MAKE["a pattern"]):
        again = saved_and_loaded(trained(make), tmp_path / "model.h5")
        with pytest.raises(ValueError, match="optimizer") as error:
            fit(again)
        messages.append(str(error.value).split("<")[0])
    assert messages[0] == messages[1]


@every_kind
def test_a_model_without_weights_is_evaluated(make):
    model = keras.Sequential([keras.Input((6,)), keras.layers.ReLU()])
    model.compile(make(), "mse")
    x, _ = data()
    assert model.evaluate(x, x, verbose=0) > 0


def test_a_pattern_that_matches_nothing_is_found_out_before_the_weights_are_touched():
    model = dense_model()
    before = model.get_weights()
    model.compile(Proximal("adam", {"hiden/kernel": L1(0.1)}), "mse")
    with pytest.raises(ValueError, match=r"'hiden/kernel'.*The nearest: .*hidden/kernel"):
        fit(model)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@without_state
def test_a_frozen_layer_that_a_pattern_names_is_an_error_once_it_trains(tmp_path):
    model = trained(MAKE["a pattern"])
    model.get_layer("hidden").trainable = False
    again = saved_and_loaded(model, tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"'hidden/kernel' to match the path of a trainable"):
        fit(again)


class WithUnused(keras.layers.Layer):
    """A dense layer with a kernel that no output depends on."""

    def build(self, shape):
        self.used = self.add_weight(shape=(shape[-1], 2), name="kernel")
        self.unused = self.add_weight(shape=(3, 2), initializer="ones", name="unused_kernel")

    def call(self, x):
        return keras.ops.matmul(x, self.used)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_weight_without_a_gradient_is_shrunk_alike_on_every_backend():
    model = keras.Sequential([keras.Input((6,)), WithUnused(name="layer")])
    model.compile(Proximal(keras.optimizers.SGD(0.1), L1(0.5)), "mse")
    x, y = data()
    model.fit(x, np.repeat(y, 2, 1), epochs=1, batch_size=16, verbose=0)
    # Four updates: each takes learning_rate * strength off.
    expected = np.full((3, 2), 1 - 4 * 0.1 * 0.5, "float32")
    np.testing.assert_allclose(model.get_layer("layer").unused.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("regularizer", ["l1", "l2", keras.regularizers.L1L2(0.1, 0.2)])
def test_a_regularizer_of_keras_beside_a_penalty_is_warned_of_once(regularizer, recwarn):
    model = dense_model(kernel_regularizer=regularizer)
    model.compile(Proximal("adam", L1(0.1)), "mse")
    with pytest.warns(UserWarning, match=r"one penalty on a variable.*: \S*hidden/kernel \(L") as w:
        fit(model)
    assert len([one for one in w if "one penalty" in str(one.message)]) == 1
    assert "out/kernel" not in str(w[0].message)
    fit(model)


def test_a_regularizer_of_keras_on_another_weight_is_not_warned_of():
    model = dense_model(kernel_regularizer="l1", bias_regularizer="l2")
    model.compile(Proximal("adam", {"out/kernel": L1(0.1)}), "mse")
    fit(model)


def in_sequential():
    hidden = keras.layers.Dense(4, name="hidden")
    return keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(2)], name="net")


def around_sequential():
    inner = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="hidden")], name="inner"
    )
    x = keras.Input((3,))
    return keras.Model(x, keras.layers.Dense(2, name="hidden")(inner(x)))


@pytest.mark.parametrize(
    ("build", "pattern"),
    [(in_sequential, "net/hidden/kernel"), (around_sequential, "inner/.*kernel")],
)
def test_patterns_name_the_same_weights_of_a_loaded_model(build, pattern, tmp_path):
    """Paths lose the names of Sequential models when Keras loads them."""
    model, x, y = build(), np.eye(3, dtype="float32"), np.ones((3, 2), "float32")
    model.compile(Proximal("adam", {pattern: L1(0.1)}), "mse")
    model.fit(x, y, shuffle=False, verbose=0)
    loaded = saved_and_loaded(model, tmp_path / "model.keras")
    again = saved_and_loaded(loaded, tmp_path / "again.keras")
    for one in (model, loaded, again):
        [(_, variable)] = one.optimizer.resolve(one.trainable_variables)
        assert variable is one.trainable_variables[0]
        one.fit(x, y, shuffle=False, verbose=0)
    assert_same_weights(model, loaded)
    assert_same_weights(model, again)


def test_a_path_of_before_saving_is_told_what_it_is_now(tmp_path):
    loaded = saved_and_loaded(in_sequential(), tmp_path / "model.keras")
    with pytest.raises(
        ValueError, match=r"nearest: .*hidden/kernel.*'hidden/k.\*' matches: when Ke"
    ):
        regularize(loaded, {"net/hidden/k.*": L1(0.1)})
