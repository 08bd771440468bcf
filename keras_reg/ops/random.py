"""Random bits for dropout: a hash of (seed, step, element), the same on every backend."""

from typing import Any

from keras import ops

# Multipliers of the "lowbias32" integer hash, found by search for the least bias
# (C. Wellons, "Prospecting for hash functions", 2018), as signed 32-bit numbers.
_MULTIPLIER_1 = 0x7FEB352D
_MULTIPLIER_2 = 0x846CA68B - 2**32
# The odd number nearest 2**32 divided by the golden ratio: it sends neighbours far apart.
_GOLDEN = 0x9E3779B9 - 2**32


def _xor_shift(x: Any, bits: int) -> Any:
    # Signed integers are all that PyTorch multiplies, so the sign bits shifted in are masked off.
    return ops.bitwise_xor(x, ops.bitwise_and(ops.right_shift(x, bits), (1 << (32 - bits)) - 1))


def hash32(x: Any, key: Any) -> Any:
    """Mixes 32-bit integers with a key so that every input bit reaches every output bit.

    Args:
        x: int32 tensor.
        key: int32 tensor that broadcasts against `x`. It enters between the two rounds, so that two
            keys give unrelated streams, not one stream shifted.
    Shapes: result: as `x`, int32.

    Example:
        >>> import keras
        >>> first, second = hash32(keras.ops.array([0, 1], "int32"), keras.ops.array(7, "int32"))
        >>> int(first) == int(second)
        False
    """
    x = _xor_shift(x, 16) * _MULTIPLIER_1
    x = _xor_shift(x, 15) + key
    x = _xor_shift(x, 15) * _MULTIPLIER_2
    return _xor_shift(x, 16)


def element_index(shape: tuple) -> Any:
    """The position of each element of an array, counted row by row, modulo 2**32.

    Args:
        shape: tuple of ints or scalar integer tensors.
    Shapes: result: `shape`, int32.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(element_index((2, 3))).tolist()
        [[0, 1, 2], [3, 4, 5]]
    """
    rank = len(shape)
    index = ops.zeros([1] * rank, dtype="int32")
    for axis, length in enumerate(shape):
        along = [-1 if other == axis else 1 for other in range(rank)]
        positions = ops.reshape(ops.arange(length, dtype="int32"), along)
        index = index * ops.cast(length, "int32") + positions
    return index


def uniform(shape: tuple, seed: Any, step: Any) -> Any:
    """Uniform numbers in [0, 1), multiples of 2**-24: a function of seed, step and position.

    Args:
        shape: tuple of ints or scalar integer tensors.
        seed: int32 scalar.
        step: int32 scalar.
    Shapes: result: `shape`, float32. The same on every backend and device.

    Example:
        >>> import keras
        >>> seed, step = keras.ops.array(1, "int32"), keras.ops.array(0, "int32")
        >>> draw = uniform((1000,), seed, step)
        >>> bool(keras.ops.all(draw >= 0)) and bool(keras.ops.all(draw < 1))
        True
    """
    step_key = hash32(step * _GOLDEN, seed)
    element_key = hash32(seed, step_key)
    bits = hash32(ops.bitwise_xor(element_index(shape) * _GOLDEN, step_key), element_key)
    upper = ops.bitwise_and(ops.right_shift(bits, 8), (1 << 24) - 1)
    return ops.cast(upper, "float32") * 2.0**-24


def replica_seed(seed: Any, replica: Any) -> Any:
    """A seed of its own for each replica of a distributed layer; that of replica 0 is `seed`.

    Args:
        seed: int32 scalar.
        replica: int or int32 scalar.
    Shapes: result: (), int32.

    Example:
        >>> import keras
        >>> int(replica_seed(keras.ops.array(7, "int32"), 0))
        7
    """
    return seed + replica * ops.array(_GOLDEN, dtype="int32")


def dropout(x: Any, rate: Any, seed: Any, step: Any, noise_shape: tuple | None = None) -> Any:
    """Zeroes elements with probability `rate` and multiplies the others by 1 / (1 - rate).

    Args:
        x: float tensor.
        rate: float32 scalar from 0 to 1. 0 returns `x`, 1 returns zeros, both exactly.
        seed: int32 scalar.
        step: int32 scalar; each one gives an unrelated mask.
        noise_shape: shape of the mask, which broadcasts against `x`. None: that of `x`.
    Shapes: result: as `x`, same dtype.
    Reference: Srivastava et al., JMLR 2014.

    Example:
        >>> import keras
        >>> seed, step = keras.ops.array(1, "int32"), keras.ops.array(0, "int32")
        >>> y = dropout(keras.ops.ones((4, 4)), keras.ops.array(0.5), seed, step)
        >>> sorted(set(keras.ops.convert_to_numpy(y).ravel().tolist()))
        [0.0, 2.0]
    """
    draw = uniform(ops.shape(x) if noise_shape is None else noise_shape, seed, step)
    kept = 1.0 - rate
    scale = ops.where(kept > 0.0, 1.0 / ops.where(kept > 0.0, kept, 1.0), 0.0)
    return ops.where(draw >= rate, x * ops.cast(scale, x.dtype), ops.zeros((), dtype=x.dtype))
