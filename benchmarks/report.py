"""What a report costs: against a NumPy loop over get_weights(), and as a share of an epoch.

    KERAS_BACKEND=jax python benchmarks/report.py

The loop counts the same figures, in the plain way: exact zeros, zero inputs, zero outputs, 1:4, 2:4
and 4:8. Both wait for their result.
"""

import argparse
import time

import keras
import numpy as np
import timing
from sklearn.datasets import load_digits

from keras_reg import callbacks, sparsity
from keras_reg.report.compiled_counting import CompiledReader
from keras_reg.report.sparsity import Meter

layers = keras.layers


def dense_model(width: int, depth: int) -> keras.Model:
    kernels = [layers.Dense(width) for _ in range(depth)]
    return keras.Sequential([keras.Input((width,)), *kernels])


def numpy_loop(model: keras.Model) -> list[tuple]:
    """What a user would write today."""
    found = []
    for w in model.get_weights():
        if w.ndim < 2:
            continue
        zero = w == 0
        inputs = np.sum(np.all(zero, axis=1))
        outputs = np.sum(np.all(zero, axis=0))
        patterns = []
        for n, m in ((1, 4), (2, 4), (4, 8)):
            kept = np.sum(w.reshape(-1, m, w.shape[-1]) != 0, axis=1)
            patterns.append(np.mean(kept <= n))
        found.append((np.sum(zero), inputs, outputs, *patterns))
    return found


def zeros_alone(model: keras.Model) -> int:
    """The shortest loop: exact zeros and nothing else."""
    return sum(int(np.sum(w == 0)) for w in model.get_weights() if w.ndim >= 2)


def digits_cnn() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch without the report, and of the report."""

    def __init__(self, report: keras.callbacks.Callback):
        super().__init__()
        self.report, self.epochs, self.reports = report, [], []

    def set_model(self, model):
        super().set_model(model)
        self.report.set_model(model)

    def on_train_begin(self, logs=None):
        self.report.on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        middle = time.perf_counter()
        self.report.on_epoch_end(epoch, logs)
        self.epochs.append(middle - self.start)
        self.reports.append(time.perf_counter() - middle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    backend = keras.backend.backend()
    model = dense_model(options.width, options.depth)
    meter = Meter(model, reader=CompiledReader)
    assert [row.zeros for row in sparsity(model)] == [line[0] for line in numpy_loop(model)]
    cases = {
        "numpy loop": lambda: numpy_loop(model),
        "numpy loop, zeros alone": lambda: zeros_alone(model),
        "sparsity(model)": lambda: sparsity(model),
        "callback, with churn": meter.measure,
    }
    title = f"{model.count_params():,} parameters: {options.depth} x Dense({options.width})"
    seconds = timing.interleave(cases, options.rounds)
    timing.report(f"report {backend}", title, timing.rows(seconds, "numpy loop"))
    clock = Clock(callbacks.SparsityReport(verbose=0))
    x, y = load_digits(return_X_y=True)
    digits = (x / 16).reshape(-1, 8, 8, 1).astype("float32")
    digits_cnn().fit(digits, y, 32, options.epochs, verbose=0, callbacks=[clock])
    # The first epoch compiles.
    seconds = {"epoch": clock.epochs[1:], "its report": clock.reports[1:]}
    title = "A convolutional network on 1,797 digits, batch 32"
    timing.report(f"report epoch {backend}", title, shares(seconds))


def shares(seconds: dict[str, list[float]]) -> list[tuple[str, ...]]:
    """The rows of `timing`, with the ratio in four digits after the point."""
    table = timing.rows(seconds, "epoch")
    share = timing.ratio(seconds, "its report", "epoch")
    return [table[0], (*table[1][:4], f"{share:.4f}", *table[1][5:])]


if __name__ == "__main__":
    main()
