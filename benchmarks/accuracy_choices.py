"""What the recipe of docs/pruning.md was chosen by: one change at a time, on validation data.

    export JAX_COMPILATION_CACHE_DIR=build/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
    KERAS_BACKEND=jax python benchmarks/accuracy_choices.py
    python benchmarks/accuracy_choices.py --report

A quarter of the training data is held out; the rest trains as in accuracy.py. A choice is made by
the accuracy on what is held out; that on the test data is beside it. Each result is a line of
accuracy_choices.jsonl. `--report` writes the tables of RESULTS.md and docs/pruning.md.
"""

import argparse
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable

import accuracy_factors as factors
import accuracy_tasks as tasks
import accuracy_training as training
import keras
import numpy as np
from accuracy_choices_report import write
from sklearn.model_selection import train_test_split

import keras_reg as kr

R = kr.regularizers
STORE = pathlib.Path(__file__).with_name("accuracy_choices.jsonl")
# Hidden layers of dense networks that have about as many weights as 98% and 99% zeros leave.
SMALL = {
    "digits MLP": {0.98: (13, 8), 0.99: (6, 6)},
    "mnist1d MLP": {0.98: (15, 11), 0.99: (8, 6)},
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """A recipe: what `TopK` is given, or a steered penalty, and what of the setting differs."""

    setting: dict = dataclasses.field(default_factory=dict)
    metric: str = "adaptive"
    latent: bool = True
    every: int = tasks.EVERY
    score: str = "magnitude"
    penalty: Callable | None = None
    until: float = 0.3

    def parts(self, model: keras.Model, sparsity: float, ramp_end: int):
        if self.penalty is not None:
            steer = kr.callbacks.TargetSparsity(sparsity, until=self.until)
            return self.penalty(model, ramp_end), {"metric": self.metric}, [steer]
        ramp = kr.schedules.Polynomial(0.0, sparsity, steps=ramp_end)
        arguments = {"every": self.every, "metric": self.metric, "latent": self.latent}
        return R.TopK(ramp, scope="all", score=self.score), arguments, []


def weighted_l1(model: keras.Model, ramp_end: int):
    """An adaptive lasso: a weight that is small when the penalty comes is penalized more."""
    kernels = [
        variable for variable in model.trainable_variables if variable.path.endswith("kernel")
    ]
    factors_of = [1 / (np.abs(np.asarray(kernel)) + 0.01) for kernel in kernels]
    mean = np.mean(np.concatenate([one.ravel() for one in factors_of]))
    return {
        kernel.path: R.L1(1e-4, weights=one / mean)
        for kernel, one in zip(kernels, factors_of, strict=True)
    }


def falling_l1(model: keras.Model, ramp_end: int):
    """A strength that falls with the learning rate."""
    return R.L1(kr.schedules.Cosine(1e-4, 1e-6, steps=round(1.5 * ramp_end)))


def always(penalty: R.Penalty) -> Callable:
    return lambda model, ramp_end: penalty


CHOICES = {
    "the recipe": Choice(),
    "rate 3e-3": Choice({"rate": 3e-3}),
    "not latent": Choice(latent=False),
    "rate 3e-3, not latent": Choice({"rate": 3e-3}, latent=False),
    "batches of 32": Choice({"batch": 32}),
    "80 epochs": Choice({"epochs": 80}),
    "120 epochs": Choice({"epochs": 120}),
    "120 epochs, batches of 32": Choice({"epochs": 120, "batch": 32}),
    "no refit, one cosine": Choice({"refit": 1.0}),
    "rate 2e-2": Choice({"rate": 2e-2}),
    "ramp over a quarter": Choice({"ramp": 0.25}),
    "every=1": Choice(every=1),
    'score="fan_in"': Choice(score="fan_in"),
    'metric="euclidean"': Choice(metric="euclidean"),
    "beta_2 of 0.99": Choice({"beta_2": 0.99}),
}
STEERED = {
    "LogSum": Choice(penalty=always(R.LogSum(1e-4))),
    "L1": Choice(penalty=always(R.L1(1e-4))),
    "L1 after a dense training": Choice(penalty=always(R.L1(1e-4))),
    "L1 with weights, after a dense training": Choice(penalty=weighted_l1),
    "L1, strength falling with the rate": Choice(penalty=falling_l1),
    "Lq, q = 2/3": Choice(penalty=always(R.Lq(1e-4, 2 / 3))),
    "Lq, q = 1/2": Choice(penalty=always(R.Lq(1e-4, 1 / 2))),
    "LogSum, until=0.5": Choice(penalty=always(R.LogSum(1e-4)), until=0.5),
    "LogSum, batches of 32": Choice({"batch": 32}, penalty=always(R.LogSum(1e-4))),
    "LogSum, 120 epochs": Choice({"epochs": 120}, penalty=always(R.LogSum(1e-4))),
}
DENSE = {
    "dense": Choice(),
    "dense, batches of 32": Choice({"batch": 32}),
    "dense, 120 epochs": Choice({"epochs": 120}),
    "dense, as many weights": Choice(),
    "dense, as many weights, batches of 32": Choice({"batch": 32}),
    "dense, as many weights, 120 epochs": Choice({"epochs": 120}),
}
FACTORS = {
    f"{depth} factors, L2 of {strength:g}": (depth, strength)
    for depth, strength in itertools.product((2, 3), (1e-4, 3e-4, 1e-3))
}

GROUPS = {
    "one change to the recipe": list(CHOICES),
    "dense networks": list(DENSE),
    "steered penalties and factors": [*STEERED, *FACTORS],
}


@functools.cache
def load(task: str) -> tuple[np.ndarray, ...]:
    """What trains, what is held out and what tests: examples, then labels."""
    x, x_test, y, y_test = tasks.load(task)
    # 1,024 and 320 of the digits, 3,000 and 1,000 of mnist1d, 3,000 and 1,000 of MNIST.
    held = 320 if task.startswith("digits") else len(x) // 4
    x, x_held, y, y_held = train_test_split(x, y, test_size=held, stratify=y, random_state=1)
    return x, x_held, x_test, y, y_held, y_test


def train(task: str, name: str, sparsity: float, seeds: list[int]) -> list[tuple[float, ...]]:
    """Zeros, accuracy on what is held out and on the test data, of a training for each seed."""
    x, x_held, x_test, y, y_held, y_test = load(task)
    choice = {**CHOICES, **STEERED, **DENSE}.get(name, Choice())
    setting = training.Setting(**{"batch": tasks.BATCH[task], **choice.setting})
    count = len(x) // setting.batch * setting.batch
    x, y = x[:count], y[:count]
    units = SMALL[task][sparsity] if "as many" in name else None
    make = functools.partial(training.network, task, x.shape[1], units)
    if name in FACTORS:
        models = factors.train(task, *FACTORS[name], sparsity, x, y, setting, seeds)
    elif name in DENSE:
        models = training.train(make, None, x, y, setting, seeds)
    else:
        parts = functools.partial(choice.parts, sparsity=sparsity)
        if "after a dense" in name:
            started = iter(training.train(make, None, x, y, setting, seeds))
            make = functools.partial(next, started)
        models = training.train(make, parts, x, y, setting, seeds)
    return [
        (
            kr.sparsity(model).sparsity,
            training.correct(model, x_held, y_held),
            training.correct(model, x_test, y_test),
        )
        for model in models
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=STORE)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="*", default=list(SMALL))
    parser.add_argument("--choices", nargs="*", default=[*CHOICES, *DENSE, *STEERED, *FACTORS])
    parser.add_argument("--sparsities", nargs="*", type=float, default=(0.98,))
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    store = tasks.Store(options.store)
    if options.report:
        write(store.read(), GROUPS)
        return
    for sparsity, name, task in itertools.product(
        options.sparsities, options.choices, options.tasks
    ):
        share = 0.0 if name in DENSE and "as many" not in name else sparsity
        store.fill(task, name, share, options.seeds, train)


if __name__ == "__main__":
    main()
