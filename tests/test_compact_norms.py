"""compact(model, exact_norms=True): constant channels leave normalizations over channels."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from test_compact import assert_same

import keras_reg as kr

KEPT = [0, 3, 4]


def network(norm, **kwargs):
    """Channels of the sum but KEPT are constant, and nothing reads them once normalized."""
    keras.backend.clear_session()
    x = keras.Input((5, 4))
    first = layers.Dense(8, name="first")
    y = layers.Add()([first(x), layers.Dense(8, use_bias=False, name="second")(x)])
    y = layers.Dense(6, activation="tanh", name="reader")(norm(name="norm", **kwargs)(y))
    model = keras.Model(x, layers.Dense(2, name="out")(y), name="net")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    dead = np.setdiff1d(np.arange(8), KEPT)
    for name, axis in (("first", 1), ("second", 1), ("reader", 0)):
        kernel = np.array(ops.convert_to_numpy(model.get_layer(name).kernel))
        kernel[(slice(None),) * axis + (dead,)] = 0
        model.get_layer(name).kernel.assign(kernel)
    return model


NORMS = {
    "layer": (layers.LayerNormalization, {}),
    "plain": (layers.LayerNormalization, {"center": False, "scale": False, "epsilon": 0.1}),
    "root mean square": (layers.RMSNormalization, {"epsilon": 0.1}),
}


# PyTorch compiles nothing, so it takes them all.
TRIED = NORMS if keras.backend.backend() == "torch" else ("layer", "root mean square")


@pytest.mark.parametrize("name", TRIED)
def test_constant_channels_go(name, tmp_path):
    kind, options = NORMS[name]
    model = network(kind, **options)
    x = np.random.default_rng(1).normal(size=(3, 5, 4)).astype("float32")
    assert kr.compact(model).get_layer("first").units == 8
    small = kr.compact(model, exact_norms=True)
    assert small.get_layer("first").units == len(KEPT)
    assert_same(model, small, x)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert_same(small, loaded, x)
    loaded.compile("sgd", "mse")
    loaded.fit(x, np.zeros((3, 5, 2)), verbose=0)


def test_what_varies_stays():
    model = network(layers.LayerNormalization)
    kernel = np.array(ops.convert_to_numpy(model.get_layer("second").kernel))
    kernel[0, 1] = 1.0
    model.get_layer("second").kernel.assign(kernel)
    small = kr.compact(model, exact_norms=True)
    assert small.get_layer("first").units == len(KEPT) + 1
    # A gain of 0 makes a constant, which the reader's bias takes.
    gain = model.get_layer("norm").gamma
    gain.assign(np.where(np.arange(8) == KEPT[0], 0, ops.convert_to_numpy(gain)))
    assert_same(model, kr.compact(model, exact_norms=True), np.ones((2, 5, 4), "float32"))


def test_a_normalization_that_is_called_twice_stays():
    x = keras.Input((4,))
    norm, dense = layers.LayerNormalization(), layers.Dense(4)
    model = keras.Model(x, layers.Dense(2)(norm(dense(norm(layers.Dense(4)(x))))))
    model.layers[1].kernel.assign(np.eye(4, k=2))
    dense.kernel.assign(np.eye(4, k=2))
    small = kr.compact(model, exact_norms=True)
    assert small.layers[1].units == 4


def test_a_partial_normalization_is_the_part_of_a_whole_one():
    rng = np.random.default_rng(0)
    constants = np.array([2.0, -1.0, 0.5])
    varying = rng.normal(size=(4, 6, 2))
    every = np.concatenate([varying, np.broadcast_to(constants[:, None], (4, 3, 2))], axis=1)
    mean, variance = every.mean(1, keepdims=True), every.var(1, keepdims=True)
    expected = ((every - mean) / np.sqrt(variance + 1e-3))[:, :6]
    layer = kr.layers.PartialLayerNormalization(9, 1.5, 5.25, axis=1, dtype="float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(varying.astype("float32"))), expected, atol=1e-5
    )
    half = kr.layers.PartialLayerNormalization(9, 1.5, 5.25, axis=1, dtype="mixed_float16")
    assert half(varying.astype("float16")).dtype in (ops.ones((), "float16").dtype,)
    with pytest.raises(ValueError, match="Expected one axis"):
        kr.layers.PartialLayerNormalization(9, 0.0, 0.0, axis=(1, 2))
