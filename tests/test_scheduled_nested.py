"""The dropout layers inside of others: loops over time, and functions that run twice."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import layers

BACKEND = keras.backend.backend()
JIT = [False] if BACKEND == "torch" else [False, True]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def scheduled(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, layers.Scheduled)]


@pytest.mark.parametrize("jit_compile", JIT)
@pytest.mark.parametrize("length", [5, None])
def test_inside_time_distributed(jit_compile, length):
    if BACKEND == "tensorflow" and length is None and jit_compile:
        pytest.skip("Keras itself cannot: XLA has no loop over an unknown number of steps")
    dropout = layers.ScheduledDropout(0.5, seed=1)
    inputs = keras.Input((length, 40))
    outputs = keras.layers.TimeDistributed(dropout)(inputs)
    model = keras.Model(inputs, outputs)
    kept = numpy(model(np.ones((6, 5, 40), "float32"), training=True)) != 0
    assert 0.4 < kept.mean() < 0.6
    assert np.any(kept[:, 0] != kept[:, 1])
    assert np.any(kept[0] != kept[1])
    out = keras.layers.Dense(1)(outputs)
    model = keras.Model(inputs, out)
    model.compile("sgd", "mse", jit_compile=jit_compile)
    before = dropout.step
    model.fit(np.ones((6, 5, 40)), np.ones((6, 5, 1)), batch_size=3, verbose=0)
    assert dropout.step > before


@keras.saving.register_keras_serializable("tests")
class Cell(keras.layers.SimpleRNNCell):
    """A recurrent cell with a dropout layer in it."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.dropped = layers.ScheduledDropout(0.5, seed=1)

    def call(self, inputs, states, training=False):
        return super().call(self.dropped(inputs, training=training), states)


@pytest.mark.parametrize("jit_compile", JIT)
def test_inside_bidirectional(jit_compile):
    if BACKEND == "jax" and not jit_compile:
        pytest.skip("see Scheduled: on JAX a loop over time wants a compiled step")
    rnn = keras.layers.RNN(Cell(3))
    model = keras.Sequential(
        [keras.Input((5, 4)), keras.layers.Bidirectional(rnn), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse", jit_compile=jit_compile)
    x, y = normal(6, 5, 4), normal(6, 1)
    assert np.isfinite(model.fit(x, y, batch_size=3, verbose=0).history["loss"][0])
    steps = [layer.step for layer in scheduled(model)]
    assert len(steps) == 2
    assert min(steps) >= 2
    if BACKEND != "jax":  # There a loop that is not compiled with the model has no state.
        drawn = [numpy(model(x, training=True)) for _ in range(2)]
        assert np.any(drawn[0] != drawn[1])


def checkpointed(wrap):
    """Weights after three steps of a model whose dropout is in a function that `wrap` changes."""

    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(
                8, kernel_initializer=keras.initializers.RandomNormal(seed=3)
            )
            self.dropped = layers.ScheduledDropout(0.5, seed=1)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x, training=False):
            return wrap(lambda x: self.dropped(ops.tanh(self.dense(x)), training=training))(x)

    model = keras.Sequential([keras.Input((8,)), Block(), Block()])
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=BACKEND == "jax")
    model.fit(normal(12, 8), normal(12, 8, seed=1), batch_size=4, shuffle=False, verbose=0)
    assert {layer.step for layer in scheduled(model)} == {3}
    return [numpy(weight) for weight in model.trainable_weights]


def test_gradient_checkpointing_draws_the_same_mask_again():
    for a, b in zip(checkpointed(lambda f: f), checkpointed(keras.remat), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
