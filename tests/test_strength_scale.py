"""Proximal.strength_scale: a variable that multiplies every strength, saved with the optimizer."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops
from small_model import dense_model, fit, weights_of

from keras_reg import regularizers, schedules
from keras_reg.optimizers import Proximal

BACKEND = keras.backend.backend()


def value_of(variable):
    return ops.convert_to_numpy(variable).tolist()


def shrunk_by(optimizer, updates=1):
    """How far one weight of 1 without a gradient moves in some updates."""
    variable = keras.Variable([[1.0]], name="kernel")
    for _ in range(updates):
        optimizer.apply([ops.zeros((1, 1))], [variable])
    return round(1 - value_of(variable)[0][0], 5)


def test_it_multiplies_the_strength():
    optimizer = Proximal(keras.optimizers.SGD(0.5), regularizers.L1(0.2))
    assert value_of(optimizer.strength_scale) == 1.0
    optimizer.strength_scale = 3.0
    assert value_of(optimizer.strength_scale) == 3.0
    assert shrunk_by(optimizer) == 0.3


def test_it_multiplies_a_scheduled_strength_and_every():
    strength = schedules.Linear(0.0, 0.2, 2)
    optimizer = Proximal(keras.optimizers.SGD(1.0), regularizers.L1(strength), every=2)
    optimizer.strength_scale = 0.5
    # Iterations 1 and 3: the strengths 0.1 and 0.2, twice, and half of it.
    assert shrunk_by(optimizer, 4) == 0.3


def test_zero_turns_every_penalty_off():
    for penalty in (regularizers.L1(9.0), regularizers.TopK(1.0)):
        optimizer = Proximal(keras.optimizers.SGD(0.5), penalty)
        optimizer.strength_scale = 0.0
        assert shrunk_by(optimizer) == 0.0


class AssignAt(keras.callbacks.Callback):
    """Turns a penalty on when an epoch begins, or within it."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.epoch, self.batch, self.now = epoch, batch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch
        if epoch == self.epoch and self.batch is None:
            self.model.optimizer.strength_scale = 1.0

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            if BACKEND == "jax":
                self.model.jax_state_sync()
            self.model.optimizer.strength_scale = 1.0


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_callback_changes_it_without_a_retrace(jit_compile, batch):
    if jit_compile and BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly")
    traces = []

    class Counted(schedules.Linear):
        def __call__(self, step):
            traces.append(step)
            return super().__call__(step)

    model = dense_model()
    optimizer = Proximal(keras.optimizers.SGD(0.1), regularizers.L1(Counted(1e3, 1e3, 1)))
    optimizer.strength_scale = 0.0
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    fit(model, epochs=2)
    assert np.all(weights_of(model)[0])
    before = len(traces)
    fit(model, epochs=2, callbacks=[AssignAt(1, batch)])
    assert not np.any(weights_of(model)[0])
    assert len(traces) == before or BACKEND == "torch"


def compiled(optimizer):
    model = dense_model()
    model.compile(optimizer, "mse")
    return model


def proximal():
    return Proximal(keras.optimizers.Adam(1e-2), regularizers.L1(0.05))


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_it_is_saved_with_the_optimizer(tmp_path, name):
    model = compiled(proximal())
    model.optimizer.strength_scale = 2.5
    fit(model, epochs=1)
    if name.endswith(".keras"):
        model.save(tmp_path / name)
        again = keras.models.load_model(tmp_path / name)
    else:
        model.save_weights(tmp_path / name)
        again = compiled(proximal())
        fit(again, epochs=1)
        again.load_weights(tmp_path / name)
    assert value_of(again.optimizer.strength_scale) == 2.5
    for straight, resumed in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        assert value_of(straight) == value_of(resumed)
    fit(model, epochs=1)
    fit(again, epochs=1)
    for straight, resumed in zip(weights_of(model), weights_of(again), strict=True):
        np.testing.assert_array_equal(straight, resumed)


def test_it_is_among_the_variables_once():
    model = compiled(proximal())
    fit(model, epochs=1)
    paths = [variable.path for variable in model.optimizer.variables]
    assert sum(path.endswith("strength_scale") for path in paths) == 1
    assert len(paths) == len(model.optimizer.inner_optimizer.variables) + 2
    weights = [ops.convert_to_numpy(variable) for variable in model.optimizer.variables]
    (place,) = [at for at, path in enumerate(paths) if path.endswith("strength_scale")]
    weights[place] = weights[place] * 4
    model.optimizer.set_weights(weights)
    assert value_of(model.optimizer.strength_scale) == 4.0


@pytest.mark.parametrize("plain_first", [True, False])
def test_weights_of_another_optimizer_are_skipped_with_keras_warning(tmp_path, plain_first):
    makers = [lambda: keras.optimizers.Adam(1e-2), proximal]
    first, second = makers if plain_first else makers[::-1]
    saved, other = compiled(first()), compiled(second())
    for model in (saved, other):
        fit(model, epochs=1)
    saved.save_weights(tmp_path / "model.weights.h5")
    state = [value_of(variable) for variable in other.optimizer.variables]
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        other.load_weights(tmp_path / "model.weights.h5")
    assert [value_of(variable) for variable in other.optimizer.variables] == state
    for one, two in zip(weights_of(saved), weights_of(other), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_it_follows_a_loss_scale_optimizer(tmp_path):
    model = compiled(keras.optimizers.LossScaleOptimizer(proximal()))
    model.optimizer.inner_optimizer.strength_scale = 1e6
    fit(model, epochs=1)
    assert not np.any(weights_of(model)[0])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert value_of(again.optimizer.inner_optimizer.strength_scale) == 1e6


def test_training_after_loading_gives_no_warning(tmp_path):
    model = compiled(proximal())
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fit(keras.models.load_model(tmp_path / "model.keras"), epochs=1)
    assert [str(warning.message) for warning in seen if "optimizer" in str(warning.message)] == []
