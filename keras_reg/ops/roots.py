"""Inverse roots by multiplications alone, which XLA fuses into whatever needs them."""

from typing import Any

import keras

from keras_reg.ops import arrays as ops

# float32: below it the bits do not encode the exponent, and no trained weight is that small.
_SMALLEST, _LARGEST = 2.0**-120, 2.0**128 - 2.0**104

# A third of an integer is 1/4 + 1/16 + ... of it, by shifts, as integers divide slowly.
_SHIFTS = {2: (1,), 3: (2, 4, 6, 8, 10, 12, 14)}


def inverse_root(x: Any, n: int) -> Any:
    """x**(-1/n) to a relative error of 4e-7, or 1e-12 in float64; below 2**-120 all count as that.

    What takes a root, a power or a division XLA does not compute twice: it writes it to memory
    where two later steps need it. This takes a first guess, good to some percent, from the bits of
    the number, which are nearly its logarithm, and three steps of Newton's method.

    Args:
        x: float tensor of numbers >= 0.
        n: 2 or 3.
    Shapes: result: as `x`, same dtype.
    Reference: Lomont, "Fast Inverse Square Root", 2003.

    Example:
        >>> import keras
        >>> y = inverse_root(keras.ops.array([1.0, 4.0]), 2)
        >>> keras.ops.convert_to_numpy(y).round(6).tolist()
        [1.0, 0.5]
    """
    wide = x
    x = ops.clip(ops.cast(x, "float32"), _SMALLEST, _LARGEST)
    # The logarithm to base 2 is near bits / 2**23 - 126.955.
    bits = ops.view(x, "int32")
    part = sum(ops.right_shift(bits, shift) for shift in _SHIFTS[n])
    y = ops.view(round((1 + 1 / n) * 126.955 * 2.0**23) - part, "float32")
    for _ in range(3):
        y = _newton(y, x, n)
    y = ops.cast(y, wide.dtype)
    if keras.backend.standardize_dtype(wide.dtype) == "float64":
        for _ in range(2):
            y = _newton(y, ops.clip(wide, _SMALLEST, _LARGEST), n)
    return y


def _newton(y: Any, x: Any, n: int) -> Any:
    # From the left, as y * y may underflow.
    share = x * (1 / n)
    product = share * y * y if n == 2 else share * y * y * y
    return y * ((1 + 1 / n) - product)
