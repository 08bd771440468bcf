"""Inverse roots by multiplications alone, which XLA fuses into whatever needs them."""

from typing import Any

from keras import ops

# float32: below it the bits do not encode the exponent, and no trained weight is that small.
_SMALLEST, _LARGEST = 2.0**-120, 2.0**128 - 2.0**104

# A third of an integer is 1/4 + 1/16 + ... of it, by shifts, as integers divide slowly.
_SHIFTS = {2: (1,), 3: (2, 4, 6, 8, 10, 12, 14)}


def inverse_root(x: Any, n: int) -> Any:
    """x**(-1/n) to a relative error of 4e-7; numbers below 2**-120 count as that.

    What takes a root, a power or a division XLA does not compute twice: it writes it to memory
    where two later steps need it. This takes a first guess, good to some percent, from the bits of
    the number, which are nearly its logarithm, and three steps of Newton's method.

    Args:
        x: float tensor of numbers >= 0, read as float32.
        n: 2 or 3.
    Shapes: result: as `x`, same dtype.
    Reference: Lomont, "Fast Inverse Square Root", 2003.

    Example:
        >>> import keras
        >>> y = inverse_root(keras.ops.array([1.0, 4.0]), 2)
        >>> keras.ops.convert_to_numpy(y).round(6).tolist()
        [1.0, 0.5]
    """
    dtype, x = x.dtype, ops.clip(ops.cast(x, "float32"), _SMALLEST, _LARGEST)
    # The logarithm to base 2 is near bits / 2**23 - 126.955.
    bits = ops.view(x, "int32")
    part = sum(ops.right_shift(bits, shift) for shift in _SHIFTS[n])
    y = ops.view(round((1 + 1 / n) * 126.955 * 2.0**23) - part, "float32")
    share = x * (1 / n)
    for _ in range(3):
        # From the left, as y * y may underflow.
        product = share * y * y if n == 2 else share * y * y * y
        y = y * ((1 + 1 / n) - product)
    return ops.cast(y, dtype)
