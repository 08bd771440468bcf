"""An update that leaves weights that are zero at zero."""

from collections.abc import Set
from typing import Any

from keras import ops

from keras_reg.keras_private import keys_of
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
        fixed: the keys, as `keys_of` gives them, of the variables whose zeros stay.
    """
    each = zip(keys_of(optimizer, variables), variables, grads, strict=True)
    kept = [
        ops.not_equal(read(variable), 0) if key in fixed and gradient is not None else None
        for key, variable, gradient in each
    ]
    chosen = [
        gradient if flags is None else choose_gradient(gradient, flags)
        for gradient, flags in zip(grads, kept, strict=True)
    ]
    optimizer.apply(chosen, variables)
    for variable, flags in zip(variables, kept, strict=True):
        if flags is not None:
            update(variable, _kept, flags)


def _kept(w: Any, kept: Any) -> Any:
    return ops.where(kept, w, ops.zeros_like(w))
