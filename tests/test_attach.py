"""regularize(model, rules): at once, once, and for good."""

import random
import warnings

import keras
import numpy as np
import oracles
import pytest
from keras import layers

import keras_reg as kr
from keras_reg.structure import is_kernel

L1, L2, GroupLasso = kr.regularizers.L1, kr.regularizers.L2, kr.regularizers.GroupLasso
IMAGE, SEQUENCE = (6, 6, 3), (5, 4)


def dense_model(**kwargs):
    hidden = layers.Dense(4, activation="tanh", name="hidden", **kwargs)
    return keras.Sequential([keras.Input((3,)), hidden, layers.Dense(2, name="out")])


def nested():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="hidden")], name="inner")
    return keras.Sequential([keras.Input((3,)), inner, layers.Dense(2, name="out")])


def of(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def attention(**kwargs):
    x = keras.Input(SEQUENCE)
    layer = layers.MultiHeadAttention(2, 3, name="attention", **kwargs)
    return keras.Model(x, layer(x, x))


def grouped_attention():
    x = keras.Input(SEQUENCE)
    return keras.Model(x, layers.GroupQueryAttention(3, 4, 2)(x, x))


def shared():
    x, dense = keras.Input((3,)), layers.Dense(3, name="shared")
    return keras.Model(x, dense(dense(x)))


def lora():
    model = dense_model()
    model.layers[0].enable_lora(2)
    return model


# A model and how many kernels it has.
MODELS = {
    "dense": (dense_model, 2),
    "nested": (nested, 2),
    "shared": (shared, 1),
    "conv": (lambda: of(IMAGE, layers.Conv2D(2, 3), layers.Conv2DTranspose(2, 3)), 2),
    "depthwise": (lambda: of(IMAGE, layers.DepthwiseConv2D(3)), 1),
    "separable": (lambda: of(IMAGE, layers.SeparableConv2D(2, 3)), 2),
    "embedding": (lambda: of((5,), layers.Embedding(7, 3)), 1),
    "einsum": (lambda: of(SEQUENCE, layers.EinsumDense("abc,cd->abd", (None, 3))), 1),
    "attention": (attention, 4),
    "grouped attention": (grouped_attention, 4),
    "lstm": (lambda: of(SEQUENCE, layers.LSTM(3)), 2),
    "gru": (lambda: of(SEQUENCE, layers.GRU(3)), 2),
    "simple rnn": (lambda: of(SEQUENCE, layers.SimpleRNN(3)), 2),
    "cells": (lambda: of(SEQUENCE, layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)])), 4),
    "bidirectional": (lambda: of(SEQUENCE, layers.Bidirectional(layers.LSTM(3))), 4),
    "time distributed": (lambda: of(SEQUENCE, layers.TimeDistributed(layers.Dense(2))), 1),
    "lora": (lora, 3),
}

every_model = pytest.mark.parametrize("name", MODELS)


def value(model):
    return sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses)


def definition(penalty, model):
    """The sum over the trainable kernels, from the oracles."""
    kernels = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights if is_kernel(w)]
    return sum(oracles.value(penalty, kernel) for kernel in kernels)


def configs(model):
    """The config of each trainable weight's regularizer, in the model's order."""
    found = [weight.regularizer for weight in model.trainable_weights]
    return [None if one is None else (type(one), one.get_config()) for one in found]


def saved(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def data(count=16):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, 3)).astype("float32")
    return x, rng.standard_normal((count, 2)).astype("float32")


def fit(model, epochs=1):
    x, y = data()
    model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return np.concatenate([w.ravel() for w in model.get_weights()])


@every_model
def test_every_kernel_is_penalized_once_and_at_once(name):
    make, count = MODELS[name]
    model, penalty = make(), L1(0.1)
    rows = kr.regularize(model, penalty)
    assert len(rows) == len(model.losses) == count
    assert {row.replaced for row in rows} == {None}
    np.testing.assert_allclose(value(model), definition(penalty, model), rtol=1e-5)


@every_model
def test_saved_loaded_and_cloned_models_keep_each_penalty_once(name, tmp_path):
    make, count = MODELS[name]
    model = make()
    kr.regularize(model, GroupLasso(0.1, group_axis=-1))
    loaded, cloned = saved(model, tmp_path), keras.models.clone_model(model)
    for again in (loaded, cloned, keras.models.clone_model(loaded)):
        assert configs(again) == configs(model)
        assert len(again.losses) == count
    if name != "lora":  # Keras merges the factors into the kernel when it saves.
        np.testing.assert_allclose(value(loaded), value(model), rtol=1e-6)


@every_model
def test_none_removes_for_good(name, tmp_path):
    make, count = MODELS[name]
    model = make()
    kr.regularize(model, L1(0.1))
    rows = kr.regularize(saved(model, tmp_path), None)
    assert len([row for row in rows if isinstance(row.replaced, L1)]) == len(rows) >= count
    kr.regularize(model, None)
    for again in (model, saved(model, tmp_path), keras.models.clone_model(model)):
        assert again.losses == []
        assert set(configs(again)) == {None}
    assert kr.regularize(model, None) == []


def test_none_removes_what_the_constructor_put_and_leaves_keras_alone():
    model = dense_model(kernel_regularizer=L1(0.1), bias_regularizer="l2")
    [row] = kr.regularize(model, None)
    assert (row.path.endswith("hidden/kernel"), row.penalty) == (True, None)
    assert isinstance(row.replaced, L1)
    assert isinstance(model.layers[0].bias.regularizer, keras.regularizers.L2)
    assert len(keras.models.clone_model(model).losses) == 1


def test_replaced_regularizers_are_reported():
    model = dense_model(kernel_regularizer="l2")
    first = kr.regularize(model, L1(0.1))
    assert isinstance(first[0].replaced, keras.regularizers.L2)
    assert first[1].replaced is None
    again = kr.regularize(model, {"out/kernel": L2(0.2)})
    assert [row.replaced.get_config() for row in again] == [L1(0.1).get_config()]
    assert len(model.losses) == 2
    assert len(keras.models.clone_model(model).losses) == 2


def test_patterns_give_each_its_own(tmp_path):
    model = nested()
    rules = {"hidden/kernel": L1(0.1), "out/.*": L2(0.2)}
    rows = kr.regularize(model, rules)
    assert [type(row.penalty) for row in rows] == [L1, L2, L2]
    loaded = saved(model, tmp_path)
    assert configs(loaded) == configs(model)
    found = [None if c is None else c[1]["strength"] for c in configs(loaded)]
    assert found == [0.1, None, 0.2, 0.2]


def test_biases_and_gains_can_be_named():
    model = of(IMAGE, layers.Conv2D(2, 3), layers.BatchNormalization())
    kr.regularize(model, {".*/gamma": L1(0.1), "conv2d.*/bias": L2(0.1)})
    assert configs(keras.models.clone_model(model)) == configs(model)
    assert len(model.losses) == 2


@pytest.mark.parametrize("compiled_first", [True, False])
def test_acts_in_the_next_fit(compiled_first):
    def trained(rules):
        keras.utils.set_random_seed(1)
        model = dense_model()
        if not compiled_first:
            kr.regularize(model, rules)
        model.compile(keras.optimizers.SGD(0.05), "mse")
        if compiled_first:
            fit(model)
            model.evaluate(*data(), verbose=0)
            kr.regularize(model, rules)
        return model, fit(model, 20), model.evaluate(*data(), verbose=0)

    plain, _, _ = trained(None)
    model, _, loss = trained(L2(0.5))
    for free, held in zip(plain.layers, model.layers, strict=True):
        norms = [np.linalg.norm(layer.get_weights()[0]) for layer in (free, held)]
        assert norms[1] < 0.5 * norms[0]
    _, y = data()
    error = np.mean((model.predict(data()[0], verbose=0) - y) ** 2)
    np.testing.assert_allclose(loss, error + definition(L2(0.5), model), rtol=1e-4)


def test_each_change_acts_in_a_compiled_model():
    model = dense_model()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = np.zeros((4, 3), "float32"), np.zeros((4, 2), "float32")
    kernel = model.layers[0].kernel
    for strength in (None, 1.0, 2.0, None, 1.0):
        rules = None if strength is None else {"hidden/kernel": L2(strength)}
        kr.regularize(model, rules)
        before = keras.ops.convert_to_numpy(kernel).copy()
        model.train_on_batch(x, y)
        shrunk = before * (1 - 0.2 * (strength or 0.0))
        np.testing.assert_allclose(keras.ops.convert_to_numpy(kernel), shrunk, rtol=1e-5)


def test_training_equals_that_of_a_model_made_with_the_penalty():
    def trained(attach):
        keras.utils.set_random_seed(1)
        model = dense_model(**({} if attach else {"kernel_regularizer": L1(0.1)}))
        if attach:
            kr.regularize(model, {"hidden/kernel": L1(0.1)})
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return fit(model, 3)

    np.testing.assert_array_equal(trained(True), trained(False))


def test_optimizer_state_and_compilation_are_kept():
    model = dense_model()
    model.compile("adam", "mse", metrics=["mae"])
    fit(model)
    optimizer = model.optimizer
    kr.regularize(model, L2(0.1))
    fit(model)
    assert model.optimizer is optimizer
    assert int(optimizer.iterations) == 2


def test_frozen_kernels_are_left_out():
    model = dense_model()
    model.layers[0].trainable = False
    [row] = kr.regularize(model, L1(0.1))
    assert row.path.endswith("out/kernel")
    assert model.layers[0].kernel.regularizer is None
    with pytest.raises(ValueError, match=r"'hidden/kernel' to match a trainable variable"):
        kr.regularize(model, {"hidden/kernel": L1(0.1)})
    assert len(kr.regularize(model, {".*/kernel": L1(0.1)})) == 1
    model.trainable = False
    with pytest.raises(ValueError, match="to have a trainable kernel"):
        kr.regularize(model, L1(0.1))


def test_none_removes_from_frozen_weights_too():
    model = dense_model(kernel_regularizer=L1(0.1))
    model.layers[0].trainable = False
    assert len(kr.regularize(model, None)) == 1
    model.layers[0].trainable = True
    assert model.losses == []


def test_lora_penalizes_the_factors():
    model = lora()
    rows = kr.regularize(model, L1(0.1))
    names = [row.path.rsplit("/", 1)[-1] for row in rows]
    assert sorted(names) == ["kernel", "lora_kernel_a", "lora_kernel_b"]
    with pytest.raises(ValueError, match=r"lora_kernel_a and .*lora_kernel_b"):
        kr.regularize(model, {"hidden/lora_kernel_a": L2(0.1)})
    later = dense_model()
    kr.regularize(later, L1(0.1))
    later.layers[0].enable_lora(2)
    assert len(later.losses) == 3


def test_lora_in_attention():
    model = attention()
    model.layers[-1].query_dense.enable_lora(2)
    assert len(kr.regularize(model, L1(0.1))) == len(model.losses) == 5
    assert len(keras.models.clone_model(model).losses) == 4  # Keras does not keep this LoRA.


def test_random_numbers_go_on_as_before():
    def draw(rules):
        keras.utils.set_random_seed(3)
        model = attention(dropout=0.5)
        if rules is not None:
            kr.regularize(model, rules)
        return keras.ops.convert_to_numpy(keras.random.normal((3,))), random.random()

    for mine, plain in zip(draw(L1(0.1)), draw(None), strict=True):
        np.testing.assert_array_equal(mine, plain)


def test_quantized_kernels_are_left_out():
    model = dense_model()
    model.layers[0].quantize("int8")
    [row] = kr.regularize(model, L1(0.1))
    assert row.path.endswith("out/kernel")


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_half_precision(policy, tmp_path):
    model = dense_model(dtype=policy)
    kr.regularize(model, {"hidden/kernel": GroupLasso(0.1)})
    [loss] = model.losses
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    kernel = keras.ops.convert_to_numpy(keras.ops.cast(model.layers[0].kernel, "float32"))
    np.testing.assert_allclose(value(model), oracles.value(GroupLasso(0.1), kernel), rtol=1e-3)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    assert np.all(np.isfinite(fit(model).astype("float32")))
    assert np.isfinite(model.evaluate(*data(), verbose=0))
    assert configs(saved(model, tmp_path)) == configs(model)


def test_attention_takes_one_penalty():
    model = attention()
    with pytest.raises(ValueError, match=r"query/kernel and .*has one 'kernel_regularizer'"):
        kr.regularize(model, {"attention/query/kernel": L1(0.1)})
    with pytest.raises(ValueError, match="Expected one penalty for"):
        kr.regularize(model, {".*query/kernel": L1(0.1), ".*(key|value|output)/kernel": L1(0.2)})
    assert model.losses == []
    kr.regularize(model, {"attention/.*/kernel": L1(0.1)})
    assert len(model.losses) == 4


@keras.saving.register_keras_serializable("test_attach")
class Bare(layers.Layer):
    """A layer whose config has no place for a regularizer."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel")
        self.dense = layers.Dense(2, name="inside")
        self.dense.build((None, 2))

    def call(self, x):
        return self.dense(x @ self.kernel)


@keras.saving.register_keras_serializable("test_attach")
class Partial(Bare):
    """A layer whose config has a regularizer for its own kernel and none for the layer inside."""

    def __init__(self, kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, shape):
        super().build(shape)
        self.kernel.regularizer = self.kernel_regularizer

    def get_config(self):
        regularizer = keras.regularizers.serialize(self.kernel_regularizer)
        return {**super().get_config(), "kernel_regularizer": regularizer}


class Subclassed(keras.Model):
    """A model without a config."""

    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(len(units), name="dense")

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize("kernel", ["kernel", "inside/kernel"])
def test_what_no_config_can_carry_is_refused(kernel):
    model = of((3,), Bare(name="bare"), layers.Dense(2, name="out"))
    with pytest.raises(ValueError, match=rf"holds the regularizer of .*bare/{kernel}"):
        kr.regularize(model, {f"bare/{kernel}": L1(0.1)})
    assert model.losses == []
    kr.regularize(model, {"out/kernel": L1(0.1)})
    assert len(model.losses) == 1


def test_a_config_that_carries_a_part_is_found_out():
    model = of((3,), Partial(name="partial"))
    kr.regularize(model, {"partial/kernel": L1(0.1)})
    assert len(keras.models.clone_model(model).losses) == len(model.losses) == 1
    with pytest.raises(ValueError, match=r"partial/inside/kernel"):
        kr.regularize(model, {"inside/kernel": L1(0.1)})


def test_a_model_without_a_config_is_refused():
    model = Subclassed([object()])
    model(np.zeros((1, 3), "float32"))
    with pytest.raises(ValueError, match=r"holds the regularizer of .*dense/kernel"):
        kr.regularize(model, L1(0.1))


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({"hiden/kernel": L1(0.1)}, ValueError, r"The nearest: .*hidden/kernel"),
        ({"hidden/.*": L1(0.1), ".*/kernel": L1(0.1)}, ValueError, "at most one pattern"),
        ({"(": L1(0.1)}, ValueError, "regular expression"),
        (kr.regularizers.L0(0.1), ValueError, r"useful gradient on .*hidden/kernel"),
        (L1(kr.schedules.Linear(0, 1, 9)), ValueError, r"float `strength` on .*hidden/kernel"),
        (GroupLasso(0.1, group_axis=2), ValueError, r"hidden/kernel of shape \(3, 4\)"),
        ({"hidden/kernel": "l1"}, TypeError, "penalty of keras_reg"),
        ({}, TypeError, "penalty of keras_reg"),
        (keras.regularizers.L1(0.1), TypeError, "penalty of keras_reg"),
    ],
)
def test_errors_change_nothing(rules, error, message):
    model = dense_model(bias_regularizer="l2")
    before = model.get_config()
    with pytest.raises(error, match=message):
        kr.regularize(model, rules)
    assert model.get_config() == before
    assert len(model.losses) == 1


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ValueError, match="Expected a built model"):
        kr.regularize(keras.Sequential([layers.Dense(2)]), L1(0.1))


@pytest.mark.parametrize("penalties", [L1(0.1), {"hidden/kernel": L1(0.1)}])
@pytest.mark.parametrize("fitted", [True, False])
def test_a_second_penalty_beside_proximal_is_refused(penalties, fitted):
    model = dense_model()
    model.compile(kr.optimizers.Proximal(keras.optimizers.SGD(0.1), penalties), "mse")
    if fitted:
        fit(model)
    with pytest.raises(ValueError, match=r"in the loss or in Proximal.*hidden/kernel"):
        kr.regularize(model, L2(0.1))
    assert model.losses == []
    if isinstance(penalties, dict):
        kr.regularize(model, {"out/kernel": L2(0.1)})
        fit(model)


def test_a_pretrained_network_of_many_layers(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    rows = kr.regularize(model, L2(1e-4))
    assert len(rows) == len(model.losses) == 53
    assert configs(keras.models.clone_model(model)) == configs(model)
