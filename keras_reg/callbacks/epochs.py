"""An epoch that is given as a number or as a share of the training."""

import numbers
from typing import Any

import numpy as np

from keras_reg import schedules


def check_epoch(value: Any, name: str) -> float:
    """Returns an epoch, an int >= 1, or a share of the epochs, a float between 0 and 1.

    Raises: ValueError if it is neither.

    Example:
        >>> check_epoch(10, "at"), check_epoch(0.5, "at")
        (10, 0.5)
    """
    if isinstance(value, (numbers.Integral, np.integer)) and not isinstance(value, bool):
        return schedules.check_count(value, name, at_least=1)
    share = schedules.check_number(value, name)
    if not 0.0 < share < 1.0:
        raise ValueError(
            f"Expected `{name}` to be an epoch, an int >= 1, or a share of the epochs, a float "
            f"between 0 and 1. Received: {name}={value!r}"
        )
    return share


def epoch_of(value: float, epochs: int) -> int:
    """The epoch that `check_epoch` returned, for a training of so many epochs.

    Example:
        >>> epoch_of(10, 40), epoch_of(0.5, 40)
        (10, 20)
    """
    return value if isinstance(value, int) else max(1, round(value * epochs))
