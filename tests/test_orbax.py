"""Keras's OrbaxCheckpoint: a training goes on from its folder bit for bit, by `load_weights`."""

import keras
import numpy as np
import pytest
from keras import ops
from small_model import dense_model, fit

from keras_reg import regularizers, schedules
from keras_reg.optimizers import Proximal

pytest.importorskip("orbax.checkpoint")
# Orbax asks whether it can read a file by trying to: a warning that is an error means no.
pytestmark = pytest.mark.filterwarnings("ignore")

RAMP = schedules.Linear(0.0, 0.5, steps=20)


def wrapped():
    """An optimizer with state of every kind, in a model that starts as all others do."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    model = dense_model()
    inner = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5)
    model.compile(Proximal(inner, regularizers.L1(RAMP)), "mse")
    return model


def state(model):
    variables = [*model.variables, *model.optimizer.variables]
    return {f"{at} {v.path}": ops.convert_to_numpy(v) for at, v in enumerate(variables)}


def saving_to(folder):
    return [keras.callbacks.OrbaxCheckpoint(folder, save_on_background=False)]


def loaded(folder):
    """As Keras documents it: the optimizer has to be built to have its state."""
    model = wrapped()
    model.optimizer.build(model.trainable_variables)
    model.load_weights(folder)
    return model


def test_training_goes_on_bit_for_bit(tmp_path):
    whole, half = wrapped(), wrapped()
    fit(whole, epochs=4)
    fit(half, epochs=2, callbacks=saving_to(tmp_path))
    again = loaded(tmp_path)
    fit(again, epochs=4, initial_epoch=2)
    expected, found = state(whole), state(again)
    assert list(expected) == list(found)
    assert any(np.any(value == 0) for name, value in expected.items() if "hidden/kernel" in name)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_support_that_was_fixed_stays_fixed(tmp_path):
    model = wrapped()
    fit(model, epochs=4)
    model.optimizer.fix_support()
    model.make_train_function(force=True)
    fit(model, epochs=1, callbacks=saving_to(tmp_path))
    zeros = ops.convert_to_numpy(model.layers[0].kernel) == 0
    again = loaded(tmp_path)
    assert again.optimizer.support_is_fixed
    fit(again, epochs=2)
    after = ops.convert_to_numpy(again.layers[0].kernel)
    assert 0 < zeros.sum() < zeros.size
    np.testing.assert_array_equal(after == 0, zeros)
