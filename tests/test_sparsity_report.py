"""SparsityReport: figures in the logs, where other callbacks see them, and a table at the end."""

import csv
import re

import keras
import numpy as np
import pytest

from keras_reg.callbacks import SparsityReport

KEY = "sparsity/model/dense/kernel"


class ZeroRows(keras.callbacks.Callback):
    """Sets as many rows of the kernel to zero as the epoch's plan says."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan

    def on_epoch_end(self, epoch, logs=None):
        kernel = np.ones((4, 3))
        kernel[: self.plan[epoch]] = 0
        self.model.layers[0].kernel.assign(kernel)


def fit(plan, *callbacks):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")], name="model")
    model.compile("sgd", "mse")
    x, y = np.ones((2, 4)), np.ones((2, 3))
    return model.fit(x, y, epochs=len(plan), verbose=0, callbacks=[ZeroRows(plan), *callbacks])


def test_history_holds_the_figures_of_each_epoch():
    history = fit([1, 0, 3, 4], SparsityReport(verbose=0)).history
    assert history["sparsity"] == history[KEY] == [0.25, 0.0, 0.75, 1.0]


def test_csv_logger_writes_them(tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    fit([1, 2], SparsityReport(verbose=0), log)
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["sparsity"]) for row in rows] == [0.25, 0.5]
    assert [float(row[KEY]) for row in rows] == [0.25, 0.5]


def test_early_stopping_watches_them():
    stop = keras.callbacks.EarlyStopping("sparsity", mode="max", patience=1)
    fitted = fit([1, 2, 1, 4], SparsityReport(verbose=0), stop)
    assert fitted.history["sparsity"] == [0.25, 0.5, 0.25]


def test_model_checkpoint_keeps_the_sparsest(tmp_path):
    path = tmp_path / "best.keras"
    best = keras.callbacks.ModelCheckpoint(
        path, monitor="sparsity", mode="max", save_best_only=True
    )
    fit([1, 3, 2], SparsityReport(verbose=0), best)
    kernel = keras.saving.load_model(path).layers[0].get_weights()[0]
    assert np.mean(kernel == 0) == 0.75


@pytest.mark.parametrize("verbose", [0, 1])
def test_table_is_printed_when_training_ends_if_asked(verbose, capsys):
    fit([1, 2], SparsityReport(verbose=verbose))
    printed = capsys.readouterr().out
    assert printed.count("model/dense/kernel") == verbose
    assert len(re.findall(r"(kernel|total) .* 50\.0%", printed)) == 2 * verbose
    assert verbose or not printed


def test_table_is_that_of_the_last_weights():
    report = SparsityReport(verbose=0)
    fit([1, 3], report)
    assert report.table["model/dense/kernel"].zero_inputs == 3


def test_table_shows_the_weights_that_an_earlier_callback_restored():
    stop = keras.callbacks.EarlyStopping(
        "sparsity", mode="max", patience=1, restore_best_weights=True
    )
    report = SparsityReport(verbose=0)
    fit([3, 1, 1], SparsityReport(verbose=0), stop, report)
    assert report.table.sparsity == 0.75
