"""The k-th largest of many numbers, by counting those that reach a threshold."""

import math
from collections.abc import Callable
from typing import Any

import keras

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import has_kth_largest, kth_largest, slices_of_a_sum

# Counts of up to this many slices fit into a byte.
_SLICES = 64
# How many numbers show where to look first, and of how many.
_SAMPLE, _MANY = 2**13, 2**16
# How many standard deviations of a sample's quantile the first two thresholds lie apart from it.
_DEVIATIONS = 2.5


def reaches(x: Any, least: Any) -> Any:
    """Where numbers are not below another one; a NaN never is.

    Args:
        x: float tensor.
        least: float scalar, no NaN.
    Shapes: result: as `x`, bool.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(reaches(keras.ops.array([1.0, 2.0, 3.0]), 2.0)).tolist()
        [False, True, True]
    """
    return ops.logical_not(ops.less(x, least))


def exceeds(x: Any, least: Any) -> Any:
    """Where numbers are above another one; a NaN is above all but infinity, which it equals.

    Args:
        x: float tensor.
        least: float scalar, no NaN.
    Shapes: result: as `x`, bool.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(exceeds(keras.ops.array([1.0, 2.0, 3.0]), 2.0)).tolist()
        [False, False, True]
    """
    return ops.logical_and(ops.less(least, math.inf), ops.logical_not(ops.less_equal(x, least)))


def least_to_keep(tensors: list[Any], wanted: Any, size: int) -> tuple[Any, Any]:
    """The largest number that at least `wanted` reach, or another that as many reach.

    The threshold lies between two others, of which one is reached by too many and one by too few.
    The next to try is where a straight line between the two counts would have it; or halfway, by
    the bits of a float, where the last one brought little, as among ties. On a CPU a sample shows
    where to begin, and of four million numbers some ten counts are enough. There are never many
    more than there are bits.

    Args:
        tensors: matrices of one float dtype. A NaN counts as infinite.
        wanted: int32 scalar, from 0 to `size`.
        size: int. How many numbers there are.
    Shapes: result: two scalars, the number and how many reach it, int32.

    Example:
        >>> import keras
        >>> x = keras.ops.array([[3.0, 1.0, 2.0, 2.0]])
        >>> [float(one) for one in least_to_keep([x], keras.ops.array(2, "int32"), 4)]
        [2.0, 3.0]
    """
    if has_kth_largest():
        numbers = [ops.where(ops.isnan(x), math.inf, x) for x in tensors]
        least = kth_largest(numbers, wanted)
        return least, count_true([reaches(x, least) for x in tensors])
    return _by_counts(tensors, wanted, size)


def count_true(marks: list[Any]) -> Any:
    """How many are true in several matrices.

    Args:
        marks: bool tensors of rank 2.
    Shapes: result: (), int32.

    Example:
        >>> import keras
        >>> int(count_true([keras.ops.array([[True, False], [True, True]])]))
        3
    """
    return sum((_count_in(one) for one in marks[1:]), _count_in(marks[0]))


def _count_in(marks: Any) -> Any:
    rows = marks.shape[0]
    folded = rows - rows % _SLICES if slices_of_a_sum() > 1 else 0
    rest = ops.sum(ops.cast(marks[folded:], "int32"))
    if not folded:
        return rest
    # On a CPU XLA counts in bytes several times as fast as in words.
    counts = ops.cast(marks[:folded], "int8")
    for _ in range(_SLICES.bit_length() - 1):
        half = counts.shape[0] // 2
        counts = counts[:half] + counts[half:]
    return rest + ops.sum(ops.cast(counts, "int32"))


def _by_counts(tensors: list[Any], wanted: Any, size: int) -> tuple[Any, Any]:
    dtype = keras.backend.standardize_dtype(tensors[0].dtype)

    def count_from(place: Any) -> Any:
        threshold = _number(place, dtype)
        return count_true([reaches(x, threshold) for x in tensors])

    def narrowed(place: Any, low: Any, counted: Any, high: Any, beyond: Any) -> tuple:
        # The upper bound counts more: at infinity there is no place between the two.
        place = ops.minimum(ops.maximum(place, low + 1), high - 1)
        there = count_from(place)
        is_enough = ops.greater_equal(there, wanted)
        return (
            ops.where(is_enough, place, low),
            ops.where(is_enough, there, counted),
            ops.where(is_enough, high, place),
            ops.where(is_enough, beyond, there),
        )

    def is_open(_, low: Any, counted: Any, high: Any, beyond: Any) -> Any:
        return ops.logical_and(ops.greater(counted, wanted), ops.greater(high - low, 1))

    def narrow(is_line: Any, *bracket: Any) -> tuple:
        place = ops.where(is_line, _on_line(wanted, dtype, *bracket), _halfway(*bracket))
        after = narrowed(place, *bracket)
        return (_is_much_closer(wanted, after, bracket), *after)

    bracket = _positive_or_not(count_from, wanted, size, dtype)
    for place in _first_places(tensors, wanted, size, dtype):
        bracket = narrowed(place, *bracket)
    start = (ops.convert_to_tensor(True), *bracket)
    _, low, counted, *_ = ops.while_loop(is_open, narrow, start)
    return _number(low, dtype), counted


def _positive_or_not(count_from: Callable, wanted: Any, size: int, dtype: str) -> tuple:
    """The places of the lowest and highest number of one sign, and how many reach each.

    So the distance between them is an integer that there is.
    """
    least, zero, most = (_place(ops.convert_to_tensor(x, dtype)) for x in (-math.inf, 0, math.inf))
    not_negative = count_from(zero)
    is_enough = ops.greater_equal(not_negative, wanted)
    return (
        ops.where(is_enough, zero, least),
        ops.where(is_enough, not_negative, size),
        ops.where(is_enough, most + 1, zero),
        ops.where(is_enough, 0, not_negative),
    )


def _first_places(tensors: list[Any], wanted: Any, size: int, dtype: str) -> list[Any]:
    """Two places between which the threshold is likely, where a sample shows them."""
    # Elsewhere a sample may have to be sent between devices.
    if slices_of_a_sum() == 1 or size < _MANY:
        return []
    every = size // _SAMPLE
    sample = ops.concatenate([ops.reshape(x, (-1,))[::every] for x in tensors])
    share, count = ops.cast(wanted, "float32") / size, sample.shape[0]
    margin = 1.0 + _DEVIATIONS * ops.sqrt(count * share * (1.0 - share))
    above = ops.stack([count * share + margin, count * share - margin])
    found = _quantiles(_place(sample), ops.cast(ops.clip(above, 1, count), "int32"))
    return [found[0], found[1]]


def _quantiles(places: Any, wanted: Any) -> Any:
    """For each number of `wanted` the highest place that as many of `places` reach."""

    def is_reached(least: Any) -> Any:
        reached = ops.expand_dims(places, 0) >= ops.expand_dims(least, 1)
        return ops.sum(ops.cast(reached, "int32"), axis=1) >= wanted

    def halve(step: Any, least: Any) -> tuple[Any, Any]:
        return ops.right_shift(step, 1), ops.where(is_reached(least + step), least + step, least)

    # By bisection: a sort by TensorFlow's XLA takes five times as long.
    last, zero = _last(places.dtype), ops.cast(ops.zeros_like(wanted), places.dtype)
    start = ops.where(is_reached(zero), zero, -last - 1)
    step = ops.convert_to_tensor(last // 2 + 1, places.dtype)
    return ops.while_loop(lambda step, _: ops.greater(step, 0), halve, (step, start))[1]


def _on_line(wanted: Any, dtype: str, low: Any, counted: Any, high: Any, beyond: Any) -> Any:
    share = (ops.cast(counted - wanted, dtype) + 0.5) / (ops.cast(counted - beyond, dtype) + 1.0)
    return low + ops.cast(ops.cast(high - low, dtype) * share, low.dtype)


def _halfway(low: Any, counted: Any, high: Any, beyond: Any) -> Any:
    return low + ops.right_shift(high - low, 1)


def _is_much_closer(wanted: Any, after: tuple, before: tuple) -> Any:
    """Whether half as many numbers are left, or half as many to the threshold of the two."""

    def left(low: Any, counted: Any, high: Any, beyond: Any) -> tuple[Any, Any]:
        return counted - beyond, ops.minimum(counted - wanted, wanted - beyond)

    pairs = zip(left(*after), left(*before), strict=True)
    return ops.logical_or(*(now <= ops.right_shift(then, 1) for now, then in pairs))


def _place(x: Any) -> Any:
    """Integers in the order of numbers, one apart for neighbours."""
    bits = ops.view(x, _word(x.dtype))
    return ops.where(ops.less(bits, 0), ops.bitwise_xor(bits, _last(x.dtype)), bits)


def _number(place: Any, dtype: str) -> Any:
    """The number at a place."""
    bits = ops.where(ops.less(place, 0), ops.bitwise_xor(place, _last(dtype)), place)
    return ops.view(bits, dtype)


def _word(dtype: Any) -> str:
    return "int64" if keras.backend.standardize_dtype(dtype) == "float64" else "int32"


def _last(dtype: Any) -> int:
    is_long = keras.backend.standardize_dtype(dtype).endswith("64")
    return 2**63 - 1 if is_long else 2**31 - 1
