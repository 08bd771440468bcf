"""What a rate or a strength may be: a number, a schedule or a function of the step."""

import math
import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

Value: TypeAlias = float | LearningRateSchedule | Callable[[Any], Any]
"""What a rate or a strength may be: a number or a schedule, or a function, which becomes one."""

# What it is once it was checked.
Checked: TypeAlias = float | LearningRateSchedule


@keras.saving.register_keras_serializable("keras_reg")
class Function(LearningRateSchedule):
    """A schedule from a function of the step.

    Wherever a schedule is accepted the function itself is too, and becomes one of these. It is
    saved by name: `keras.saving.register_keras_serializable` it, or loading asks for it in
    `custom_objects`.

    Args:
        function: takes an integer scalar tensor and returns a scalar, written in `keras.ops`.
    Shapes: step: (). value: ().
    Raises: ValueError if `function` is not callable.

    Example:
        >>> wave = Function(lambda step: 0.5 + 0.5 * ops.sin(ops.cast(step, "float32")))
        >>> float(wave(0))
        0.5
    """

    def __init__(self, function: Callable):
        super().__init__()
        if not callable(function):
            raise ValueError(f"Expected `function` to be callable. Received: {function!r}")
        self.function = function

    def __call__(self, step: Any) -> Any:
        return self.function(step)

    def get_config(self) -> dict:
        return {"function": keras.saving.serialize_keras_object(self.function)}

    @classmethod
    def from_config(cls, config: dict) -> "Function":
        return cls(keras.saving.deserialize_keras_object(config["function"]))


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
) -> Checked:
    """Returns a number in a range, or a schedule. A function from steps to values becomes one.

    The values of a schedule are clipped to the range by `evaluate`. One of this package that is
    known to fall below a strength's only bound is refused, since it would do nothing there.

    Raises: ValueError that names the argument if it is anything else.

    Example:
        >>> check_value(0.5, "rate", at_least=0, at_most=1)
        0.5
    """
    if isinstance(value, Function):
        _check_returned(value, name)
    if isinstance(value, LearningRateSchedule):
        lowest = min(getattr(value, "ends", ()), default=at_least)
        if lowest < at_least and at_most == math.inf:
            raise ValueError(
                f"Expected the schedule `{name}` to stay at least {at_least}. "
                f"Received: {name}={shown(value)}, which goes to {lowest}"
            )
        return value
    if callable(value) and not isinstance(value, type):
        return check_value(Function(value), name, at_least, at_most)
    if isinstance(value, dict):
        return check_value(keras.saving.deserialize_keras_object(value), name, at_least, at_most)
    try:
        return check_number(value, name, at_least, at_most)
    except ValueError as error:
        raise ValueError(f"{error}. A schedule (`keras_reg.schedules`) is accepted too.") from None


def _check_returned(function: Function, name: str) -> None:
    """Raises: ValueError if a function does not return a number for the first step."""
    wanted = f"Expected the function `{name}` to return a number for a step, an int32 scalar. "
    try:
        found = ops.convert_to_tensor(function(ops.zeros((), "int32")))
        dtype = keras.backend.standardize_dtype(found.dtype)
    except Exception as error:  # A user's.
        raise ValueError(f"{wanted}Received: for step 0 {type(error).__name__}: {error}") from error
    if tuple(found.shape) or not ("float" in dtype or "int" in dtype):
        raise ValueError(
            f"{wanted}Received: for step 0 a tensor of shape {tuple(found.shape)} and dtype {dtype}"
        )


def check_flag(value: Any, name: str) -> bool:
    """Returns a bool.

    Raises: ValueError that names the argument if it is anything else: a text, say, counts as true.

    Example:
        >>> check_flag(True, "size_scaling")
        True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"Expected `{name}` to be True or False. Received: {name}={value!r}")
    return bool(value)


def evaluate(
    value: Value, step: Any, at_least: float = -math.inf, at_most: float = math.inf
) -> Any:
    """The value at a step, clipped to a range, as a float32 scalar tensor.

    With a lower bound a NaN counts as that bound: a rate or a strength of 0 does no harm.

    Example:
        >>> float(evaluate(Function(ops.sqrt), 4.0)), float(evaluate(0.5, 1))
        (2.0, 0.5)
        >>> float(evaluate(Function(ops.negative), 4.0, at_least=0.0))
        0.0
    """
    found = ops.cast(value(step) if callable(value) else value, "float32")
    if at_least > -math.inf:
        # A comparison with NaN is false.
        found = ops.where(found >= at_least, found, at_least)
    return ops.minimum(found, at_most) if at_most < math.inf else found


def serialize(value: Value) -> Any:
    """A number as it is, a schedule as its config.

    Example:
        >>> serialize(0.5)
        0.5
    """
    is_schedule = isinstance(value, LearningRateSchedule)
    return keras.saving.serialize_keras_object(value) if is_schedule else value


def shown(value: Any) -> str:
    """A value as the call that makes it.

    Example:
        >>> shown(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))[:62]
        'ExponentialDecay(initial_learning_rate=0.1, decay_steps=10, de'
    """
    if isinstance(value, Function):
        return getattr(value.function, "__name__", repr(value.function))
    if not isinstance(value, LearningRateSchedule):
        return repr(value)
    arguments = ", ".join(f"{name}={part!r}" for name, part in value.get_config().items())
    return f"{type(value).__name__}({arguments})"
