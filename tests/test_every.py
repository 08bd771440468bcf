"""Proximal(every=k): one proximal step for k updates, k times as long."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import regularizers, schedules
from keras_reg.optimizers import Proximal

BACKEND = keras.backend.backend()


def trajectory(optimizer, updates, value=1.0):
    """The value of a single weight without a gradient after each update."""
    variable = keras.Variable([[value]], name="kernel")
    seen = []
    for _ in range(updates):
        optimizer.apply([ops.zeros((1, 1))], [variable])
        seen.append(round(float(ops.convert_to_numpy(variable)[0, 0]), 5))
    return seen


@pytest.mark.parametrize("every", [1, 2, 3])
def test_every_kth_update_takes_k_steps(every):
    optimizer = Proximal(keras.optimizers.SGD(0.5), regularizers.L1(0.1), every=every)
    expected = [round(1 - 0.05 * every * ((update + 1) // every), 5) for update in range(7)]
    assert trajectory(optimizer, 7) == expected


def test_momentum_lengthens_the_step_as_before():
    inner = keras.optimizers.SGD(0.1, momentum=0.5)
    optimizer = Proximal(inner, regularizers.L1(0.5), every=2)
    # The velocities 0.1, 0.15, 0.175, 0.1875, each second one twice.
    assert trajectory(optimizer, 4) == [1.0, 0.85, 0.85, 0.6625]


def test_schedule_is_evaluated_at_the_update_that_is_due():
    strength = schedules.Linear(0.0, 0.3, steps=3)
    optimizer = Proximal(keras.optimizers.SGD(1.0), regularizers.L1(strength), every=2)
    # Iterations 1 and 3: the strengths 0.1 and 0.3, twice.
    assert trajectory(optimizer, 4) == [1.0, 0.8, 0.8, 0.2]


def test_accumulated_gradients_count_as_one_update():
    inner = keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)
    optimizer = Proximal(inner, regularizers.L1(0.1), every=2)
    assert trajectory(optimizer, 9) == [1.0] * 3 + [0.9] * 4 + [0.8] * 2


def test_learning_rate_zero_changes_nothing():
    optimizer = Proximal(keras.optimizers.SGD(0.0), regularizers.TopK(1.0), every=2)
    assert trajectory(optimizer, 4) == [1.0] * 4


def data():
    x = np.random.default_rng(0).standard_normal((64, 6)).astype("float32")
    return x, x[:, :1] - x[:, 1:2]


def model_with(every, jit_compile=False, penalty=None):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, name="hidden"), keras.layers.Dense(1)]
    )
    penalty = penalty or {"hidden/kernel": regularizers.TopK(0.5)}
    optimizer = Proximal(keras.optimizers.Adam(1e-2), penalty, every=every)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return model


def fit(model, updates):
    x, y = data()
    count = 64 // updates
    model.fit(x, y, batch_size=count, shuffle=False, verbose=0)
    return model.get_layer("hidden").get_weights()[0]


@pytest.mark.parametrize("jit_compile", [True, False])
def test_zeros_are_made_by_the_update_that_is_due_alone(jit_compile):
    if jit_compile and BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly")
    model = model_with(4, jit_compile)
    assert np.sum(fit(model, 2) == 0) == 0
    for updates in (2, 4, 1):
        assert np.sum(fit(model, updates) == 0) == 24


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_zeros_of_a_penalty_with_a_strength_do_not_stay():
    model = model_with(4, penalty={"hidden/kernel": regularizers.L1(100.0)})
    assert np.all(fit(model, 4) == 0)
    assert np.any(fit(model, 1) != 0)


def test_saved_run_resumes_between_two_steps(tmp_path):
    strength = schedules.Linear(0.0, 0.5, steps=8)
    whole = model_with(4, penalty=regularizers.L1(strength))
    fit(whole, 2)
    whole.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.every == 4
    for _ in range(3):
        np.testing.assert_array_equal(fit(whole, 2), fit(again, 2))
    assert np.any(whole.get_layer("hidden").get_weights()[0] == 0)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_train_as_one_device():
    import tensorflow as tf

    alone = fit(model_with(2), 4)
    devices = ["CPU:0", "CPU:1"]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        mirrored = fit(model_with(2), 4)
    assert np.sum(mirrored == 0) == 24
    np.testing.assert_allclose(mirrored, alone, rtol=1e-4, atol=1e-6)


def test_config_round_trip():
    optimizer = Proximal("sgd", regularizers.L1(0.1), every=5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.every == 5


@pytest.mark.parametrize("every", [0, -1, 1.5, None, "2", True])
def test_bad_every_is_refused(every):
    with pytest.raises(ValueError, match="`every`"):
        Proximal("sgd", regularizers.L1(0.1), every=every)
