"""Schedules: a step in, a value out, inside the compiled training step.

One schedule serves as a rate, a strength or a learning rate, and so do those of
`keras.optimizers.schedules`.
"""

import math
import numbers
from typing import Any, TypeAlias

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

Value: TypeAlias = float | LearningRateSchedule


class _Ramp(LearningRateSchedule):
    """A way from one value to another, then constant. A subclass says how it goes."""

    def __init__(self, initial: float, final: float, steps: int, delay: int):
        super().__init__()
        self.initial = check_number(initial, "initial")
        self.final = check_number(final, "final")
        self.steps = check_count(steps, "steps", at_least=1)
        self.delay = check_count(delay, "delay", at_least=0)

    def __call__(self, step: Any) -> Any:
        elapsed = ops.cast(step, "float32") - self.delay
        left = self._left(ops.clip(elapsed / self.steps, 0.0, 1.0))
        return left * self.initial + (1.0 - left) * self.final

    def get_config(self) -> dict:
        return {
            "initial": self.initial,
            "final": self.final,
            "steps": self.steps,
            "delay": self.delay,
        }

    def _left(self, done: Any) -> Any:
        """The share of `initial` at a fraction of the way: exactly 1 at 0 and 0 at 1."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("keras_reg")
class Linear(_Ramp):
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

    def __init__(self, initial: float, final: float, steps: int, delay: int = 0):
        super().__init__(initial, final, steps, delay)

    def _left(self, done: Any) -> Any:
        return 1.0 - done


@keras.saving.register_keras_serializable("keras_reg")
class Polynomial(_Ramp):
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


def check_number(
    value: Any, name: str, at_least: float = -math.inf, at_most: float = math.inf
) -> float:
    """Returns a finite number in a range as a plain Python number.

    Raises: ValueError that names the argument if it is anything else.

    Example:
        >>> check_number(0.5, "rate", at_least=0, at_most=1)
        0.5
    """
    plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    is_number = isinstance(plain, numbers.Real) and not isinstance(plain, bool)
    if not is_number or not math.isfinite(plain) or not at_least <= plain <= at_most:
        bounds = [f"at least {at_least}"] * (at_least > -math.inf)
        bounds += [f"at most {at_most}"] * (at_most < math.inf)
        wanted = " and ".join(["a finite number", *bounds])
        raise ValueError(f"Expected `{name}` to be {wanted}. Received: {name}={value!r}")
    return plain


def check_count(value: Any, name: str, at_least: int) -> int:
    """Returns a whole number as an int.

    Raises: ValueError that names the argument if it is anything else.

    Example:
        >>> check_count(3.0, "steps", at_least=1)
        3
    """
    count = check_number(value, name, at_least=at_least)
    if int(count) != count:
        raise ValueError(f"Expected `{name}` to be a whole number. Received: {name}={value!r}")
    return int(count)


def check_value(
    value: Any, name: str, at_least: float = -math.inf, at_most: float = math.inf
) -> Value:
    """Returns a number in a range, or a schedule.

    Raises: ValueError that names the argument if it is anything else.

    Example:
        >>> check_value(0.5, "rate", at_least=0, at_most=1)
        0.5
    """
    if isinstance(value, LearningRateSchedule):
        return value
    if isinstance(value, dict):
        return check_value(keras.saving.deserialize_keras_object(value), name)
    try:
        return check_number(value, name, at_least, at_most)
    except ValueError as error:
        raise ValueError(f"{error}. A schedule (`keras_reg.schedules`) is accepted too.") from None


def evaluate(value: Value, step: Any) -> Any:
    """The value at a step, as a float32 scalar tensor.

    Example:
        >>> float(evaluate(Linear(0.0, 1.0, steps=4), 1)), float(evaluate(0.5, 1))
        (0.25, 0.5)
    """
    return ops.cast(value(step) if callable(value) else value, "float32")


def serialize(value: Value) -> Any:
    """A number as it is, a schedule as its config.

    Example:
        >>> serialize(0.5)
        0.5
    """
    is_schedule = isinstance(value, LearningRateSchedule)
    return keras.saving.serialize_keras_object(value) if is_schedule else value
