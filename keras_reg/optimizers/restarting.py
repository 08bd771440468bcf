"""A built optimizer as if it were new, while it goes on with the same variables."""

import numbers
from typing import Any

from keras.optimizers.schedules import LearningRateSchedule

from keras_reg import schedules
from keras_reg.keras_private import variables_of
from keras_reg.ops.backend import read


def restart(optimizer: Any) -> None:
    """Gives momentum, velocities, iterations and the like the values of a new optimizer.

    A learning rate that is a number stays as it is, and a schedule starts anew, as it goes by the
    iterations.

    Args:
        optimizer: a built `keras.optimizers.Optimizer`, no wrapper.
    """
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(variables_of(optimizer))
    for variable, value in zip(optimizer.variables, fresh.variables, strict=True):
        variable.assign(read(value))


def check_rate(rate: Any) -> Any:
    """Returns a learning rate: None, a number above 0 or a schedule.

    Raises: ValueError if it is none of them.

    Example:
        >>> check_rate(0.1)
        0.1
    """
    if rate is None or isinstance(rate, LearningRateSchedule):
        return rate
    rate = schedules.check_number(rate, "learning_rate", at_least=0)
    if not rate:
        raise ValueError(f"Expected `learning_rate` to be above 0. Received: learning_rate={rate}")
    return rate


def check_replaceable(optimizer: Any, rate: Any) -> None:
    """Raises: ValueError if `set_rate` would take a variable from the optimizer."""
    if isinstance(rate, LearningRateSchedule) and not _is_scheduled(optimizer):
        raise ValueError(
            f"Expected a number for `learning_rate`, as {optimizer.name} has a number for it: it "
            "is a variable of the optimizer, which a schedule would remove from what is saved. "
            "Give the optimizer a schedule too, such as "
            "keras.optimizers.schedules.PiecewiseConstantDecay([1], [1e-3, 1e-3]). "
            f"Received: learning_rate={schedules.shown(rate)}"
        )


def set_rate(optimizer: Any, rate: Any) -> None:
    """Sets the learning rate to a number or a schedule, also where it was a schedule.

    A schedule, or a number in the place of one, is not known to steps that were compiled before.
    """
    if _is_scheduled(optimizer) and not isinstance(rate, LearningRateSchedule):
        rate = schedules.Linear(rate, rate, steps=1)
    optimizer.learning_rate = rate


def _is_scheduled(optimizer: Any) -> bool:
    return not isinstance(optimizer.get_config()["learning_rate"], numbers.Real)
