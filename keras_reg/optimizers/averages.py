"""Moving averages of weights (`use_ema`) that are zero where the weights are."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from keras import ops

from keras_reg.keras_private import average_of, variables_of
from keras_reg.ops.backend import read
from keras_reg.ops.updates import update


class _Before(NamedTuple):
    """What an update overwrites: the averages, and the iteration of each optimizer."""

    averages: list[Any]
    iterations: dict[int, Any]


class Averages:
    """Lets the averages that optimizers keep follow weights that are corrected after an update.

    Keras averages what its own update leaves. That mean is replaced here for the corrected weights,
    by the mean since the weight was last zero: it is zero exactly where the weight is.

    Args:
        optimizer: the built optimizer that keeps the averages, or a `MultiOptimizer`.
        corrected: pairs of a variable and the optimizer that updates it.
    """

    def __init__(self, optimizer: Any, corrected: Iterable[tuple[Any, Any]]):
        optimizers = getattr(optimizer, "optimizers", None) or [optimizer]
        self._any = any(optimizer.use_ema for optimizer in optimizers)
        self._frequencies = [
            (optimizer, optimizer.ema_overwrite_frequency)
            for optimizer in optimizers
            if optimizer.use_ema and optimizer.ema_overwrite_frequency
        ]
        self._corrected = [
            (variable, average_of(owner, variable), owner)
            for variable, owner in corrected
            if owner.use_ema
        ]

    def __bool__(self) -> bool:
        """Whether an optimizer keeps averages."""
        return self._any

    def before_update(self) -> _Before:
        """The averages as they are: the update is going to overwrite them."""
        averages = [ops.copy(read(average)) for _, average, _ in self._corrected]
        owners = [*(owner for _, _, owner in self._corrected), *(o for o, _ in self._frequencies)]
        iterations = {id(owner): ops.copy(read(owner.iterations)) for owner in owners}
        return _Before(averages, iterations)

    @contextlib.contextmanager
    def not_overwriting(self) -> Iterator[None]:
        """In it, optimizers do not put averages in the weights' place: that comes last."""
        for optimizer, _ in self._frequencies:
            optimizer.ema_overwrite_frequency = None
        try:
            yield
        finally:
            for optimizer, frequency in self._frequencies:
                optimizer.ema_overwrite_frequency = frequency

    def after_update(self, before: _Before) -> None:
        """Averages the corrected weights, and overwrites weights if that is due."""
        for (variable, average, owner), old in zip(self._corrected, before.averages, strict=True):
            is_first = ops.equal(before.iterations[id(owner)], 0)
            update(average, _averaged(owner.ema_momentum), old, read(variable), is_first)
        for optimizer, frequency in self._frequencies:
            count = before.iterations[id(optimizer)] + 1
            is_due = ops.equal(ops.mod(count, frequency), 0)
            for variable in variables_of(optimizer):
                average = average_of(optimizer, variable)
                if average is not None:
                    update(variable, _overwritten, read(average), is_due)


def _averaged(momentum: float) -> Any:
    def average(_: Any, old: Any, w: Any, is_first: Any) -> Any:
        mean = momentum * old + (1.0 - momentum) * w
        starts = ops.logical_or(is_first, ops.equal(old, 0.0))
        kept = ops.where(starts, w, mean)
        return ops.where(ops.equal(w, 0.0), ops.zeros_like(w), kept)

    return average


def _overwritten(w: Any, average: Any, is_due: Any) -> Any:
    return ops.where(is_due, average, w)
