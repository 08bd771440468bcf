"""Random bits for dropout: a hash of (seed, step, element), the same on every backend.

A seed and a step make two 32-bit words, one to one. An element's counter is multiplied, joined with
the first word, multiplied, joined with the second and multiplied again; the upper 24 bits are the
draw. It is the shortest hash that passed the tests in tests/test_random_statistics.py: those with
two multiplications failed the birthday spacings or the pairs of neighbours, and so did lowbias32
itself on counters that were not multiplied first. Adding the first word would be as good for one
mask, but would make the masks of two steps shifted copies of one sequence.
"""

import math
from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import block_size

# Multipliers of the "lowbias32" integer hash, found by search for the least bias
# (C. Wellons, "Prospecting for hash functions", 2018), as signed 32-bit numbers.
_MULTIPLIER_1 = 0x7FEB352D
_MULTIPLIER_2 = 0x846CA68B - 2**32
# The odd number nearest 2**32 divided by the golden ratio: it sends neighbours far apart.
_GOLDEN = 0x9E3779B9 - 2**32
# Rates are counted in 2**-24, all that a float32 below 1 resolves.
_UNITS = 2**24


def _shifted(x: Any, bits: int) -> Any:
    # Signed integers are all that PyTorch multiplies, so the sign bits shifted in are masked off.
    shifted = x >> bits if isinstance(x, int) else ops.right_shift(x, bits)
    shifted &= (1 << (32 - bits)) - 1
    return shifted


def _xor_shift(x: Any, bits: int) -> Any:
    return x ^ _shifted(x, bits)


def hash32(x: Any, key: Any) -> Any:
    """Mixes 32-bit integers with a key so that every input bit reaches every output bit.

    Args:
        x: int32 tensor, or an int with an int for a key.
        key: int32 tensor that broadcasts to x's shape. It enters between the rounds, so that two
            keys give unrelated streams, not one stream shifted.
    Shapes: result: as `x`, int32.

    Example:
        >>> first, second = hash32(ops.array([0, 1], "int32"), ops.array(7, "int32"))
        >>> int(first) == int(second)
        False
    """
    x = _xor_shift(x, 16) * _MULTIPLIER_1
    x = _xor_shift(x, 15) + key
    x = _xor_shift(x, 15) * _MULTIPLIER_2
    return _as_int32(_xor_shift(x, 16))


def strides(shape: tuple) -> list[tuple[Any, Any]]:
    """What one position along each axis adds to an element's counter, as (high word, low word).

    The low word counts row by row through as many of the last axes as it can hold, fewer than
    2**32 elements; the high word counts through the axes before them. So no two elements of an
    array share a counter, however large it is. An array below 2**32 has high words of zero.

    Args:
        shape: tuple of ints or scalar integer tensors, each below 2**31.

    Example:
        >>> strides((2, 3)), strides((2**20, 2**20))
        ([(0, 3), (0, 1)], [(1, 0), (0, 1)])
    """
    low: Any = 1
    high: Any = 0
    found = []
    for length in reversed(shape):
        if not isinstance(length, int):
            length = ops.cast(length, "int64")
        fits = (high == 0) & (low * length <= 2**32)
        first = _choose(high == 0, 1, high)
        found.append((_choose(fits, 0, first), _choose(fits, low, 0)))
        low = _choose(fits, low * length, low)
        high = _choose(fits, 0, first * length)
    return found[::-1]


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    # Lengths that are known when a graph is made are chosen then, at no cost in the graph.
    if isinstance(condition, bool):
        return yes if condition else no
    return ops.where(condition, ops.cast(yes, "int64"), ops.cast(no, "int64"))


def counters(shape: tuple) -> tuple[Any, Any]:
    """The counter of each element of an array as (high word, low word); see `strides`.

    Args:
        shape: tuple of ints or scalar integer tensors.
    Shapes: low word: `shape`, int32, modulo 2**32. high word: broadcasts against it, int32; None
        if the array is known to be smaller than 2**32.

    Example:
        >>> high, low = counters((2, 3))
        >>> high is None, ops.convert_to_numpy(low).tolist()
        (True, [[0, 1, 2], [3, 4, 5]])
    """
    rank = len(shape)
    words: list[Any] = [None, ops.zeros([1] * rank, dtype="int32")]
    for axis, (length, pair) in enumerate(zip(shape, strides(shape), strict=True)):
        along = [-1 if other == axis else 1 for other in range(rank)]
        position = ops.reshape(ops.arange(length, dtype="int32"), along)
        for word, stride in enumerate(pair):
            if not (isinstance(stride, int) and stride == 0):
                part = position * _as_int32(stride)
                words[word] = part if words[word] is None else words[word] + part
    return words[0], ops.broadcast_to(words[1], shape)


def _as_int32(value: Any) -> Any:
    # An int of 2**31 or more wraps round, as tensors do.
    return (value + 2**31) % 2**32 - 2**31 if isinstance(value, int) else ops.cast(value, "int32")


def element_bits(high: Any, low: Any, seed: Any, step: Any) -> Any:
    """Random integers from -2**23 to 2**23 - 1 for elements of given counters.

    Args:
        high: int32 tensor that broadcasts against `low`, or None for zero.
        low: int32 tensor.
        seed: int32 scalar or int.
        step: int32 scalar or int.
    Shapes: result: as `low`, int32. The same on every backend and device.

    Example:
        >>> counter, seed = ops.arange(3, dtype="int32"), ops.array(1, "int32")
        >>> ops.convert_to_numpy(element_bits(None, counter, seed, seed)).shape
        (3,)
    """
    first = hash32(step * _GOLDEN, seed)
    # Both steps are one to one, so no two pairs of a seed and a step share both words.
    second = hash32(first, seed)
    if high is not None:
        block = hash32(high, 0)  # 0 for 0, so that a small array needs no high word.
        first, second = first ^ block, second + block
    # In place on PyTorch, where that saves a third of the time; JAX and TensorFlow make new ones.
    x = low * _GOLDEN
    x ^= first
    x ^= _shifted(x, 15)
    x *= _MULTIPLIER_1
    x ^= _shifted(x, 15)
    x += second
    x *= _MULTIPLIER_2
    return ops.right_shift(x, 8)


def bits(shape: tuple, seed: Any, step: Any) -> Any:
    """`element_bits` of all elements of an array.

    Example:
        >>> seed = ops.array(1, "int32")
        >>> tuple(bits((2, 3), seed, seed).shape)
        (2, 3)
    """
    return element_bits(*counters(shape), seed, step)


def uniform(shape: tuple, seed: Any, step: Any) -> Any:
    """Uniform numbers in [0, 1), multiples of 2**-24: a function of seed, step and position.

    Args:
        shape: tuple of ints or scalar integer tensors.
        seed: int32 scalar.
        step: int32 scalar.
    Shapes: result: `shape`, float32. The same on every backend and device.

    Example:
        >>> seed, step = ops.array(1, "int32"), ops.array(0, "int32")
        >>> draw = uniform((1000,), seed, step)
        >>> bool(ops.all(draw >= 0)) and bool(ops.all(draw < 1))
        True
    """
    return ops.cast(bits(shape, seed, step) + _UNITS // 2, "float32") / _UNITS


def normal(shape: tuple, seed: Any, step: Any) -> Any:
    """Standard normal numbers by the inverse of their distribution function.

    They reach 5.4 standard deviations, and are equal on every backend within rounding.

    Args:
        shape: tuple of ints or scalar integer tensors.
        seed: int32 scalar.
        step: int32 scalar.
    Shapes: result: `shape`, float32.

    Example:
        >>> seed, step = ops.array(1, "int32"), ops.array(0, "int32")
        >>> round(float(ops.std(normal((10000,), seed, step))), 1)
        1.0
    """
    # An odd number below 2**24 is exact in float32, never 0 and never the ends.
    odd = 2 * bits(shape, seed, step) + 1
    return ops.erfinv(ops.cast(odd, "float32") / _UNITS) * 2.0**0.5


def threshold(rate: Any) -> Any:
    """The rate in whole units of 2**-24: how many of 2**24 draws are dropped.

    Args:
        rate: float32 scalar or float from 0 to 1.
    Shapes: result: as `rate`, int32; an int for a float.

    Example:
        >>> int(threshold(ops.array(0.5)))
        8388608
    """
    if isinstance(rate, float):
        return round(min(max(rate, 0.0), 1.0) * _UNITS)
    return ops.cast(ops.round(ops.clip(rate, 0.0, 1.0) * _UNITS), "int32")


def keep(shape: tuple, rate: Any, seed: Any, step: Any) -> Any:
    """Which elements are kept: True with probability 1 - rate, to within 2**-25.

    Args:
        shape: tuple of ints or scalar integer tensors.
        rate: float32 scalar or float from 0 to 1. At 0 all are kept, at 1 none.
        seed: int32 scalar or int.
        step: int32 scalar or int.
    Shapes: result: `shape`, bool.

    Example:
        >>> seed, step = ops.array(1, "int32"), ops.array(0, "int32")
        >>> bool(ops.all(keep((3, 4), ops.array(0.0), seed, step)))
        True
    """
    least = threshold(rate) - _UNITS // 2
    cuts = _blocks(shape)
    if not cuts:
        return bits(shape, seed, step) >= least
    counted = (ops.arange(start, stop, dtype="int32") for start, stop in cuts)
    parts = [element_bits(None, low, seed, step) >= least for low in counted]
    return ops.reshape(ops.concatenate(parts) if len(parts) > 1 else parts[0], shape)


def _blocks(shape: tuple) -> list[tuple[int, int]]:
    """Where to cut the elements of an array, counted in a row; empty where that is no better."""
    block = block_size()
    if block is None or not all(isinstance(length, int) for length in shape):
        return []
    size = math.prod(shape)
    if not 0 < size < 2**31:
        return []
    return [(start, min(start + block, size)) for start in range(0, size, block)]


def inverse_kept(rate: Any) -> Any:
    """1 / (1 - rate) of the rate in whole units, that of `keep`; 0 at rate 1.

    So the expectation of a kept element, times this, is the element.

    Args:
        rate: float32 scalar or float from 0 to 1.
    Shapes: result: (), float32.

    Example:
        >>> float(inverse_kept(ops.array(0.75))), float(inverse_kept(ops.array(1.0)))
        (4.0, 0.0)
    """
    kept = _UNITS - threshold(rate)
    if isinstance(kept, int):
        return ops.convert_to_tensor(_UNITS / kept if kept else 0.0, "float32")
    share = ops.cast(ops.maximum(kept, 1), "float32") / _UNITS
    return ops.where(kept > 0, 1.0 / share, 0.0)


def replica_seed(seed: Any, replica: Any) -> Any:
    """A seed of its own for each replica of a distributed layer; that of replica 0 is `seed`.

    Args:
        seed: int32 scalar.
        replica: int or int32 scalar.
    Shapes: result: (), int32.

    Example:
        >>> int(replica_seed(ops.array(7, "int32"), 0))
        7
    """
    return seed + _as_int32(replica * _GOLDEN)
