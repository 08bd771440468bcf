"""How close TargetSparsity comes: two networks, four targets, five seeds, the same settings.

    KERAS_BACKEND=jax python benchmarks/target_sparsity.py

SGD with momentum and a falling learning rate, on scikit-learn's digits. A line is five trainings.
"""

import argparse
import statistics

import keras
import timing
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

BATCH, EPOCHS, BY_EPOCH, STRENGTH = 128, 70, 40, 1e-3
TARGETS = (0.5, 0.8, 0.9, 0.95)
HEADER = ("network", "target", "ends at, five seeds", "largest distance", "test accuracy")


def digits() -> keras.Model:
    hidden = [keras.layers.Dense(units, activation="relu") for units in (256, 128)]
    return keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])


def cnn() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Reshape((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10),
        ]
    )


def load():
    x, y = load_digits(return_X_y=True)
    return train_test_split(
        (x / 16).astype("float32"), y, test_size=0.25, stratify=y, random_state=0
    )


def train(network, target: float, seed: int) -> tuple[float, float]:
    """The sparsity and the test accuracy at the end of one training."""
    x_train, x_test, y_train, y_test = load()
    keras.utils.set_random_seed(seed)
    model = network()
    steps = EPOCHS * -(-len(x_train) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(0.03, steps, alpha=0.01)
    optimizer = keras.optimizers.SGD(rate, momentum=0.97, nesterov=True)
    model.compile(
        kr.optimizers.Proximal(optimizer, kr.regularizers.L1(STRENGTH)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    steer = kr.callbacks.TargetSparsity(target, until=BY_EPOCH)
    model.fit(x_train, y_train, BATCH, EPOCHS, verbose=0, callbacks=[steer])
    return kr.sparsity(model).sparsity, model.evaluate(x_test, y_test, verbose=0)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    table = []
    for network, name in ((digits, "64-256-128-10"), (cnn, "CNN")):
        for target in TARGETS:
            ends, accuracies = zip(
                *(train(network, target, seed) for seed in range(options.seeds)), strict=True
            )
            distance = max(abs(end - target) for end in ends)
            shown = " ".join(f"{end:.2%}" for end in ends)
            accuracy = f"{statistics.mean(accuracies):.1%}"
            table.append((name, f"{target:.0%}", shown, f"{100 * distance:.2f} points", accuracy))
            print(*table[-1], flush=True)
    title = f"TargetSparsity by epoch {BY_EPOCH} of {EPOCHS}, {keras.backend.backend()}"
    timing.report("target sparsity", title, table, HEADER)


if __name__ == "__main__":
    main()
