"""`keras.ops` as formulas want it: from NumPy where a value is wanted once, exact in float64.

JAX compiles every operation anew for every shape, so that a value that is computed once is ready
sooner from NumPy: inside of `in_numpy` the functions here are NumPy's of the same names.

Some functions of Keras give float32 for float64 tensors on PyTorch and JAX, and read Python's
numbers as float32 beside them, `cast` on TensorFlow too. Here they do not.
"""

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np

from keras_reg.ops.backend import narrows_doubles

_is_numpy: ContextVar[bool] = ContextVar("is_numpy", default=False)


@contextlib.contextmanager
def in_numpy() -> Iterator[None]:
    """A context in which the functions of this module take and give arrays of NumPy.

    What NumPy warns of, such as a division by zero, it computes as tensors do.

    Example:
        >>> from keras_reg.ops import arrays
        >>> with arrays.in_numpy():
        ...     arrays.rsqrt(np.array([4.0, 0.0])).tolist()
        [0.5, inf]
    """
    before = _is_numpy.set(True)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        _is_numpy.reset(before)


def __getattr__(name: str) -> Any:
    return _function(name)


@functools.cache
def _function(name: str) -> Callable:
    of_tensors = getattr(keras.ops, name)
    of_arrays = _IN_NUMPY.get(name) or getattr(np, name, None) or _by_tensors(of_tensors)
    of_doubles = _OF_DOUBLES.get(name, of_tensors) if narrows_doubles() else None

    @functools.wraps(of_tensors)
    def function(*arguments: Any, **named: Any) -> Any:
        if _is_numpy.get():
            return of_arrays(*map(_as_array, arguments), **named)
        if of_doubles is not None and any(map(_is_double, arguments)):
            return of_doubles(*map(_as_double, arguments), **named)
        return of_tensors(*arguments, **named)

    return function


def cast(x: Any, dtype: Any) -> Any:
    """`keras.ops.cast`, to which a number of Python is no float32.

    Example:
        >>> float(cast(0.5, "float32"))
        0.5
    """
    if _is_numpy.get():
        return np.asarray(_as_array(x)).astype(keras.backend.standardize_dtype(dtype))
    if isinstance(x, (int, float)):
        return keras.ops.convert_to_tensor(x, dtype)
    return keras.ops.cast(x, dtype)


def custom_gradient(function: Callable) -> Callable:
    """`keras.ops.custom_gradient`, whose gradient NumPy has no use for."""
    of_tensors = keras.ops.custom_gradient(function)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments)[0] if _is_numpy.get() else of_tensors(*arguments)

    return call


def as_given(values: np.ndarray, like: Any) -> Any:
    """Constants of the kind and the dtype of a tensor or array.

    Example:
        >>> as_given(np.ones(2), like=np.ones(3, "float32")).dtype.name
        'float32'
    """
    if isinstance(like, np.ndarray):
        return values.astype(like.dtype)
    return keras.ops.convert_to_tensor(values, dtype=like.dtype)


def _by_tensors(of_tensors: Callable) -> Callable:
    return lambda *arguments, **named: keras.ops.convert_to_numpy(of_tensors(*arguments, **named))


def _as_array(argument: Any) -> Any:
    # What a formula of a user computed in `keras.ops`.
    return keras.ops.convert_to_numpy(argument) if keras.ops.is_tensor(argument) else argument


def _is_double(argument: Any) -> bool:
    return str(getattr(argument, "dtype", "")).endswith("float64")


def _as_double(argument: Any) -> Any:
    is_number = type(argument) is float
    return keras.ops.convert_to_tensor(argument, "float64") if is_number else argument


def _one_hot(x: Any, count: int, dtype: str = "float32") -> np.ndarray:
    return np.eye(count, dtype=dtype)[x]


# What NumPy calls otherwise, or does not have.
_IN_NUMPY: dict[str, Callable] = {
    "cond": lambda holds, first, second: first() if holds else second(),
    "convert_to_tensor": np.asarray,
    "eigh": np.linalg.eigh,
    "one_hot": _one_hot,
    "relu": lambda x: np.maximum(x, 0),
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "stop_gradient": lambda x: x,
    "svd": np.linalg.svd,
    "view": lambda x, dtype: x.view(dtype),
}


def _maximum(x: Any, y: Any) -> Any:
    return keras.ops.where(keras.ops.logical_or(x > y, keras.ops.isnan(x)), x, y)


def _minimum(x: Any, y: Any) -> Any:
    return keras.ops.where(keras.ops.logical_or(x < y, keras.ops.isnan(x)), x, y)


def _cumsum(x: Any, axis: int | None = None) -> Any:
    return (keras.ops.reshape(x, (-1,)) if axis is None else x).cumsum(axis or 0)


# The functions that give float32, in operations that do not.
_OF_DOUBLES: dict[str, Callable] = {
    "cumsum": _cumsum,
    "matmul": operator.matmul,
    "maximum": _maximum,
    "minimum": _minimum,
}
