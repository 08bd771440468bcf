"""What is known of a tensor: the values of its channels that never change, NaN for the others.

They are held in an array of the tensor's rank, with length 1 on every axis along which nothing that
is known differs.
"""

from typing import Any

import keras
import numpy as np

from keras_reg.structure.channels.labels import Array


def unknown(rank: int) -> Array:
    """Nothing is known.

    Example:
        >>> unknown(2)
        array([[nan]])
    """
    return np.full((1,) * rank, np.nan)


def along(known: Array, *axes: int) -> Array:
    """What is known along some axes whatever the index on the others is.

    Example:
        >>> along(np.array([[1.0, 2.0], [1.0, 3.0]]), 1)
        array([ 1., nan])
    """
    kept = [axis % known.ndim for axis in axes]
    others = tuple(axis for axis in range(known.ndim) if axis not in kept)
    first = known
    for axis in others:
        first = first.take([0], axis)
    same = np.all(known == first, axis=others, keepdims=True)
    found = np.where(same, first, np.nan)
    return np.transpose(found, [*kept, *others]).reshape([found.shape[axis] for axis in kept])


def placed(rank: int, axis: int, values: Array) -> Array:
    """An array of this rank with values along one axis.

    Example:
        >>> placed(3, -1, np.ones(4)).shape
        (1, 1, 4)
    """
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def full(known: Array, shape: Any) -> Array:
    """The same with the full length on every axis, 1 where it is not known."""
    return np.broadcast_to(known, [1 if length is None else length for length in shape])


def shortened(known: Array) -> Array:
    """The same with length 1 on axes along which nothing differs."""
    for axis in range(known.ndim):
        first = known.take([0], axis)
        if np.array_equal(np.broadcast_to(first, known.shape), known, equal_nan=True):
            known = first
    return known


def only_zeros(known: Array) -> Array:
    """Where something pads with zeros, only a constant of 0 stays one."""
    return np.where(known == 0, 0.0, np.nan)


def shared(first: Array, second: Array) -> Array:
    """What is the same both times."""
    return np.where(first == second, first, np.nan)


def applied(function: Any, dtype: str, *knowns: Array) -> Array:
    """The values of a function that acts entry by entry; NaN where an argument is not known.

    Example:
        >>> applied(keras.ops.relu, "float32", np.array([-1.0, np.nan, 2.0]))
        array([ 0., nan,  2.])
    """
    arrays = np.broadcast_arrays(*knowns)
    is_known = ~np.any(np.isnan(arrays), axis=0)
    found = np.full(is_known.shape, np.nan)
    count = int(is_known.sum())
    if count:
        # Of few lengths, since JAX compiles a program for each.
        tensors = [_padded(one[is_known], 1 << (count - 1).bit_length(), dtype) for one in arrays]
        values = keras.ops.convert_to_numpy(function(*tensors))
        found[is_known] = np.asarray(values, "float64")[:count]
    return found


def _padded(values: Array, length: int, dtype: str) -> Any:
    """A tensor of this length that begins with these values."""
    padded = np.resize(values, length)
    return keras.ops.convert_to_tensor(padded, dtype=dtype)


def product(first: Array, second: Array) -> Array:
    """The product, which is 0 where one factor is 0, whatever the other is."""
    return np.where((first == 0) | (second == 0), 0.0, first * second)
