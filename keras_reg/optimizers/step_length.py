"""How long the proximal step is that follows an update."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras import ops

from keras_reg.ops.backend import read

_WITH_MOMENTUM = (keras.optimizers.SGD, keras.optimizers.RMSprop)


class MomentumTravel:
    """For each optimizer with momentum, how far its latest update moved a weight of gradient 1.

    Momentum carries on what earlier gradients began: the velocity of a weight whose gradient has
    been 1 all along is v <- momentum * v + learning_rate. The proximal step must be as long, in
    every update. With learning_rate / (1 - momentum), where v ends up at a steady rate, a rate that
    falls to zero would leave the velocity without its penalty, and the zeros would be lost.
    """

    def __init__(self):
        self._held: list[tuple[Any, Any]] = []

    def add(self, optimizers: Iterable[Any], make: Callable[[str, float], Any]) -> None:
        """Makes a variable, by `make(name, value)`, for each optimizer with momentum."""
        for optimizer in optimizers:
            if _momentum(optimizer) and self.of(optimizer) is None:
                number = f"_{len(self._held)}" if self._held else ""
                self._held.append((optimizer, make(f"momentum_travel{number}", 0.0)))

    def of(self, optimizer: Any) -> Any:
        """The variable of an optimizer, None if it has no momentum."""
        return next((travel for owner, travel in self._held if owner is optimizer), None)

    def by_name(self) -> dict[str, Any]:
        """The variables, by the names they are saved under."""
        return {travel.name: travel for _, travel in self._held}


def check_momentum(optimizer: Any) -> None:
    """Raises: ValueError if the momentum is 1: no proximal step would be long enough."""
    momentum = _momentum(optimizer)
    if momentum >= 1.0:
        raise ValueError(f"Expected a momentum below 1 in {optimizer.name}. Received: {momentum}")


def _momentum(optimizer: Any) -> float:
    return optimizer.momentum if isinstance(optimizer, _WITH_MOMENTUM) else 0.0


def steady_length(optimizer: Any) -> float:
    """How far an optimizer moves a weight of gradient 1 in an update, at a steady momentum.

    Example:
        >>> round(steady_length(keras.optimizers.SGD(0.1, momentum=0.5)), 6)
        0.2
    """
    rate = float(ops.convert_to_numpy(optimizer.learning_rate))
    return rate / (1.0 - _momentum(optimizer))


class StepLength:
    """The length of the proximal step of an update that is about to happen, and its iteration.

    Args:
        optimizer: the optimizer that makes the update.
        every: int >= 1. Updates for one proximal step.
        travel: the optimizer's variable of `MomentumTravel`, or None.
    """

    def __init__(self, optimizer: Any, every: int, travel: Any):
        # Copies: the update advances the iterations, and with them a scheduled rate.
        self._optimizer, self._every, self._travel = optimizer, every, travel
        self._rate = ops.copy(read(optimizer.learning_rate))
        self.iteration = ops.copy(read(optimizer.iterations))

    def after_update(self) -> Any:
        """The length, once the optimizer was called: 0 if no proximal step is due.

        It is not due if the optimizer only accumulated gradients. To be asked once.
        """
        accumulates = bool(self._optimizer.gradient_accumulation_steps)
        updates = read(self._optimizer.iterations)
        was_made = ops.greater(updates, self.iteration) if accumulates else None
        length = self._distance(was_made) * self._every
        if self._every > 1:
            length = ops.where(ops.equal(ops.mod(updates, self._every), 0), length, 0.0)
        return length if was_made is None else ops.where(was_made, length, 0.0)

    def _distance(self, was_made: Any) -> Any:
        """How far the update moved a weight whose gradient has been 1 all along."""
        if self._travel is None:
            return self._rate
        momentum, before = self._optimizer.momentum, read(self._travel)
        after = momentum * before + self._rate
        self._travel.assign(after if was_made is None else ops.where(was_made, after, before))
        is_ahead = getattr(self._optimizer, "nesterov", False)
        return momentum * after + self._rate if is_ahead else after
