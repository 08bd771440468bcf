"""The strengths of a path: a grid on a log scale below the strength that makes all zero."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reg import schedules
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network, State

# Strengths are tried this far from each other at first, and at last, in so many rounds.
_FAR, _NEAR, _ROUNDS, _AT_ONCE = 8.0, 2.01, 24, 12
# What makes any weight zero that can be.
_STRONGEST = 1e7


def check_strengths(strengths: Any, smallest: float) -> np.ndarray | int:
    """Strengths from weak to strong, or the number of those to find.

    Raises: ValueError if there is only one, one is not a number > 0, or two are equal.

    Example:
        >>> check_strengths([0.1, 0.01], 1e-3).tolist(), check_strengths(20, 1e-3)
        ([0.01, 0.1], 20)
    """
    schedules.check_number(smallest, "smallest", at_least=0, at_most=1)
    if smallest in (0, 1):
        raise ValueError(f"Expected 0 < `smallest` < 1. Received: smallest={smallest}")
    if isinstance(strengths, int | np.integer):
        if strengths < 2:
            raise ValueError(f"Expected two strengths or more. Received: strengths={strengths}")
        return int(strengths)
    try:
        given = np.asarray(list(strengths), "float64")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected an int or numbers as strengths. Received: strengths={strengths!r}"
        ) from error
    found = np.unique(given)
    if len(found) < 2 or len(found) < len(given) or not np.isfinite(found).all():
        raise ValueError(f"Expected two different strengths or more. Received: {strengths}")
    if found[0] <= 0:
        raise ValueError(f"Expected strengths > 0. Received: {strengths}")
    return found


def largest_strength(
    network: Network, trainer: Any, members: tuple[Member, ...], walk: Any
) -> float:
    """The strength that makes all penalized weights of the first member zero.

    For a model with one kernel, the penalty's `max_strength`, of the gradient where the kernel is
    zero and the rest is fitted. For others it is found by trials of `further_epochs` each, from a
    network that was trained without a penalty, or from its start where strengths do not go on from
    one another; as many at once as members are trained at once.

    Raises: ValueError if no strength does.
    """
    if network.reach() == 0:
        raise ValueError(
            "Expected penalties that make zeros where strengths are to be found. Received: "
            f"{network.proximal.penalties!r}. Give the strengths as numbers"
        )
    copies = (members[0],) * min(len(members), trainer.chunk, _AT_ONCE)
    if network.is_linear() and members[0].train is not None:
        found = _by_gradient(network, trainer, copies, walk)
        if found is not None:
            return found
    return _by_trials(network, trainer, copies, walk)


def _by_gradient(
    network: Network, trainer: Any, copies: tuple[Member, ...], walk: Any
) -> float | None:
    """`max_strength`, None where it is not defined, or where zero is stationary anyway."""
    penalty, kernel = network.proximal.resolve(network.model.trainable_variables)[0]
    place = [id(v) for v in network.model.trainable_variables].index(id(kernel))
    start = trainer.states(trainer.start(copies))[0]
    trainable = list(start.trainable)
    trainable[place] = np.zeros_like(trainable[place])
    held = trainer.restore([State(trainable, *start[1:])] * len(copies))
    strengths = [_STRONGEST * network.unit] * len(copies)
    fitted = trainer.train(held, copies, strengths, walk.epochs, 0)
    state = trainer.states(fitted)[0]
    if np.any(state.trainable[place]) or not all(np.isfinite(w).all() for w in state.trainable):
        return None
    gradient = _gradient(network, state, place, trainer.examples.take(copies[0].train))
    try:
        found = penalty.max_strength(gradient)
    except NotImplementedError:
        return None
    return found if np.isfinite(found) and found > 0 else None


def _gradient(network: Network, state: State, place: int, part: Any) -> Any:
    """The gradient of the loss: what an update of plain gradient descent takes off."""
    model = network.with_weights(network.weights(state))
    model.optimizer = keras.optimizers.SGD(1.0)
    model.train_on_batch(part.x, part.y, sample_weight=part.weights)
    return state.trainable[place] - ops.convert_to_numpy(model.trainable_variables[place])


def _by_trials(network: Network, trainer: Any, copies: tuple[Member, ...], walk: Any) -> float:
    """The smallest strength of those tried that makes all zero, within a factor of two."""
    at_once, reach = len(copies), network.reach()
    start = trainer.start(copies)
    if walk.warm:
        start = trainer.train(start, copies, [0.0] * at_once, walk.epochs, 0)

    def are_enough(strengths: list[float]) -> list[bool]:
        trained = trainer.train(start, copies, strengths, walk.further_epochs, 1)
        return [
            sum(int((w == 0).sum()) for w in network.values(state)) >= reach
            for state in trainer.states(trained)
        ]

    low, high = 0.0, np.inf
    tried = network.unit * _FAR ** np.arange(-(at_once // 2), at_once - at_once // 2, dtype=float)
    for _ in range(_ROUNDS):
        for strength, enough in zip(tried, are_enough(list(tried)), strict=True):
            low, high = (low, min(high, strength)) if enough else (max(low, strength), high)
        if high <= low * _NEAR or low >= high:
            return float(high)
        tried = _next(low, high, at_once)
    raise ValueError(
        "Expected a strength that makes all penalized weights zero. Received: none found in "
        f"{walk.further_epochs} epochs each, above {low:g}. Give the strengths as numbers, or more "
        "`further_epochs`"
    )


def _next(low: float, high: float, count: int) -> np.ndarray:
    """The strengths to try between two bounds, or beyond one.

    Example:
        >>> _next(1.0, np.inf, 2).tolist(), _next(0.0, 1.0, 1).tolist(), _next(1, 16, 1).tolist()
        ([8.0, 64.0], [0.125], [4.0])
    """
    steps = np.arange(1, count + 1)
    if high == np.inf:
        return low * _FAR**steps
    if low == 0.0:
        return high / _FAR**steps
    return np.geomspace(low, high, count + 2)[1:-1]
