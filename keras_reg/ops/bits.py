"""A support in bits: which entries are set, eight to a byte, and counts of them.

One pass over the weights makes the bytes, a 32nd of float32's size, and every count after it reads
those alone. Compilers reduce small integers slowly, one by one; these halve arrays with whole-array
operations instead.
"""

import math
from collections.abc import Callable
from typing import Any

from keras import ops

WIDTH = 8
# Arrays up to this size are reduced in one operation: more would only make programs long.
_SMALL = 1 << 14


def pack(flags: Any) -> Any:
    """Packs booleans along axis -2 into bytes; the first entry is the lowest bit.

    Args:
        flags: boolean tensor of rank 2 or more.
    Shapes: flags: (..., n, m). result: (..., ceil(n / 8), m), uint8; missing entries are 0.

    Example:
        >>> import keras
        >>> flags = keras.ops.array([[True], [False], [True]])
        >>> keras.ops.convert_to_numpy(pack(flags)).tolist()
        [[5]]
    """
    flags = _padded(flags, -2, WIDTH)
    *lead, length, last = flags.shape
    flags = ops.reshape(flags, (*lead, length // WIDTH, WIDTH, last))
    rows = [ops.cast(flags[..., bit, :], "uint8") for bit in range(WIDTH)]
    shifted = [ops.left_shift(row, byte(bit)) for bit, row in enumerate(rows)]
    return _combined(shifted, ops.bitwise_or)


def unpack(code: Any, length: int) -> Any:
    """The first `length` booleans along axis -2 that `pack` packed.

    Example:
        >>> import keras
        >>> flags = unpack(keras.ops.array([[5]], "uint8"), 3)
        >>> keras.ops.convert_to_numpy(flags).tolist()
        [[True], [False], [True]]
    """
    rows = [ops.bitwise_and(ops.right_shift(code, byte(bit)), byte(1)) for bit in range(WIDTH)]
    *lead, packed, last = code.shape
    flags = ops.reshape(ops.stack(rows, axis=-2), (*lead, packed * WIDTH, last))
    return ops.not_equal(flags[..., :length, :], 0)


def any_along(code: Any, axis: int) -> Any:
    """Bitwise or of bytes along an axis, which stays with length 1.

    Example:
        >>> import keras
        >>> code = keras.ops.array([[1, 4], [2, 4]], "uint8")
        >>> keras.ops.convert_to_numpy(any_along(code, -1)).tolist()
        [[5], [6]]
    """
    while code.shape[axis] > 1:
        code = _halved(code, axis, ops.bitwise_or)
    return code


def count(code: Any) -> Any:
    """Number of set bits, an int32 scalar.

    Example:
        >>> import keras
        >>> int(count(keras.ops.array([[5, 255]], "uint8")))
        10
    """
    return _total(_low(nibble_counts(code)) + _high(nibble_counts(code)))


def nibble_counts(code: Any) -> Any:
    """Set bits in each half of a byte, as two numbers in the halves of a byte.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(nibble_counts(keras.ops.array([0x7F], "uint8"))).tolist()
        [52]
    """
    pairs = code - ops.bitwise_and(ops.right_shift(code, byte(1)), byte(0x55))
    high = ops.bitwise_and(ops.right_shift(pairs, byte(2)), byte(0x33))
    return ops.bitwise_and(pairs, byte(0x33)) + high


def fuller_blocks(code: Any, n: int, m: int) -> Any:
    """How many blocks of m bits have more than n set, an int32 scalar.

    Args:
        code: bytes.
        n: int.
        m: int. 4 or 8.

    Example:
        >>> import keras
        >>> int(fuller_blocks(keras.ops.array([[0x17, 0x03]], "uint8"), 2, 4))
        1
    """
    halves = nibble_counts(code)
    low, high = _low(halves), _high(halves)
    if m == WIDTH:
        return _total(ops.cast(ops.greater(low + high, byte(n)), "uint8"))
    over = [ops.cast(ops.greater(half, byte(n)), "uint8") for half in (low, high)]
    return _total(over[0] + over[1])


def byte(value: int) -> Any:
    """A uint8 scalar.

    Example:
        >>> int(byte(3))
        3
    """
    return ops.cast(value, "uint8")


def _low(halves: Any) -> Any:
    return ops.bitwise_and(halves, byte(15))


def _high(halves: Any) -> Any:
    return ops.right_shift(halves, byte(4))


def _total(small: Any) -> Any:
    """Sum of bytes up to 8, an int32 scalar."""
    small = ops.reshape(small, (-1, small.shape[-1]))
    for _ in range(4):  # Sixteen times eight still fits into a byte.
        if math.prod(small.shape) > _SMALL:
            small = _halved(small, 0, ops.add)
    return ops.sum(ops.cast(small, "int32"))


def _halved(x: Any, axis: int, combine: Callable) -> Any:
    """An axis of length n, combined into one of length ceil(n / 2)."""
    axis %= len(x.shape)
    x = _padded(x, axis, 2)
    half = x.shape[axis] // 2
    before = (slice(None),) * axis
    return combine(x[(*before, slice(None, half))], x[(*before, slice(half, None))])


def _combined(parts: list[Any], combine: Callable) -> Any:
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        parts = [combine(*pair) for pair in pairs] + parts[len(parts) // 2 * 2 :]
    return parts[0]


def _padded(x: Any, axis: int, multiple: int) -> Any:
    axis %= len(x.shape)
    missing = -x.shape[axis] % multiple
    if not missing:
        return x
    return ops.pad(x, [(0, missing if at == axis else 0) for at in range(len(x.shape))])
