"""What dropout and Proximal do to the network of the quickstart, each alone and both: five seeds.

    KERAS_BACKEND=jax python benchmarks/headline.py

The digits of scikit-learn, three quarters for training. All runs of a seed start from the same
weights, see the same split and the same batches. `Keras L1` is the penalty in the loss.
"""

import argparse
from typing import Any

import keras
import numpy as np
import timing
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

EPOCHS, BATCH, RATE = 150, 128, 2e-3
HEADER = ("training", "dropout", "test accuracy", "exact zeros", "units out of 384", "seeds")


def data(seed: int) -> list[np.ndarray]:
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    return train_test_split(x, y, test_size=0.25, stratify=y, random_state=seed)


def network(seed: int, steps: int, dropout: bool, regularizer: Any) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((64,))])
    for units in (256, 128):
        model.add(keras.layers.Dense(units, activation="relu", kernel_regularizer=regularizer))
        if dropout:
            rate = kr.schedules.Linear(0.3, 0.0, steps=steps // 2)
            model.add(kr.layers.ScheduledDropout(rate))
    model.add(keras.layers.Dense(10, kernel_regularizer=regularizer))
    return model


def trainings() -> dict[str, tuple[Any, Any]]:
    """Of each training the penalty in the loss and what makes the optimizer."""
    adam = keras.optimizers.Adam
    return {
        "Adam": (None, lambda: adam(RATE)),
        "Adam, Keras L1": (keras.regularizers.L1(1e-4), lambda: adam(RATE)),
        "Proximal(Adam, L1)": (
            None,
            lambda: kr.optimizers.Proximal(adam(RATE), kr.regularizers.L1(0.2)),
        ),
    }


def run(regularizer: Any, optimizer: Any, dropout: bool, seed: int) -> tuple[float, float, int]:
    """Test accuracy, share of exact zeros and units all of whose weights are zero."""
    x, x_test, y, y_test = data(seed)
    model = network(seed, EPOCHS * -(-len(x) // BATCH), dropout, regularizer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), loss, metrics=["accuracy"])
    model.fit(x, y, BATCH, EPOCHS, verbose=0)
    table = kr.sparsity(model)
    units = sum(row.zero_outputs for row in table.rows[:-1])
    return model.evaluate(x_test, y_test, verbose=0)[1], table.sparsity, units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    table = []
    for name, (regularizer, optimizer) in trainings().items():
        for dropout in (False, True):
            runs = [run(regularizer, optimizer, dropout, seed) for seed in range(seeds)]
            accuracy, zeros, units = np.array(runs).T
            spread = accuracy.std(ddof=1) if seeds > 1 else 0.0
            figures = (f"{accuracy.mean():.1%} ± {spread:.1%}", f"{zeros.mean():.1%}")
            row = (name, "0.3 falling to 0" if dropout else "none", *figures)
            table.append((*row, f"{units.mean():.0f}", str(seeds)))
            print(*table[-1], flush=True)
    title = f"digits, 64-256-128-10, {EPOCHS} epochs, mean and standard deviation over seeds"
    timing.report("headline", title, table, HEADER)


if __name__ == "__main__":
    main()
