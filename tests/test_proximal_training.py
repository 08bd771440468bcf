"""Proximal in training: compiled or not, saved and resumed, recompiled, on replicas."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from custom_loops import LOOPS
from keras import ops
from small_model import data, dense_model, fit, weights_of

from keras_reg import regularizers, schedules
from keras_reg.optimizers import Proximal

BACKEND = keras.backend.backend()


@pytest.mark.parametrize("jit_compile", ["auto", True, False])
def test_fit_gives_exact_zeros_however_it_is_compiled(jit_compile):
    model = dense_model()
    model.compile(
        Proximal(keras.optimizers.Adam(1e-2), {"hidden/kernel": regularizers.GroupLasso(1.0, -2)}),
        "mse",
        jit_compile=jit_compile if BACKEND != "torch" else False,
    )
    fit(model, epochs=30)
    kernel = model.get_layer("hidden").get_weights()[0]
    zero_rows = ~np.any(kernel, axis=1)
    assert zero_rows[2:].sum() >= 3
    assert not zero_rows[:2].any()


def fit_one_epoch(model):
    fit(model, epochs=1)


def batches():
    x, y = data()
    return [(x[at : at + 16], y[at : at + 16]) for at in range(0, len(x), 16)]


def batch_by_batch(model):
    for x, y in batches():
        model.train_on_batch(x, y)


def custom_loop(model):
    LOOPS[BACKEND](model, batches())


@pytest.mark.parametrize("train", [batch_by_batch, custom_loop])
def test_other_ways_of_training_equal_fit(train):
    results = []
    for way in (fit_one_epoch, train):
        keras.utils.set_random_seed(1)
        model = dense_model()
        model.compile(Proximal(keras.optimizers.Adam(1e-2), regularizers.L1(0.05)), "mse")
        way(model)
        results.append(weights_of(model))
    for fitted, other in zip(*results, strict=True):
        np.testing.assert_allclose(fitted, other, rtol=1e-5, atol=1e-6)
        assert np.array_equal(fitted == 0, other == 0)


def test_saved_run_resumes_bit_for_bit(tmp_path):
    def new():
        keras.utils.set_random_seed(1)
        model = dense_model()
        strength = schedules.Linear(0.0, 0.1, steps=20)
        model.compile(Proximal(keras.optimizers.Adam(1e-2), regularizers.L1(strength)), "mse")
        return model

    whole = new()
    fit(whole, epochs=4)
    first = new()
    fit(first, epochs=2)
    first.save(tmp_path / "half.keras")
    second = keras.models.load_model(tmp_path / "half.keras")
    assert isinstance(second.optimizer, Proximal)
    fit(second, epochs=2)
    for straight, resumed in zip(weights_of(whole), weights_of(second), strict=True):
        np.testing.assert_array_equal(straight, resumed)


@pytest.mark.once  # A file is read alike on each backend.
def test_file_loads_in_a_process_that_imports_only_the_package(tmp_path):
    model = dense_model(kernel_regularizer=regularizers.L2(0.5))
    model.compile(Proximal("sgd", {"out/kernel": regularizers.L1(0.1)}), "mse")
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    code = (
        "import keras, keras_reg\n"
        f"model = keras.models.load_model({str(tmp_path / 'model.keras')!r})\n"
        "print(model.optimizer.penalties, model.get_layer('hidden').kernel_regularizer)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert "L1(strength=0.1" in loaded.stdout
    assert "L2(strength=0.5" in loaded.stdout


def test_weights_only_checkpoint_holds_the_optimizer_once(tmp_path):
    model = dense_model()
    model.compile(Proximal(keras.optimizers.Adam(1e-2), regularizers.L1(0.05)), "mse")
    fit(model)
    model.save(tmp_path / "ours.keras")
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    fit(model)
    model.save(tmp_path / "plain.keras")
    ours, plain = ((tmp_path / name).stat().st_size for name in ("ours.keras", "plain.keras"))
    assert ours < 1.3 * plain


def test_optimizer_weights_can_be_read_and_set():
    models = [dense_model(), dense_model()]
    for model in models:
        model.compile(Proximal(keras.optimizers.Adam(1e-2), regularizers.L1(0.05)), "mse")
        fit(model, epochs=1)
    states = [[ops.convert_to_numpy(v) for v in m.optimizer.variables] for m in models]
    models[1].optimizer.set_weights(states[0])
    for variable, expected in zip(models[1].optimizer.variables, states[0], strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), expected)


def test_recompiling_cloning_and_reloading_keep_each_penalty_once(tmp_path):
    model = dense_model(kernel_regularizer=regularizers.L2(0.5))
    only_out = {"out/kernel": regularizers.L1(0.1)}
    model.compile(Proximal("sgd", only_out), "mse")
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    for other in (model, clone, reloaded):
        other.compile("adam", "mse")
        other.get_layer("hidden").set_weights(dense_model().get_layer("hidden").get_weights())
        hidden = other.get_layer("hidden").get_weights()[0]
        x, y = data()
        fitted = np.mean((ops.convert_to_numpy(other(x)) - y) ** 2)
        total = other.evaluate(x, y, verbose=0)
        assert len(other.losses) == 1
        np.testing.assert_allclose(total - fitted, 0.5 * np.sum(hidden**2), rtol=1e-3)
    penalty = reloaded.get_layer("hidden").kernel_regularizer
    assert penalty.get_config() == regularizers.L2(0.5).get_config()


def test_proximal_penalty_stays_out_of_the_loss():
    model = dense_model()
    model.compile(Proximal(keras.optimizers.SGD(0.0), regularizers.L1(100.0)), "mse")
    x, y = data()
    loss = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(loss, np.mean((ops.convert_to_numpy(model(x)) - y) ** 2), rtol=1e-5)


def test_no_retrace_while_rates_and_strengths_change():
    traces = []

    class Counted(schedules.Linear):
        def __call__(self, step):
            traces.append(step)
            return super().__call__(step)

    if BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly: there is no trace")
    model = dense_model()
    optimizer = Proximal(keras.optimizers.Adam(0.1), regularizers.L1(Counted(0.0, 0.1, 30)))
    model.compile(optimizer, "mse")
    fit(model, epochs=1)
    before = len(traces)
    optimizer.learning_rate = 0.01
    fit(model, epochs=3)
    assert len(traces) == before


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_train_as_one_device():
    import tensorflow as tf

    def train():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(1)])
        model.compile(Proximal(keras.optimizers.Adam(1e-2), regularizers.L1(0.1)), "mse")
        fit(model)
        return weights_of(model)

    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        mirrored = train()
    for one, two in zip(train(), mirrored, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
        assert np.array_equal(one == 0, two == 0)
