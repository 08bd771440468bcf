"""Data and settings that benchmarks/accuracy.py and its peers share. It imports no framework."""

import argparse
import itertools
import json
import pathlib
from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

# A training is EPOCHS long: the ramp of the sparsity ends at RAMP of them, and the last part, from
# REFIT on, trains what is left, with the same cosine again.
EPOCHS, RAMP, REFIT = 40, 0.5, 0.75
RATE, LOWEST = 3e-3, 0.01
BATCH = {"mnist1d MLP": 100, "digits MLP": 64, "digits CNN": 64}
UNITS = {"mnist1d MLP": (300, 100), "digits MLP": (256, 128)}
SPARSITIES = (0.8, 0.9, 0.95, 0.98, 0.99)
# Updates between two prunings.
EVERY = 10


def load(task: str) -> tuple[np.ndarray, ...]:
    """Training and test images, training and test labels."""
    if task.startswith("mnist1d"):
        from mnist1d.data import get_dataset_args, make_dataset

        data = make_dataset(get_dataset_args())
        parts = [data[name] for name in ("x", "x_test", "y", "y_test")]
    else:
        x, y = load_digits(return_X_y=True)
        parts = train_test_split(x / 16, y, test_size=0.25, stratify=y, random_state=0)
    x, x_test, y, y_test = parts
    return x.astype("float32"), x_test.astype("float32"), y.astype("int32"), y_test.astype("int32")


def ramp(step: int, last: int, sparsity: float) -> float:
    """The cubic curve of Zhu & Gupta, 2017."""
    return sparsity * (1 - (1 - min(1.0, step / last)) ** 3)


class Store:
    """Accuracies by task, method, sparsity and seed, kept in a file after each."""

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)

    def read(self) -> dict[str, list[float]]:
        """From "task|method|sparsity|seed" to the share of zeros and the test accuracy."""
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def add(self, key: tuple, zeros: float, accuracy: float) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        results = {**self.read(), "|".join(map(str, key)): [zeros, accuracy]}
        self.path.write_text(json.dumps(results, indent=0))
        print(*key, f"zeros {zeros:.4f}", f"accuracy {accuracy:.4f}", flush=True)

    def has(self, key: tuple) -> bool:
        return "|".join(map(str, key)) in self.read()


def peer(description: str, name: str, store: str, train: Callable) -> None:
    """The command of a peer, which trains what is not in its store: see `accuracy.train`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--store", default=store)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(UNITS))
    parser.add_argument("--sparsities", nargs="*", type=float, default=SPARSITIES)
    options = parser.parse_args()
    kept = Store(options.store)
    for seed, task, sparsity in itertools.product(
        range(options.seeds), options.tasks, options.sparsities
    ):
        key = (task, name, sparsity, seed)
        if not kept.has(key):
            kept.add(key, *train(task, sparsity, seed))
