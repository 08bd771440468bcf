"""Ramps: from one value to another, then constant."""

import math
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_reg.schedules.value import check_count, check_number


class Ramp(LearningRateSchedule):
    """A way from one value to another, then constant. A subclass says how it goes."""

    def __init__(self, initial: float, final: float, steps: int, delay: int = 0):
        super().__init__()
        self.initial = check_number(initial, "initial")
        self.final = check_number(final, "final")
        self.steps = check_count(steps, "steps", at_least=1)
        self.delay = check_count(delay, "delay", at_least=0)

    def __call__(self, step: Any) -> Any:
        elapsed = ops.cast(step, "float32") - self.delay
        return self._between(ops.clip(elapsed / self.steps, 0.0, 1.0))

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last value, between which all others lie."""
        return self.initial, self.final

    def get_config(self) -> dict:
        return {
            "initial": self.initial,
            "final": self.final,
            "steps": self.steps,
            "delay": self.delay,
        }

    def _between(self, done: Any) -> Any:
        """The value at a fraction of the way."""
        left = self._left(done)
        return left * self.initial + (1.0 - left) * self.final

    def _left(self, done: Any) -> Any:
        """The share of `initial` at a fraction of the way: exactly 1 at 0 and 0 at 1."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("keras_reg")
class Linear(Ramp):
    """Straight line from one value to another, then constant.

    value:  initial + (final - initial) * clip((step - delay) / steps, 0, 1)

    Both ends are exact: `initial` up to step `delay`, `final` from step `delay + steps` on.

    Args:
        initial: float. Value at the start.
        final: float. Value at the end.
        steps: int >= 1. Training steps (batches) from one to the other.
        delay: int >= 0. Training steps before it begins to move.
    Shapes: step: (), any integer or float dtype. value: (), float32.
    Raises: ValueError if an argument is out of range or not a finite number.

    Example:
        >>> ramp = Linear(0.0, 0.5, steps=100, delay=10)
        >>> [float(ramp(step)) for step in (0, 10, 60, 110, 500)]
        [0.0, 0.0, 0.25, 0.5, 0.5]
    """

    def _left(self, done: Any) -> Any:
        return 1.0 - done


@keras.saving.register_keras_serializable("keras_reg")
class Polynomial(Ramp):
    """From one value to another, fast at first and slower towards the end, then constant.

    value:  final + (initial - final) * (1 - clip((step - delay) / steps, 0, 1))**power

    The usual ramp of a sparsity (`keras_reg.regularizers.TopK`): many weights go while there are
    many that are not needed, few while few are left. Both ends are exact: `initial` up to step
    `delay`, `final` from step `delay + steps` on.

    Args:
        initial: float. Value at the start.
        final: float. Value at the end.
        steps: int >= 1. Training steps (batches) from one to the other.
        power: float > 0. 1 is a straight line; the larger, the faster the start.
        delay: int >= 0. Training steps before it begins to move.
    Shapes: step: (), any integer or float dtype. value: (), float32.
    Raises: ValueError if an argument is out of range or not a finite number.
    Reference: Zhu & Gupta, "To prune, or not to prune", 2017.

    Example:
        >>> ramp = Polynomial(0.0, 1.0, steps=100, delay=10)
        >>> [float(ramp(step)) for step in (0, 10, 60, 110, 500)]
        [0.0, 0.0, 0.875, 1.0, 1.0]
    """

    def __init__(self, initial: float, final: float, steps: int, power: float = 3, delay: int = 0):
        super().__init__(initial, final, steps, delay)
        self.power = check_number(power, "power")
        if self.power <= 0:
            raise ValueError(f"Expected `power` to be above 0. Received: power={power!r}")

    def _left(self, done: Any) -> Any:
        return ops.power(1.0 - done, float(self.power))

    def get_config(self) -> dict:
        return {**super().get_config(), "power": self.power}


@keras.saving.register_keras_serializable("keras_reg")
class Cosine(Ramp):
    """Half a cosine wave from one value to another, slow at both ends, then constant.

    value:  final + (initial - final) * (1 + cos(pi * clip((step - delay) / steps, 0, 1))) / 2

    Both ends are exact: `initial` up to step `delay`, `final` from step `delay + steps` on.

    Args:
        initial: float. Value at the start.
        final: float. Value at the end.
        steps: int >= 1. Training steps (batches) from one to the other.
        delay: int >= 0. Training steps before it begins to move.
    Shapes: step: (), any integer or float dtype. value: (), float32.
    Raises: ValueError if an argument is out of range or not a finite number.
    Reference: Loshchilov & Hutter, "SGDR", ICLR 2017.

    Example:
        >>> ramp = Cosine(0.0, 0.5, steps=100, delay=10)
        >>> [round(float(ramp(step)), 3) for step in (0, 10, 60, 110, 500)]
        [0.0, 0.0, 0.25, 0.5, 0.5]
    """

    def _left(self, done: Any) -> Any:
        left = (1.0 + ops.cos(math.pi * done)) / 2
        return ops.where(done >= 1.0, 0.0, left)


@keras.saving.register_keras_serializable("keras_reg")
class Exponential(Ramp):
    """From one value to another by the same factor each step, then constant.

    value:  initial * (final / initial) ** clip((step - delay) / steps, 0, 1)

    For strengths, whose sensible values span orders of magnitude. Both ends are exact: `initial` up
    to step `delay`, `final` from step `delay + steps` on.

    Args:
        initial: float > 0. Value at the start.
        final: float > 0. Value at the end.
        steps: int >= 1. Training steps (batches) from one to the other.
        delay: int >= 0. Training steps before it begins to move.
    Shapes: step: (), any integer or float dtype. value: (), float32.
    Raises: ValueError if an argument is out of range or not a finite number.

    Example:
        >>> ramp = Exponential(1.0, 0.01, steps=100, delay=10)
        >>> [round(float(ramp(step)), 3) for step in (0, 10, 60, 110, 500)]
        [1.0, 1.0, 0.1, 0.01, 0.01]
    """

    def __init__(self, initial: float, final: float, steps: int, delay: int = 0):
        super().__init__(initial, final, steps, delay)
        for name in ("initial", "final"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"Expected `{name}` to be above 0. Received: {name}={getattr(self, name)!r}"
                )

    def _between(self, done: Any) -> Any:
        between = self.initial * ops.exp(done * math.log(self.final / self.initial))
        return ops.where(done >= 1.0, self.final, between)
