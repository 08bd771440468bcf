"""Test accuracy over zeros: penalties and pruning of this package, and its peers.

    KERAS_BACKEND=jax python benchmarks/accuracy.py --store build/accuracy.json
    python benchmarks/accuracy_torch.py --store build/accuracy_torch.json
    make peers
    python benchmarks/accuracy.py --report build/accuracy*.json

All train for the same epochs with the same batches, learning rates and ramp; accuracy_tasks.py has
them. Results are kept one by one, and a run that is started again goes on. `--report` writes the
table of RESULTS.md and docs/images/accuracy.png.
"""

import argparse
import itertools

import accuracy_report
import accuracy_tasks as tasks
import keras
import numpy as np

import keras_reg as kr

R = kr.regularizers


def network(task: str, features: int) -> keras.Model:
    layers = keras.layers
    if task in tasks.UNITS:
        hidden = [layers.Dense(units, activation="relu") for units in tasks.UNITS[task]]
        return keras.Sequential([keras.Input((features,)), *hidden, layers.Dense(10)])
    return keras.Sequential(
        [
            keras.Input((features,)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


def pruned(scope: str, metric: str):
    """The parts of a training with TopK along the ramp."""

    def parts(sparsity: float, steps: int):
        ramp = kr.schedules.Polynomial(
            0.0, sparsity, steps=round(tasks.RAMP * tasks.EPOCHS * steps)
        )
        return R.TopK(ramp, scope=scope), {"every": tasks.EVERY, "metric": metric}, []

    return parts


def steered(penalty: R.Penalty, metric: str):
    """The parts of a training whose strength is steered towards the sparsity."""

    def parts(sparsity: float, steps: int):
        return penalty, {"metric": metric}, [kr.callbacks.TargetSparsity(sparsity)]

    return parts


METHODS = {
    "TopK": pruned("variable", "euclidean"),
    "TopK, all": pruned("all", "euclidean"),
    "TopK, all, adaptive": pruned("all", "adaptive"),
    "LogSum, adaptive": steered(R.LogSum(1e-4), "adaptive"),
    "L1, adaptive": steered(R.L1(1e-4), "adaptive"),
    "L1": steered(R.L1(0.1), "euclidean"),
}


def train(task: str, method: str, sparsity: float, seed: int) -> tuple[float, float]:
    """The share of zeros and the test accuracy at the end of a training."""
    x, x_test, y, y_test = tasks.load(task)
    steps = -(-len(x) // tasks.BATCH[task])
    keras.utils.set_random_seed(seed)
    model = network(task, x.shape[1])
    first, last = round(tasks.REFIT * tasks.EPOCHS), round((1 - tasks.REFIT) * tasks.EPOCHS)
    cosine = keras.optimizers.schedules.CosineDecay
    optimizer = keras.optimizers.Adam(cosine(tasks.RATE, first * steps, tasks.LOWEST))
    callbacks = []
    if method != "dense":
        penalty, arguments, callbacks = METHODS[method](sparsity, steps)
        optimizer = kr.optimizers.Proximal(optimizer, penalty, **arguments)
        callbacks += [
            kr.callbacks.Refit(tasks.REFIT, cosine(tasks.RATE, last * steps, tasks.LOWEST))
        ]
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    epochs = tasks.EPOCHS if callbacks else first
    model.fit(x, y, tasks.BATCH[task], epochs, verbose=0, callbacks=callbacks)
    right = np.argmax(model.predict(x_test, verbose=0), axis=1) == y_test
    return kr.sparsity(model).sparsity, float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="build/accuracy.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(tasks.BATCH))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--sparsities", nargs="*", type=float, default=tasks.SPARSITIES)
    parser.add_argument("--report", nargs="*")
    options = parser.parse_args()
    if options.report is not None:
        accuracy_report.write([tasks.Store(path).read() for path in options.report])
        return
    store = tasks.Store(options.store)
    for seed, task in itertools.product(range(options.seeds), options.tasks):
        cases = [("dense", 0.0), *itertools.product(options.methods, options.sparsities)]
        for method, sparsity in cases:
            key = (task, method, sparsity, seed)
            if not store.has(key):
                store.add(key, *train(*key))


if __name__ == "__main__":
    main()
