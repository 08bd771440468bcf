"""`keras.ops` for tensors, and the functions of the same names in NumPy for its arrays.

A formula written in these has its value compiled where it is computed again and again, and from
NumPy where it is wanted once: JAX compiles every operation anew for every shape.
"""

import functools
import numbers
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

# What NumPy calls otherwise, or does not have.
_NAMED_OTHERWISE: dict[str, Callable] = {
    "cast": lambda x, dtype: np.asarray(x, dtype),
    "cond": lambda holds, first, second: first() if holds else second(),
    "relu": lambda x: np.maximum(x, 0),
    "stop_gradient": lambda x: x,
    "svd": np.linalg.svd,
    "view": lambda x, dtype: x.view(dtype),
}
# What makes tensors of arrays.
_FROM_ARRAYS = ("array", "convert_to_tensor")


def __getattr__(name: str) -> Any:
    return _either(name)


@functools.cache
def _either(name: str) -> Any:
    of_tensors = getattr(keras.ops, name)
    of_arrays = _NAMED_OTHERWISE.get(name, getattr(np, name, None))
    if of_arrays is None or name in _FROM_ARRAYS:
        return of_tensors

    def either(*arguments: Any, **named: Any) -> Any:
        return (of_arrays if _hold_arrays(arguments) else of_tensors)(*arguments, **named)

    return either


def as_given(values: np.ndarray, like: Any) -> Any:
    """Constants of the kind and the dtype of a tensor or array.

    Example:
        >>> as_given(np.ones(2), like=np.ones(3, "float32")).dtype.name
        'float32'
    """
    if isinstance(like, np.ndarray):
        return values.astype(like.dtype)
    return keras.ops.convert_to_tensor(values, dtype=like.dtype)


def _hold_arrays(arguments: Iterable[Any]) -> bool:
    """Whether there are arrays of NumPy among some arguments, and no tensors."""
    kept = [argument for argument in _flat(arguments) if not _is_setting(argument)]
    return bool(kept) and all(isinstance(one, (np.ndarray, np.generic)) for one in kept)


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, (list, tuple)):
            yield from _flat(argument)
        else:
            yield argument


def _is_setting(argument: Any) -> bool:
    is_number = isinstance(argument, numbers.Number) and not isinstance(argument, np.generic)
    return (
        argument is None or is_number or isinstance(argument, (str, np.dtype)) or callable(argument)
    )
