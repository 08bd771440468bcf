"""regularize(model, rules): at once, once, and for good."""

import random

import keras
import numpy as np
import oracles
import pytest
from attach_models import (
    IMAGE,
    MODELS,
    attention,
    configs,
    data,
    definition,
    dense_model,
    fit,
    lora,
    nested,
    of,
    saved,
    value,
)
from keras import layers

import keras_reg as kr

L1, L2, GroupLasso = kr.regularizers.L1, kr.regularizers.L2, kr.regularizers.GroupLasso

every_model = pytest.mark.parametrize("name", MODELS)


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
    with pytest.raises(ValueError, match=r"one 'kernel_regularizer'.*lora_kernel_a"):
        kr.regularize(model, {"hidden/lora_kernel_a": L2(0.1)}, strict=True)
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


def test_attention_takes_one_penalty_into_a_file():
    model = attention()
    with pytest.raises(ValueError, match=r"has one 'kernel_regularizer'.*query/kernel"):
        kr.regularize(model, {"attention/query/kernel": L1(0.1)}, strict=True)
    rules = {".*query/kernel": L1(0.1), ".*(key|value|output)/kernel": L1(0.2)}
    with pytest.raises(ValueError, match="of 4 of 4 weights"):
        kr.regularize(model, rules, strict=True)
    assert model.losses == []
    kr.regularize(model, {"attention/.*/kernel": L1(0.1)})
    assert len(model.losses) == 4


def test_attention_takes_different_penalties_here_and_now(tmp_path):
    model = attention()
    with pytest.warns(UserWarning, match=r"1 of 1 weights .*attention.* has one 'kernel_regul"):
        kr.regularize(model, {"attention/query/kernel": L1(0.1)})
    kernel = keras.ops.convert_to_numpy(model.layers[-1].query_dense.kernel)
    np.testing.assert_allclose(value(model), oracles.value(L1(0.1), kernel), rtol=1e-5)
    assert saved(model, tmp_path).losses == []
    assert len(kr.regularize(model, None)) == 1
    assert model.losses == saved(model, tmp_path).losses == []
