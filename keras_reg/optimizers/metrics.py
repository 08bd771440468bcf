"""The diagonal metric in which an adaptive optimizer takes its steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_reg.keras_private import state_of
from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import read
from keras_reg.regularizers.l2_sp import L2SP
from keras_reg.regularizers.penalty import Penalty
from keras_reg.regularizers.radial import RadialPenalty
from keras_reg.regularizers.top_k import TopK
from keras_reg.structure import path_of

METRICS = ("euclidean", "adaptive")


class Diagonal(NamedTuple):
    """An optimizer's own metric: how far it moves each weight for a gradient of 1.

    Args:
        slots: () -> tensors, the optimizer's state for one variable.
        lengths: those tensors -> a tensor of the variable's shape, in learning rates.
    """

    slots: Callable[[], list[Any]]
    lengths: Callable[..., Any]


def check_metric(metric: Any) -> str:
    """Returns a valid `metric`.

    Raises: ValueError if it is not one of METRICS.

    Example:
        >>> check_metric("adaptive")
        'adaptive'
    """
    if metric not in METRICS:
        raise ValueError(f"Expected `metric` to be one of {METRICS}. Received: metric={metric!r}")
    return metric


def diagonal_of(optimizer: Any, penalty: Penalty, variable: Any) -> Diagonal:
    """The metric of a built optimizer for one variable.

    Raises: ValueError, which names the variable, if the optimizer has no diagonal metric or the
        penalty is neither a sum over single weights nor a `TopK`.
    """
    is_elementwise = isinstance(penalty, RadialPenalty) and penalty.group_axis is None
    # Which groups are the nearest is known in any metric.
    ranks_weights = isinstance(penalty, TopK) and penalty.score == "magnitude"
    if not is_elementwise and not ranks_weights and not isinstance(penalty, L2SP):
        raise ValueError(
            "Expected a penalty that is a sum over single weights, or a TopK whose score is the "
            'magnitude, for `metric="adaptive"`: that of '
            "a group has no proximal operator in closed form in a metric that differs within the "
            f"group. Received: {penalty} on {path_of(variable)}"
        )
    for kind, diagonal in _DIAGONALS.items():
        if isinstance(optimizer, kind):
            return diagonal(optimizer, variable)
    names = ", ".join(kind.__name__ for kind in _DIAGONALS)
    raise ValueError(
        f'Expected one of {names} for `metric="adaptive"`, which have a diagonal metric of their '
        f"own. Received: {optimizer.name} ({type(optimizer).__name__}) for {path_of(variable)}"
    )


def _adam(optimizer: Any, variable: Any) -> Diagonal:
    name = "velocity_hats" if optimizer.amsgrad else "velocities"
    return _bias_corrected(optimizer, state_of(optimizer, name, variable), inside=False)


def _nadam(optimizer: Any, variable: Any) -> Diagonal:
    return _bias_corrected(optimizer, state_of(optimizer, "velocities", variable), inside=True)


def _bias_corrected(optimizer: Any, velocity: Any, inside: bool) -> Diagonal:
    """Keras adds epsilon to the root of Nadam's corrected velocity and of Adam's uncorrected."""
    beta, epsilon = optimizer.beta_2, optimizer.epsilon

    def lengths(v: Any, iterations: Any) -> Any:
        # The first proximal step may come while no update was made yet; then it has length 0.
        count = ops.maximum(ops.cast(iterations, v.dtype), 1.0)
        correction = ops.sqrt(1.0 - ops.power(ops.cast(beta, v.dtype), count))
        shift = epsilon if inside else epsilon / correction
        return 1.0 / (ops.sqrt(v) / correction + shift)

    return Diagonal(lambda: [read(velocity), read(optimizer.iterations)], lengths)


def _adamax(optimizer: Any, variable: Any) -> Diagonal:
    norm, epsilon = state_of(optimizer, "u", variable), optimizer.epsilon
    return Diagonal(lambda: [read(norm)], lambda u: 1.0 / (u + epsilon))


def _adagrad(optimizer: Any, variable: Any) -> Diagonal:
    sums, epsilon = state_of(optimizer, "accumulators", variable), optimizer.epsilon
    return Diagonal(lambda: [read(sums)], lambda a: 1.0 / ops.sqrt(a + epsilon))


def _rmsprop(optimizer: Any, variable: Any) -> Diagonal:
    slots = [state_of(optimizer, "velocities", variable)]
    if optimizer.centered:
        slots.append(state_of(optimizer, "average_gradients", variable))
    epsilon = optimizer.epsilon

    def lengths(v: Any, mean: Any = 0.0) -> Any:
        return 1.0 / ops.sqrt(v - ops.square(mean) + epsilon)

    return Diagonal(lambda: [read(slot) for slot in slots], lengths)


# AdamW is an Adam. Its weight decay takes no part in the metric.
_DIAGONALS: dict[type, Callable[[Any, Any], Diagonal]] = {
    keras.optimizers.Adam: _adam,
    keras.optimizers.Nadam: _nadam,
    keras.optimizers.Adamax: _adamax,
    keras.optimizers.Adagrad: _adagrad,
    keras.optimizers.RMSprop: _rmsprop,
}
