"""ScheduleLogger: the rates of layers and the strengths of penalties, epoch by epoch."""

import csv

import keras
import numpy as np
import pytest

from keras_reg import layers, regularizers, schedules
from keras_reg.callbacks import ScheduleLogger
from keras_reg.optimizers import Proximal


def fit(penalties, *callbacks, rate=0.5, **kwargs):
    inner = keras.Sequential([layers.ScheduledDropout(rate, name="same")], name="inner")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="dense"),
            inner,
            layers.ScheduledDropout(rate, name="same"),
            layers.ScheduledDropout(0.1, name="constant"),
        ]
    )
    model.compile(Proximal(keras.optimizers.SGD(0.1), penalties), "mse", **kwargs)
    x, y = np.ones((8, 4)), np.ones((8, 3))
    return model.fit(x, y, batch_size=2, epochs=2, verbose=0, callbacks=[*callbacks]).history


def test_rates_and_strengths_are_in_the_logs():
    history = fit(
        {"dense/kernel": regularizers.L1(schedules.Linear(0.0, 0.8, steps=8))},
        ScheduleLogger(),
        rate=schedules.Linear(0.0, 0.5, steps=8),
    )
    assert history["rate/same"] == history["rate/same:2"] == [0.25, 0.5]
    np.testing.assert_allclose(history["strength/dense/kernel"], [0.4, 0.8], rtol=1e-6)
    assert set(history) == {"loss", "rate/same", "rate/same:2", "strength/dense/kernel"}


@pytest.mark.parametrize("kwargs", [{}, {"auto_scale_loss": True}])
def test_one_penalty_for_all_and_a_sparsity(kwargs, tmp_path):
    penalty = regularizers.TopK(schedules.Linear(0.0, 0.5, steps=8))
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(penalty, ScheduleLogger(), log, **kwargs)
    assert history["sparsity"] == [0.25, 0.5]
    with open(tmp_path / "log.csv", newline="") as file:
        assert [float(row["sparsity"]) for row in csv.DictReader(file)] == [0.25, 0.5]


def test_numbers_are_not_in_the_logs():
    assert set(fit(regularizers.L1(0.1), ScheduleLogger())) == {"loss"}
