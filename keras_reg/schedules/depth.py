"""Schedules that depend on how deep in the network a layer is."""

from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from keras_reg.schedules.value import (
    Checked,
    Value,
    check_count,
    check_number,
    check_value,
    serialize,
)


@keras.saving.register_keras_serializable("keras_reg")
class Scaled(LearningRateSchedule):
    """A schedule times a factor.

    Args:
        schedule: a schedule, or a function of the step.
        factor: float.
    Shapes: step: (). value: ().
    Raises: ValueError if an argument is not as above.

    Example:
        >>> from keras_reg.schedules import Linear
        >>> float(Scaled(Linear(0.0, 1.0, steps=4), 0.5)(2))
        0.25
    """

    def __init__(self, schedule: Any, factor: float):
        super().__init__()
        self.schedule: Any = check_value(schedule, "schedule")
        if not callable(self.schedule):
            raise ValueError(f"Expected `schedule` to be a schedule. Received: {schedule!r}")
        self.factor = check_number(factor, "factor")

    def __call__(self, step: Any) -> Any:
        return self.factor * self.schedule(step)

    @property
    def ends(self) -> tuple[float, ...]:
        """Those of the schedule times the factor, as far as they are known."""
        return tuple(self.factor * end for end in getattr(self.schedule, "ends", ()))

    def get_config(self) -> dict:
        return {"schedule": serialize(self.schedule), "factor": self.factor}


def by_depth(schedule: Value, index: int, depth: int) -> Checked:
    """The rate of one of several layers, growing with depth in equal steps up to the given one.

    value:  schedule * (index + 1) / depth

    Stochastic depth drops the early layers, which all others build on, less often than the late
    ones.

    Args:
        schedule: float, schedule or function of the step: the rate of the last layer.
        index: int. Number of the layer, from 0 to depth - 1.
        depth: int >= 1. Number of layers.
    Returns: a float for a float, else a schedule.
    Raises: ValueError if an argument is out of range.
    Reference: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.

    Example:
        >>> [by_depth(0.4, index, depth=4) for index in range(4)]
        [0.1, 0.2, 0.3, 0.4]
    """
    depth = check_count(depth, "depth", at_least=1)
    if check_count(index, "index", at_least=0) >= depth:
        raise ValueError(f"Expected `index` below depth={depth}. Received: index={index!r}")
    value = check_value(schedule, "schedule")
    if callable(value):
        return Scaled(value, (index + 1) / depth)
    return value * (index + 1) / depth
