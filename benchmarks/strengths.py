"""Which strengths of L1 suit which optimizer: those that leave 50 to 95% zeros, for all of Keras's.

    KERAS_BACKEND=jax python benchmarks/strengths.py

A network 64-256-128-10 on scikit-learn's digits. The learning rate of an optimizer is the one of a
list that fits the training data best without a penalty. With BENCHMARK_RESULTS=1 the table goes
into docs/strengths.md.
"""

import argparse
import math
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import timing
from keras import optimizers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "strengths.md"
BATCH, EPOCHS = 128, 30
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
STRENGTHS = tuple(10.0 ** (quarter / 4) for quarter in range(-24, 13))
LOW, HIGH = 0.5, 0.95
OPTIMIZERS: dict[str, Callable[[float], optimizers.Optimizer]] = {
    "SGD": optimizers.SGD,
    "SGD, momentum 0.9": lambda rate: optimizers.SGD(rate, momentum=0.9),
    "RMSprop": optimizers.RMSprop,
    "Adam": optimizers.Adam,
    "AdamW": optimizers.AdamW,
    "Adadelta": optimizers.Adadelta,
    "Adagrad": optimizers.Adagrad,
    "Adamax": optimizers.Adamax,
    # With its default, 1e-30, a unit whose gradient is zero makes every weight NaN in float32.
    "Adafactor, epsilon_1 1e-15": lambda rate: optimizers.Adafactor(rate, epsilon_1=1e-15),
    "Nadam": optimizers.Nadam,
    "Ftrl": optimizers.Ftrl,
    "Lion": optimizers.Lion,
    "Lamb": optimizers.Lamb,
    "Muon": optimizers.Muon,
}
HEADER = (
    "optimizer",
    "learning rate",
    "strength for 50% zeros",
    "for 95% zeros",
    "test accuracy: no penalty, 50%, 95%",
    "zeros at strength 0.01",
)


class Outcome(NamedTuple):
    """What a training led to."""

    zeros: float
    accuracy: float
    loss: float


class Trials:
    """Trainings of one network from the same start, in the same order of batches.

    The strength is that of L1(1.0), scaled, so that one compiled step serves all.
    """

    def __init__(self, make: Callable[[float], optimizers.Optimizer]):
        x, y = load_digits(return_X_y=True)
        split = train_test_split(
            (x / 16).astype("float32"), y, test_size=0.25, stratify=y, random_state=0
        )
        self.x, self.x_test, self.y, self.y_test = split
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(units, activation="relu") for units in (256, 128)]
        self.model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
        self.optimizer = kr.optimizers.Proximal(make(RATES[0]), kr.regularizers.L1(1.0))
        self.optimizer.build(self.model.trainable_variables)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(self.optimizer, loss, metrics=["accuracy"])
        variables = [*self.model.variables, *self.optimizer.variables]
        self._start = [(each, keras.ops.convert_to_numpy(each)) for each in variables]

    def train(self, rate: float, strength: float) -> Outcome:
        for variable, value in self._start:
            variable.assign(value)
        self.optimizer.learning_rate = rate
        self.optimizer.strength_scale = strength
        keras.utils.set_random_seed(0)
        history = self.model.fit(self.x, self.y, BATCH, EPOCHS, verbose=0).history
        kernels = [np.asarray(kernel) for kernel in self.model.get_weights()[::2]]
        zeros = sum(np.sum(k == 0) for k in kernels) / sum(k.size for k in kernels)
        accuracy = self.model.evaluate(self.x_test, self.y_test, verbose=0)[1]
        return Outcome(float(zeros), accuracy, history["loss"][-1])


def crossing(outcomes: list[Outcome], share: float) -> tuple[float, float]:
    """The strength at which the zeros first reach a share, and the accuracy there, interpolated."""
    zeros = [outcome.zeros for outcome in outcomes]
    above = next((i for i, found in enumerate(zeros) if found >= share), None)
    if not above:
        return math.nan, math.nan
    part = (share - zeros[above - 1]) / (zeros[above] - zeros[above - 1])
    logs = [math.log(STRENGTHS[i]) for i in (above - 1, above)]
    accuracies = [outcomes[i].accuracy for i in (above - 1, above)]
    return math.exp(logs[0] + part * (logs[1] - logs[0])), float(
        np.interp(part, [0, 1], accuracies)
    )


def measure(name: str) -> tuple[str, ...]:
    """A line of the table."""
    trials = Trials(OPTIMIZERS[name])
    free = {rate: trials.train(rate, 0.0) for rate in RATES}
    rate = min(RATES, key=lambda rate: np.nan_to_num(free[rate].loss, nan=math.inf))
    outcomes = [trials.train(rate, strength) for strength in STRENGTHS]
    (low, at_low), (high, at_high) = (crossing(outcomes, share) for share in (LOW, HIGH))
    default = outcomes[STRENGTHS.index(0.01)].zeros
    accuracies = " ".join(f"{value:.1%}" for value in (free[rate].accuracy, at_low, at_high))
    return name, f"{rate:g}", f"{low:.2g}", f"{high:.2g}", accuracies, f"{default:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=OPTIMIZERS, nargs="*", default=list(OPTIMIZERS))
    table = []
    for name in parser.parse_args().only:
        table.append(measure(name))
        print(*table[-1], sep=" | ", flush=True)
    if os.environ.get("BENCHMARK_RESULTS") == "1":
        body = timing.markdown(HEADER, table)
        timing.write_section(PAGE, "strengths", f"{body}\n\n{timing.machine()}")


if __name__ == "__main__":
    main()
