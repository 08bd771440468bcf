"""The dropout layers in training: compiled, distributed, nested, resumed and exported."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import layers, schedules
from keras_reg.callbacks import ScheduleLogger

BACKEND = keras.backend.backend()
JIT = [False] if BACKEND == "torch" else [False, True]
only_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="tests a TensorFlow API")
only_jax = pytest.mark.skipif(BACKEND != "jax", reason="tests a distribution of JAX")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def family(rate):
    """One layer of each kind over images, all on one schedule."""
    last = {"data_format": "channels_last"}
    kinds = [
        (layers.ScheduledDropout, {"noise_shape": (None, 1, None, None)}),
        (layers.ScheduledAlphaDropout, {}),
        (layers.ScheduledGaussianDropout, {}),
        (layers.ScheduledSpatialDropout2D, last),
        (layers.ScheduledDropPath, {}),
        (layers.ScheduledDropBlock2D, {"block_size": 3, **last}),
    ]
    return [
        kind(rate, seed=number, name=f"dropped_{number}", **arguments)
        for number, (kind, arguments) in enumerate(kinds)
    ]


def build(kind, rate, **kwargs):
    """The same network as a Functional, Sequential or subclassed model, with the same seeds."""
    # Start values by hand: a wrapped layer's own come from seeds that depend on the kind of model.
    start = {"kernel_initializer": keras.initializers.RandomNormal(seed=7), **kwargs}
    parts = [
        *family(rate),
        layers.ScheduledDropConnect(keras.layers.Conv2D(2, 3, **start), rate, seed=8),
        keras.layers.Flatten(),
        keras.layers.Dense(1, **start),
    ]
    if kind == "sequential":
        return keras.Sequential([keras.Input((6, 5, 3)), *parts])
    if kind == "functional":
        x = inputs = keras.Input((6, 5, 3))
        for part in parts:
            x = part(x)
        return keras.Model(inputs, x)

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = parts

        def call(self, x, training=False):
            for part in self.parts:
                takes = isinstance(part, layers.Scheduled)
                x = part(x, training=training) if takes else part(x)
            return x

    return Subclassed()


def scheduled(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, layers.Scheduled)]


def fit(model, epochs=2, batch_size=4, **kwargs):
    # Eleven samples: the last batch is smaller.
    return model.fit(
        normal(11, 6, 5, 3),
        normal(11, 1),
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        **kwargs,
    )


class Counting(schedules.Linear):
    """A schedule that counts how often Python runs it."""

    calls = 0

    def __call__(self, step):
        Counting.calls += 1
        return super().__call__(step)


@pytest.mark.parametrize("jit_compile", JIT)
def test_all_layers_train_in_one_model_without_a_retrace(jit_compile):
    model = build("functional", Counting(0.0, 0.6, steps=12))
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=jit_compile)
    fit(model, epochs=1)  # Traces a full batch and a ragged one.
    Counting.calls = 0
    history = fit(model, epochs=4).history["loss"]
    assert np.all(np.isfinite(history))
    assert {layer.step for layer in scheduled(model)} == {15}
    if BACKEND == "tensorflow" or jit_compile:
        assert Counting.calls == 0


def test_kinds_of_models_train_alike():
    weights = []
    for kind in ("functional", "sequential", "subclassed"):
        model = build(kind, schedules.Linear(0.1, 0.5, steps=4))
        model.compile(keras.optimizers.SGD(0.01), "mse")
        fit(model, epochs=1)
        weights.append([numpy(weight) for weight in model.trainable_weights])
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has one step an execution there")
def test_several_steps_an_execution_are_as_many_single_ones():
    found = []
    for steps in (1, 3):
        model = build("functional", schedules.Linear(0.1, 0.5, steps=4))
        model.compile(keras.optimizers.SGD(0.01), "mse", steps_per_execution=steps)
        fit(model)
        assert {layer.step for layer in scheduled(model)} == {6}
        found.append(numpy(model.trainable_weights[0]))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(policy):
    with_policy = keras.dtype_policies.DTypePolicy(policy)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(with_policy)
    try:
        model = build("functional", schedules.Linear(0.1, 0.5, steps=4))
    finally:
        keras.config.set_dtype_policy(before)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    assert np.all(np.isfinite(fit(model).history["loss"]))
    assert {layer.step for layer in scheduled(model)} == {6}
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}


def test_a_resumed_run_is_the_run_that_was_not_interrupted(tmp_path):
    def start():
        model = build("functional", schedules.Cosine(0.1, 0.5, steps=6))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    whole, half = start(), start()
    fit(whole, epochs=2)
    fit(half, epochs=1)
    half.save(tmp_path / "model.keras")
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    fit(resumed, epochs=1)
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))


def test_a_frozen_layer_still_drops_and_counts():
    layer = layers.ScheduledDropout(0.5, seed=1)
    model = keras.Sequential([keras.Input((40,)), layer, keras.layers.Dense(1)])
    model.trainable = False
    assert layer.trainable is False
    assert np.any(numpy(layer(np.ones((5, 40)), training=True)) == 0)
    model(np.ones((5, 40)), training=True)
    assert layer.step == 2


def test_monte_carlo_dropout_draws_anew_each_time():
    model = keras.Sequential(
        [keras.Input((9,)), layers.ScheduledDropout(0.5), keras.layers.Dense(2)]
    )
    x = normal(30, 9)
    draws = np.stack([numpy(model(x, training=True)) for _ in range(400)])
    assert np.all(draws.std(axis=0) > 0)
    error = draws.std(axis=0) / 20
    assert np.all(np.abs(draws.mean(axis=0) - numpy(model(x))) < 5.5 * error)


def test_inside_a_remat_scope():
    def trained():
        model = build("functional", 0.3)
        assert [layer.name for layer in scheduled(model)][:6] == names[:6]
        model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
        fit(model, epochs=1)
        assert {layer.step for layer in scheduled(model)} == {3}
        return numpy(model.trainable_weights[0])

    names = [f"dropped_{number}" for number in range(7)]
    with keras.RematScope(mode="list_of_layers", layer_names=names):
        inside = trained()
    np.testing.assert_allclose(inside, trained(), rtol=1e-5, atol=1e-6)


def test_schedule_logger_sees_every_rate():
    model = build("functional", schedules.Linear(0.0, 0.6, steps=6))
    model.compile("sgd", "mse")
    history = fit(model, callbacks=[ScheduleLogger()]).history
    for layer in scheduled(model):
        np.testing.assert_allclose(history[f"rate/{layer.name}"], [0.3, 0.6], rtol=1e-6)


@only_tensorflow
def test_replicas_count_once_and_draw_masks_of_their_own():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model = build("functional", schedules.Linear(0.1, 0.5, steps=4))
        model.compile(keras.optimizers.SGD(0.01), "mse")
    assert np.all(np.isfinite(fit(model).history["loss"]))
    for layer in scheduled(model):
        states = strategy.experimental_local_results(layer.seed_generator.state.value)
        assert [int(state[1]) for state in states] == [6, 6]


@only_jax
def test_eight_devices_train_as_one():
    found = []
    for devices in (1, 8):
        flags = f"--xla_force_host_platform_device_count={devices}"
        environment = {**os.environ, "XLA_FLAGS": flags, "KERAS_BACKEND": "jax"}
        script = os.path.join(os.path.dirname(__file__), "data_parallel.py")
        run = subprocess.run(
            [sys.executable, script], env=environment, capture_output=True, text=True, check=True
        )
        found.append(json.loads(run.stdout.splitlines()[-1]))
    assert [result["devices"] for result in found] == [1, 8]
    assert [result["steps"] for result in found] == [[7, 6, 6, 6, 6, 6, 6]] * 2
    np.testing.assert_array_equal(found[0]["mask"], found[1]["mask"])
    np.testing.assert_allclose(found[0]["weights"], found[1]["weights"], rtol=1e-4, atol=1e-6)
