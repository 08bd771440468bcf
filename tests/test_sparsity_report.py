"""SparsityReport: figures in the logs, where other callbacks see them, and a table at the end."""

import csv
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_reg import optimizers, regularizers, schedules
from keras_reg.callbacks import SparsityReport
from keras_reg.report import read_lines

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
    history = fit([1, 0, 3, 4], SparsityReport(verbose=0, per_weight=True)).history
    assert history["sparsity"] == history[KEY] == [0.25, 0.0, 0.75, 1.0]


def test_csv_logger_writes_them(tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    fit([1, 2], SparsityReport(verbose=0, per_weight=True), log)
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


def test_between_measures_the_last_figures_are_repeated(tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit([1, 2, 3, 4, 0, 1], SparsityReport(every=3, verbose=0), log).history
    # The first, every third and the last.
    assert history["sparsity"] == [0.25, 0.25, 0.75, 0.75, 0.75, 0.25]
    with open(tmp_path / "log.csv", newline="") as file:
        assert [float(row["sparsity"]) for row in csv.DictReader(file)] == history["sparsity"]


def test_other_keys():
    history = fit([1, 4], SparsityReport(verbose=0)).history
    assert history["group_sparsity"] == [1 / 7, 1.0]
    assert history["penalty"] == [0.0, 0.0]


class Seen(keras.callbacks.Callback):
    """Remembers the figure in the logs of every batch."""

    def __init__(self):
        super().__init__()
        self.figures = []

    def on_train_batch_end(self, batch, logs=None):
        self.figures.append(logs.get("sparsity"))


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_batches_are_measured_as_they_are_then():
    """A proximal step so strong that the first update makes zeros, measured in the first epoch."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    strength = schedules.Linear(0.0, 1e6, steps=1, delay=3)
    optimizer = optimizers.Proximal(keras.optimizers.SGD(0.1), regularizers.L1(strength))
    model.compile(optimizer, "mse")
    seen, report = Seen(), SparsityReport(every=2, verbose=0, frequency="batch")
    history = model.fit(
        np.ones((16, 4)), np.ones((16, 3)), 2, 2, verbose=0, callbacks=[report, seen]
    )
    assert seen.figures[:8] == [None, 0.0, None, 0.0, None, 1.0, None, 1.0]
    assert history.history["sparsity"] == [1.0, 1.0]
    [first] = report.first_zero().values()
    assert set(first["inputs"].tolist()) == {0}


def test_churn_and_the_epoch_of_the_first_zero():
    tables = []

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            tables.append(report.table)

    report = SparsityReport(verbose=0)
    fit([0, 1, 1, 3, 2], report, Keep())
    assert [table.churn for table in tables] == [None, 0.25, 0.0, 0.5, 0.25]
    assert report.table.churn == 0.25
    first = report.first_zero()["model/dense/kernel"]
    assert first["inputs"].tolist() == [1, 3, 3, -1]
    assert first["outputs"].tolist() == [-1, -1, -1]


def test_lines_are_appended_and_read_back(tmp_path):
    path = tmp_path / "runs" / "report.jsonl"
    report = SparsityReport(verbose=0, path=path)
    fit([1, 2], report)
    history = read_lines(path)
    assert history["epoch"] == [0, 1]
    assert history["sparsity"] == history[KEY] == [0.25, 0.5]
    assert history["table"][-1] == report.table
    assert len(history["loss"]) == 2
    with path.open("a") as file:
        file.write('{"epoch": 2, "batch": nu')
    assert read_lines(path)["epoch"] == [0, 1]
    # A run that goes on writes the epoch again.
    fit([1, 3], SparsityReport(verbose=0, path=path))
    assert read_lines(path)["sparsity"] == [0.25, 0.75]


KILLED = """
import os, signal, sys
import keras, numpy as np
from keras_reg.callbacks import SparsityReport

class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
model.compile("sgd", "mse")
report = SparsityReport(path=sys.argv[1])
model.fit(np.ones((2, 4)), np.ones((2, 3)), epochs=9, verbose=0, callbacks=[report, Kill()])
"""


@pytest.mark.once  # Lines are written alike on each backend.
def test_lines_survive_a_killed_run(tmp_path):
    path = tmp_path / "report.jsonl"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=400)
    assert done.returncode == -signal.SIGKILL
    assert read_lines(path)["epoch"] == [0, 1, 2]


def test_a_progress_bar_before_it_prints_none_of_the_keys(capsys):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    bar = keras.callbacks.ProgbarLogger()
    callbacks = [bar, SparsityReport(verbose=0)]
    history = model.fit(np.ones((2, 4)), np.ones((2, 3)), callbacks=callbacks)
    printed = capsys.readouterr().out
    assert "loss" in printed
    assert "sparsity" not in printed
    assert "sparsity" in history.history


def test_a_backup_goes_on_where_it_was(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1 and not (tmp_path / "once").exists():
                (tmp_path / "once").touch()
                raise KeyboardInterrupt

    path = tmp_path / "report.jsonl"
    for attempt in range(2):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        report = SparsityReport(verbose=0, path=path)
        if attempt == 0:
            with pytest.raises(KeyboardInterrupt):
                fit([1, 2, 3, 4], report, backup, Stop())
        else:
            fit([1, 2, 3, 4], report, backup, Stop())
    assert read_lines(path)["epoch"] == [0, 1, 2, 3]
    assert read_lines(path)["sparsity"] == [0.25, 0.5, 0.75, 1.0]


def test_tensorboard_has_the_scalars_and_its_own_histograms(tmp_path):
    pytest.importorskip("tensorboard")
    board = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, write_graph=False)
    fit([1, 3], SparsityReport(verbose=0, per_weight=True), board)
    scalars, histograms = events_of(tmp_path / "train")
    assert scalars["epoch_sparsity"] == [0.25, 0.75]
    assert scalars[f"epoch_{KEY}"] == [0.25, 0.75]
    assert scalars["epoch_penalty"] == [0.0, 0.0]
    assert any("kernel" in tag for tag in histograms)


def events_of(folder):
    """The scalars by tag in the event files of a folder, and the tags of its histograms."""
    import tensorflow as tf

    scalars, histograms = {}, set()
    for file in sorted(folder.glob("events.out.*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                if array.ndim == 0 and array.dtype.kind == "f":
                    scalars.setdefault(value.tag, []).append(float(array))
                elif value.tag.endswith("histogram"):
                    histograms.add(value.tag)
    return scalars, histograms


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a TensorFlow strategy")
def test_a_mirrored_model_is_measured():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
        model.compile("sgd", "mse")
    plan = ZeroRows([1, 3])
    history = model.fit(
        np.ones((4, 4)), np.ones((4, 3)), epochs=2, verbose=0, callbacks=[plan, SparsityReport()]
    )
    assert history.history["sparsity"] == [0.25, 0.75]


def test_only_the_chief_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("keras_reg.callbacks.sparsity_report.is_chief", lambda: False)
    history = fit([1, 2], SparsityReport(path=tmp_path / "report.jsonl")).history
    assert history["sparsity"] == [0.25, 0.5]
    assert not capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "bad", [{"every": 0}, {"tolerance": 2.0}, {"frequency": "step"}, {"every": 1.5}]
)
def test_bad_arguments_are_refused(bad):
    with pytest.raises(ValueError, match="Expected"):
        SparsityReport(**bad)
