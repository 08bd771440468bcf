"""Sums of large arrays at the speed at which memory is read."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

# How many slices XLA takes together in one loop before it reduces what is left. Its reduction
# makes a pass for each operation that leads to it, a loop takes them all in; measured on CPUs.
_SLICES = {"jax": 16, "tensorflow": 8}


def folded(x: Any, combine: Callable = ops.add) -> Any:
    """Combines slices of `x` along the leading axes; `x` itself where that would not be faster.

    Args:
        x: float tensor of a known shape, itself made by cheap arithmetic of something else.
        combine: takes two tensors of one shape, in any order, to a third.
    Shapes: result: (rows, last axis), with fewer rows than `x` has. Dtype: as `x`.

    Example:
        >>> int(ops.sum(folded(ops.ones((6, 32, 5)))))
        960
    """
    rows = math.prod(x.shape[:-1])
    slices = math.gcd(rows, _SLICES.get(keras.backend.backend(), 1))
    if slices == 1 or 0 in x.shape:
        return x
    x = ops.reshape(x, (slices, rows // slices, x.shape[-1]))
    while slices > 1:
        slices //= 2
        x = combine(x[:slices], x[slices:])
    return x[0]


def total(x: Any) -> Any:
    """The sum of all elements of an array that cheap arithmetic made.

    Args:
        x: float tensor of a known shape.
    Shapes: result: (). Dtype: as `x`.

    Example:
        >>> float(total(ops.ones((6, 32, 5))))
        960.0
    """
    return ops.sum(folded(x))
