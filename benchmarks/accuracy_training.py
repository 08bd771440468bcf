"""What the trainings of benchmarks/accuracy.py and accuracy_choices.py have in common."""

import dataclasses
from collections.abc import Callable
from typing import Any

import accuracy_loop
import accuracy_tasks as tasks
import keras
import numpy as np

import keras_reg as kr


@dataclasses.dataclass(frozen=True)
class Setting:
    """How long and how fast a network trains: `ramp` and `refit` are shares of the epochs."""

    batch: int
    epochs: int = tasks.EPOCHS
    ramp: float = tasks.RAMP
    refit: float = tasks.REFIT
    rate: float = tasks.RATE
    beta_2: float = 0.999

    @property
    def parts(self) -> tuple[int, int]:
        """Epochs before the refit, and of it."""
        first = round(self.refit * self.epochs)
        return first, self.epochs - first

    def rates(self, steps: int) -> list[Any]:
        cosine = keras.optimizers.schedules.CosineDecay
        return [cosine(self.rate, max(1, n) * steps, tasks.LOWEST) for n in self.parts]

    def adam(self, rate: Any) -> keras.optimizers.Adam:
        return keras.optimizers.Adam(rate, beta_2=self.beta_2)


def network(task: str, features: int, units: tuple[int, ...] | None = None) -> keras.Sequential:
    """The network of a task, or one with other hidden layers."""
    return keras.Sequential(tasks.network(keras.layers, task, features, units))


def train(
    make: Callable, parts: Callable | None, x: np.ndarray, y: np.ndarray, setting: Setting, seeds
) -> list[keras.Model]:
    """The models after a training for each seed.

    Args:
        make: makes a model.
        parts: from a model and the update at which a ramp ends, the penalties, what else
            `Proximal` takes, and callbacks. None: the network stays dense, and has no refit.
    """
    steps = len(x) // setting.batch
    (first, last), rates = setting.parts, setting.rates(steps)
    models, callbacks = [], []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model = make()
        optimizer = setting.adam(rates[0])
        if parts is not None:
            ramp_end = round(setting.ramp * setting.epochs * steps)
            penalties, arguments, callbacks = parts(model, ramp_end=ramp_end)
            optimizer = kr.optimizers.Proximal(optimizer, penalties, **arguments)
        compiled(model, optimizer)
        models.append(model)
        if callbacks:
            refit = kr.callbacks.Refit(setting.refit, rates[1])
            everything = [*callbacks, refit]
            model.fit(x, y, setting.batch, setting.epochs, verbose=0, callbacks=everything)
    if not callbacks:
        accuracy_loop.train(models, x, y, setting.batch, first, seeds)
    if parts is not None and not callbacks and last:
        for model in models:
            model.optimizer.fix_support()
            model.optimizer.learning_rate = rates[1]
        accuracy_loop.train(models, x, y, setting.batch, last, seeds)
    return models


def compiled(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def correct(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """The share of examples that the model classifies correctly."""
    logits = keras.ops.convert_to_numpy(model(x, training=False))
    return float(np.mean(np.argmax(logits, axis=1) == y))
