"""Whether the schedule of a dropout rate matters: test accuracy on mnist1d, five seeds each.

    KERAS_BACKEND=jax python benchmarks/dropout_schedules.py

One MLP, trained with no dropout, a constant rate, late dropout and a curriculum. The four runs of a
seed start from the same weights and see the same batches.
"""

import argparse
from collections.abc import Callable

import keras
import numpy as np
import timing
from mnist1d.data import get_dataset_args, make_dataset

from keras_reg import layers, schedules

EPOCHS, BATCH, RATE = 60, 100, 0.3
HEADER = ("schedule", "test accuracy, mean", "standard deviation", "train accuracy, mean", "seeds")


def data() -> tuple[np.ndarray, ...]:
    """4000 training and 1000 test signals of 40 numbers, made here from the package's own seed."""
    made = make_dataset(get_dataset_args())
    return tuple(made[key] for key in ("x", "y", "x_test", "y_test"))


def rates(steps: int) -> dict[str, Callable]:
    return {
        "none": lambda: 0.0,
        "constant": lambda: RATE,
        "late": lambda: schedules.Late(RATE, steps=steps // 2),
        "curriculum": lambda: schedules.Curriculum(RATE, steps=steps),
    }


def accuracy(rate: schedules.Value, seed: int, x, y, x_test, y_test) -> tuple[float, float]:
    """Test and training accuracy after the last epoch."""
    keras.utils.set_random_seed(seed)
    parts = [keras.Input((40,))]
    for _ in range(2):
        parts += [keras.layers.Dense(256, activation="relu"), layers.ScheduledDropout(rate)]
    model = keras.Sequential([*parts, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return tuple(
        model.evaluate(*pair, batch_size=1000, verbose=0)[1] for pair in ((x_test, y_test), (x, y))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    x, y, x_test, y_test = data()
    table = []
    for name, make in rates(EPOCHS * len(x) // BATCH).items():
        runs = [accuracy(make(), seed, x, y, x_test, y_test) for seed in range(options.seeds)]
        tests, trains = np.array(runs).T
        deviation = tests.std(ddof=1) if len(tests) > 1 else 0.0
        row = (f"{tests.mean():.1%}", f"{deviation:.1%}", f"{trains.mean():.1%}")
        table.append((name, *row, str(len(runs))))
    title = f"mnist1d, MLP 40-256-256-10, Adam, {EPOCHS} epochs, rate {RATE}"
    timing.report("dropout schedules", title, table, HEADER)


if __name__ == "__main__":
    main()
