"""Penalties on channels where the optimizer does not see all that a channel has."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_reg as kr
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import GroupLasso

STRENGTH, RATE = 2.0, 0.1


def normed():
    x = keras.Input((3,))
    y = layers.BatchNormalization(name="norm")(layers.Dense(5, name="a")(x))
    y = layers.Dense(4, activation="relu", name="b")(y)
    return keras.Model(x, layers.Dense(2, name="out")(y), name="net")


def twice():
    """A layer that is called twice, once on what it makes itself."""
    x = keras.Input((3,))
    shared = layers.Dense(4, activation="tanh", name="shared")
    y = layers.Dense(4, activation="tanh", name="first")(x)
    return keras.Model(x, layers.Dense(2, name="out")(shared(shared(y))), name="net")


def drawn(model):
    for place, weight in enumerate(model.trainable_weights):
        weight.assign(1.0 + np.random.default_rng(place).random(weight.shape))
    return model


def step(model, penalties, strength=1.0):
    """The weights after an update whose gradient is zero, by their paths."""
    optimizer = Proximal(keras.optimizers.SGD(RATE), penalties)
    optimizer.build(model.trainable_variables)
    optimizer.strength_scale = strength
    zeros = [ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    return {v.path: ops.convert_to_numpy(v) for v in model.weights}


def shrunk(columns, size):
    """What a group lasso makes of groups, (group, weights): their norms fall by its step."""
    norms = np.linalg.norm(columns, axis=1, keepdims=True)
    return columns * np.maximum(0, 1 - RATE * STRENGTH * np.sqrt(size) / norms)


def test_offsets_that_are_frozen_make_channels_constant():
    model = normed()
    channels = kr.channels(model).matching("a")
    norm = model.get_layer("norm")
    norm.trainable = False
    drawn(model)
    for weight, value in zip(norm.weights, (1.5, 0.5, 0.25, 2.0), strict=True):
        weight.assign(np.full(5, value))
    before = {v.path: ops.convert_to_numpy(v) for v in model.weights}
    with pytest.warns(UserWarning, match=r"constant where.*norm/gamma, norm/beta$"):
        after = step(model, {channels: GroupLasso(STRENGTH)})
    both = np.vstack([before["a/kernel"], before["a/bias"]]).T
    expected = shrunk(both, 4)  # Three rows and a bias.
    np.testing.assert_allclose(after["a/kernel"], expected[:, :3].T, rtol=1e-5)
    np.testing.assert_allclose(after["a/bias"], expected[:, 3], rtol=1e-5)
    with pytest.warns(UserWarning, match="constant where"):
        step(model, {channels: GroupLasso(STRENGTH)}, strength=1e6)
    values = keras.Model(model.inputs[0], norm.output)(np.ones((2, 3)), training=False)
    constant = 0.5 - 1.5 * 0.25 / np.sqrt(2.0 + norm.epsilon)
    np.testing.assert_allclose(ops.convert_to_numpy(values), np.full((2, 5), constant), rtol=1e-5)
    assert kr.compact(model).get_layer("a").units == 1  # One of every axis stays.


def test_a_shared_layer_takes_one_step():
    model = drawn(twice())
    before = {v.path: ops.convert_to_numpy(v) for v in model.weights}
    group = kr.channels(model).free()[0]  # The units of both layers go together.
    assert [len(kr.channels(model).free()), group.size] == [1, 4]
    after = step(model, {kr.channels(model): GroupLasso(STRENGTH)})
    names = ("first/kernel", "first/bias", "shared/kernel", "shared/bias")
    columns = np.vstack([before[name] for name in names]).T
    np.testing.assert_allclose(
        np.vstack([after[name] for name in names]).T, shrunk(columns, 9), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["LoRA", "quantized"])
def test_kernels_in_parts_say_what_to_do_first(kind):
    model = normed()
    before = kr.channels(model)
    for name in "ab":
        layer = model.get_layer(name)
        layer.enable_lora(2) if kind == "LoRA" else layer.quantize("int8")
    why = {"LoRA": "LoRA weights; merge them first", "quantized": "quantized; remove channels"}
    with pytest.raises(ValueError, match=f"Expected channels that can be removed.*{why[kind]}"):
        Proximal("sgd", {kr.channels(model): GroupLasso(STRENGTH)})
    with pytest.raises(ValueError, match="Expected channels made by kernels that the optimizer"):
        Proximal("sgd", {before: GroupLasso(STRENGTH)}).build(model.trainable_variables)


def test_lora_weights_that_came_later_are_named():
    model = normed()
    penalties = {kr.channels(model): GroupLasso(STRENGTH)}
    model.get_layer("a").enable_lora(2)
    kernel = ops.convert_to_numpy(model.get_layer("a").kernel)
    with pytest.warns(UserWarning, match="without LoRA weights.*: a/kernel$"):
        step(model, penalties, strength=1e6)
    np.testing.assert_array_equal(kernel, ops.convert_to_numpy(model.get_layer("a").kernel))
    assert not ops.convert_to_numpy(model.get_layer("b").kernel).any()
