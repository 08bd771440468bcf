"""TopK and NM in a fit: exact counts at every step, saved models, replicas."""

import keras
import numpy as np
import pytest

from keras_reg import schedules
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import NM, TopK

BACKEND = keras.backend.backend()


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def model_with(penalties, jit_compile=False, steps_per_execution=1):
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(12, activation="tanh", name="hidden"),
            keras.layers.Dense(4, name="out"),
        ]
    )
    model.compile(
        Proximal(keras.optimizers.Adam(1e-2), penalties),
        "mse",
        jit_compile=jit_compile,
        steps_per_execution=steps_per_execution,
    )
    return model


def kernels_after_fit(model, epochs=3):
    x = normal((64, 8))
    model.fit(x, x[:, :4], batch_size=16, epochs=epochs, verbose=0)
    return [model.get_layer(name).get_weights()[0] for name in ("hidden", "out")]


@pytest.mark.parametrize("jit_compile", [True, False])
def test_scheduled_sparsity_is_met_exactly_by_a_fit(jit_compile):
    if jit_compile and BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly")
    ramp = schedules.Polynomial(0.25, 0.9, steps=8)
    for epochs, sparsity in ((1, 0.9 - 0.65 * (5 / 8) ** 3), (3, 0.9)):  # Iterations 3 and 11.
        for kernel in kernels_after_fit(model_with(TopK(ramp), jit_compile), epochs):
            assert np.sum(kernel == 0) == round(sparsity * kernel.size)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_patterns_of_each_variable_in_a_fit(jit_compile):
    if jit_compile and BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly")
    penalties = {"hidden/kernel": TopK(0.75, group_axis=-1), "out/kernel": NM(1, 4)}
    hidden, out = kernels_after_fit(model_with(penalties, jit_compile))
    assert np.sum(np.all(hidden == 0, axis=0)) == 9
    assert np.sum(hidden != 0) == 24
    assert np.all(np.sum(out.reshape(3, 4, 4) != 0, axis=1) == 1)


def test_pruned_model_is_saved_and_goes_on(tmp_path):
    model = model_with(TopK(schedules.Polynomial(0.0, 0.9, steps=8)))
    kernels_after_fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    for kernel in kernels_after_fit(keras.models.load_model(tmp_path / "model.keras"), epochs=2):
        assert np.sum(kernel == 0) == round(0.9 * kernel.size)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_prune_alike():
    import tensorflow as tf

    devices = ["CPU:0", "CPU:1"]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        kernels = kernels_after_fit(model_with(TopK(0.5)))
    for kernel in kernels:
        assert np.sum(kernel == 0) == kernel.size // 2
