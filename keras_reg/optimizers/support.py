"""An update that leaves weights that are zero at zero."""

from collections.abc import Set
from typing import Any

from keras import ops

from keras_reg.ops.backend import read
from keras_reg.ops.updates import choose_gradient, update


def update_on_support(optimizer: Any, grads: list[Any], variables: list[Any], fixed: Set) -> None:
    """Calls `optimizer.apply`; a zero has no gradient and is put back to zero after it.

    Nothing is stored: a weight that is zero before an update is zero after it. Its momentum,
    velocity and moving average stay zero if they are, and it takes no part in the norms that
    gradients are clipped to.

    Args:
        optimizer: the `keras.optimizers.Optimizer` that makes the update.
        grads: a gradient, or None, for each variable.
        variables: the variables.
        fixed: the keys, by `optimizer._var_key`, of the variables whose zeros stay.
    """
    key_of = optimizer._var_key
    kept = {
        key: ops.not_equal(read(variable), 0)
        for variable, gradient in zip(variables, grads, strict=True)
        if (key := key_of(variable)) in fixed and gradient is not None
    }
    chosen = [
        choose_gradient(gradient, kept[key]) if (key := key_of(variable)) in kept else gradient
        for variable, gradient in zip(variables, grads, strict=True)
    ]
    optimizer.apply(chosen, variables)
    for variable in variables:
        if key_of(variable) in kept:
            update(variable, _kept, kept[key_of(variable)])


def _kept(w: Any, kept: Any) -> Any:
    return ops.where(kept, w, ops.zeros_like(w))
