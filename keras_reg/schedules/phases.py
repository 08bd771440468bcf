"""Schedules of the phases of a training: at its start, at its end, again and again."""

import math
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_reg.schedules.ramps import Ramp
from keras_reg.schedules.value import check_count, check_number


class _Phase(LearningRateSchedule):
    """One value and a number of steps."""

    def __init__(self, value: float, steps: int, delay: int = 0):
        super().__init__()
        self.value = check_number(value, "value")
        self.steps = check_count(steps, "steps", at_least=1)
        self.delay = check_count(delay, "delay", at_least=0)

    @property
    def ends(self) -> tuple[float, float]:
        """The values between which all others lie."""
        return 0.0, self.value

    def get_config(self) -> dict:
        return {"value": self.value, "steps": self.steps, "delay": self.delay}

    def _elapsed(self, step: Any) -> Any:
        return ops.cast(step, "float32") - self.delay


@keras.saving.register_keras_serializable("keras_reg")
class Curriculum(_Phase):
    """From 0 towards a value, fast at first: dropout that becomes harder as the network learns.

    value:  value * (1 - exp(-gamma * max(step - delay, 0) / steps))

    Give `steps` the length of the training; at its end 1 - exp(-10) of the value is reached.

    Args:
        value: float. Value at the end.
        steps: int >= 1. Training steps (batches) of the whole training.
        gamma: float > 0. How often the distance to `value` shrinks by the factor e in `steps`.
        delay: int >= 0. Training steps before it begins to move.
    Shapes: step: (), any integer or float dtype. value: (), float32.
    Raises: ValueError if an argument is out of range or not a finite number.
    Reference: Morerio et al., "Curriculum Dropout", ICCV 2017.

    Example:
        >>> rate = Curriculum(0.5, steps=1000)
        >>> [round(float(rate(step)), 3) for step in (0, 100, 1000)]
        [0.0, 0.316, 0.5]
    """

    def __init__(self, value: float, steps: int, gamma: float = 10.0, delay: int = 0):
        super().__init__(value, steps, delay)
        self.gamma = check_number(gamma, "gamma")
        if self.gamma <= 0:
            raise ValueError(f"Expected `gamma` to be above 0. Received: gamma={gamma!r}")

    def __call__(self, step: Any) -> Any:
        elapsed = ops.maximum(self._elapsed(step), 0.0)
        return -self.value * ops.expm1(-self.gamma / self.steps * elapsed)

    def get_config(self) -> dict:
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable("keras_reg")
class Early(_Phase):
    """A value at the start of the training and 0 after it.

    value:  value * (1 - clip((step - delay) / steps, 0, 1)), or constant until `delay + steps`

    Early dropout helps models that underfit: it aligns the gradients of the first batches, and then
    stands aside.

    Args:
        value: float. Value at the start.
        steps: int >= 1. Training steps (batches) until it is 0.
        constant: bool. False falls in a straight line, as the paper does; True stays at `value`.
        delay: int >= 0. Training steps that come before these.
    Shapes: step: (), any integer or float dtype. value: (), float32.
    Raises: ValueError if an argument is out of range or not a finite number.
    Reference: Liu et al., "Dropout Reduces Underfitting", ICML 2023.

    Example:
        >>> rate = Early(0.5, steps=100)
        >>> [float(rate(step)) for step in (0, 50, 100, 500)]
        [0.5, 0.25, 0.0, 0.0]
    """

    def __init__(self, value: float, steps: int, constant: bool = False, delay: int = 0):
        super().__init__(value, steps, delay)
        self.constant = bool(constant)

    def __call__(self, step: Any) -> Any:
        left = 1.0 - ops.clip(self._elapsed(step) / self.steps, 0.0, 1.0)
        return self.value * (ops.cast(left > 0.0, "float32") if self.constant else left)

    def get_config(self) -> dict:
        return {**super().get_config(), "constant": self.constant}


@keras.saving.register_keras_serializable("keras_reg")
class Late(_Phase):
    """0 at the start of the training and a value after it.

    value:  value if step >= delay + steps else 0

    Late dropout is for models that overfit: it leaves the first, fast part of the training alone.

    Args:
        value: float. Value from then on.
        steps: int >= 1. Training steps (batches) before that.
        delay: int >= 0. Training steps that come before these.
    Shapes: step: (), any integer or float dtype. value: (), float32.
    Raises: ValueError if an argument is out of range or not a finite number.
    Reference: Liu et al., "Dropout Reduces Underfitting", ICML 2023.

    Example:
        >>> rate = Late(0.5, steps=100)
        >>> [float(rate(step)) for step in (0, 99, 100, 500)]
        [0.0, 0.0, 0.5, 0.5]
    """

    def __call__(self, step: Any) -> Any:
        return self.value * ops.cast(self._elapsed(step) >= self.steps, "float32")


@keras.saving.register_keras_serializable("keras_reg")
class Cyclic(Ramp):
    """From one value to another and back, again and again, along a cosine.

    value:  initial + (final - initial) * (1 - cos(2 * pi * (step - delay) / steps)) / 2

    Args:
        initial: float. Value at the start, and after every cycle.
        final: float. Value in the middle of a cycle.
        steps: int >= 2. Training steps (batches) of a whole cycle.
        delay: int >= 0. Training steps before it begins to move.
    Shapes: step: (), any integer dtype. value: (), float32.
    Raises: ValueError if an argument is out of range or not a finite number.
    Reference: Smith, "Cyclical Learning Rates", WACV 2017.

    Example:
        >>> rate = Cyclic(0.0, 0.5, steps=100)
        >>> [round(float(rate(step)), 3) for step in (0, 25, 50, 100, 150)]
        [0.0, 0.25, 0.5, 0.0, 0.5]
    """

    def __init__(self, initial: float, final: float, steps: int, delay: int = 0):
        super().__init__(initial, final, check_count(steps, "steps", at_least=2), delay)

    def __call__(self, step: Any) -> Any:
        # In integers: float32 would lose count of the steps of a long training.
        elapsed = ops.maximum(ops.cast(step, "int32") - self.delay, 0)
        done = ops.cast(ops.mod(elapsed, self.steps), "float32") / self.steps
        return self._between(done)

    def _left(self, done: Any) -> Any:
        return (1.0 + ops.cos(2 * math.pi * done)) / 2
