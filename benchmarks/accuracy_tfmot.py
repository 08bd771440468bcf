"""The peer of benchmarks/accuracy.py in TensorFlow Model Optimization: run by `make peers`.

TFMOT needs tf_keras, the Keras before Keras 3, and so an environment of its own.
"""

import argparse
import itertools

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from accuracy_tasks import (
    BATCH,
    EPOCHS,
    EVERY,
    LOWEST,
    RAMP,
    RATE,
    REFIT,
    SPARSITIES,
    UNITS,
    Store,
    load,
)


class Rate(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A cosine, and another one for the last part."""

    def __init__(self, first: int, last: int):
        cosine = tf_keras.optimizers.schedules.CosineDecay
        self.first, self.parts = first, [cosine(RATE, steps, LOWEST) for steps in (first, last)]

    def __call__(self, step):
        before, after = self.parts[0](step), self.parts[1](step - self.first)
        return tf.where(step < self.first, before, after)


def train(task: str, sparsity: float, seed: int) -> tuple[float, float]:
    """The share of zeros and the test accuracy at the end of a training."""
    x, x_test, y, y_test = load(task)
    tf_keras.utils.set_random_seed(seed)
    layers = tf_keras.layers
    hidden = [layers.Dense(units, activation="relu") for units in UNITS[task]]
    model = tf_keras.Sequential([layers.Input((x.shape[1],)), *hidden, layers.Dense(10)])
    steps = -(-len(x) // BATCH[task])
    ramp = tfmot.sparsity.keras.PolynomialDecay(
        0.0, sparsity, 0, round(RAMP * EPOCHS * steps), power=3, frequency=EVERY
    )
    model = tfmot.sparsity.keras.prune_low_magnitude(model, ramp)
    first = round(REFIT * EPOCHS) * steps
    model.compile(
        tf_keras.optimizers.Adam(Rate(first, EPOCHS * steps - first)),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    model.fit(x, y, BATCH[task], EPOCHS, verbose=0, callbacks=callbacks)
    model = tfmot.sparsity.keras.strip_pruning(model)
    kernels = [layer.kernel.numpy() for layer in model.layers]
    zeros = sum(np.sum(kernel == 0) for kernel in kernels) / sum(k.size for k in kernels)
    right = np.argmax(model.predict(x_test, verbose=0), axis=1) == y_test
    return float(zeros), float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="build/accuracy_tfmot.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(UNITS))
    parser.add_argument("--sparsities", nargs="*", type=float, default=SPARSITIES)
    options = parser.parse_args()
    store = Store(options.store)
    cases = itertools.product(range(options.seeds), options.tasks, options.sparsities)
    for seed, task, sparsity in cases:
        key = (task, "TFMOT", sparsity, seed)
        if not store.has(key):
            store.add(key, *train(task, sparsity, seed))


if __name__ == "__main__":
    main()
