"""Which numbers are the largest: exactly as many as asked for, ties included."""

import itertools
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import compiled, has_kth_largest, kth_largest, slices_of_a_sum
from keras_reg.ops.norms import TINY

# Counts of up to this many slices fit into a byte.
_SLICES = 64


def largest(x: Any, count: Any) -> Any:
    """Marks the `count` largest of all numbers; of equal ones, the first.

    Args:
        x: float tensor of any rank. A NaN counts as the largest.
        count: int or int32 scalar, from 0 to the number of elements.
    Shapes: result: as `x`, bool.
    Raises: ValueError if the count is no such number. That of a tensor is clipped.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(largest(keras.ops.array([1.0, 3.0, 1.0, 0.5]), 2)).tolist()
        [True, True, False, False]
    """
    return largest_of_all([x], count)[0]


def largest_of_all(tensors: Sequence[Any], count: Any) -> list[Any]:
    """Marks the `count` largest numbers of several tensors together; of equal ones, the first.

    Nothing is sorted, and the tensors are not joined: the smallest number to keep is found by
    bisection on the bits of a float, which counts the numbers above a threshold once for each bit,
    and ties are cut by bisection on the position. So the time is linear in the number of elements,
    and the count may change from step to step without a retrace. It is so on every device, as a
    sort would join tensors that may lie on several.

    Args:
        tensors: float tensors of any rank, of one dtype. A NaN counts as the largest.
        count: int or int32 scalar, from 0 to the number of elements.
    Shapes: result: a tensor of bool for each of `tensors`, of its shape.
    Raises: ValueError if there are 2**31 elements or more, or the count is no such number. That of
        a tensor is clipped.

    Example:
        >>> import keras
        >>> x, y = keras.ops.array([1.0, 3.0]), keras.ops.array([[2.0, 0.5]])
        >>> [keras.ops.convert_to_numpy(kept).tolist() for kept in largest_of_all([x, y], 2)]
        [[False, True], [[True, False]]]
    """
    size = sum(math.prod(x.shape) for x in tensors)
    if size >= 2**31:
        raise ValueError(f"Expected fewer than 2**31 elements to rank together. Received: {size}")
    is_number = isinstance(count, numbers.Real)
    if is_number and not (0 <= count <= size and float(count).is_integer()):
        raise ValueError(
            f"Expected `count` to be a whole number from 0 to {size}. Received: count={count}"
        )
    return _largest_of_all(list(tensors), ops.clip(ops.cast(count, "int32"), 0, size))


def ranks(tensors: Sequence[Any]) -> list[Any]:
    """The place of every number among those of several vectors, from the largest, which has 0.

    Of equal numbers the first comes first. It takes a sort.

    Args:
        tensors: float tensors of rank 1, of one dtype. A NaN counts as the largest.
    Shapes: result: for each of `tensors` one of its shape, int32.

    Example:
        >>> import keras
        >>> x, y = keras.ops.array([1.0, 3.0]), keras.ops.array([2.0])
        >>> [keras.ops.convert_to_numpy(rank).tolist() for rank in ranks([x, y])]
        [[2, 0], [1]]
    """
    joined = _comparable(ops.concatenate(list(tensors)))
    places = ops.argsort(ops.argsort(-joined))
    ends = list(itertools.accumulate(x.shape[0] for x in tensors))
    starts = [0, *ends[:-1]]
    pairs = zip(starts, ends, strict=True)
    return [ops.cast(places[start:end], "int32") for start, end in pairs]


def lamp_scores(x: Any) -> Any:
    """LAMP: the square of each number over the sum of all squares that are not smaller.

    Layer-adaptive magnitudes: the largest of a layer has a score of 1, whatever the layer's scale,
    so that what is ranked over several layers never begins with the whole of one. It takes a sort.

    Args:
        x: float tensor of any rank. What is not finite has an infinite score.
    Shapes: result: as `x`, same dtype.
    Reference: Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021.

    Example:
        >>> import keras
        >>> scores = lamp_scores(keras.ops.array([2.0, 1.0, 1.0]))
        >>> keras.ops.convert_to_numpy(scores).round(3).tolist()
        [1.0, 0.167, 0.167]
    """
    size = ops.abs(ops.reshape(x, (-1,)))
    is_finite = ops.isfinite(size)
    size = ops.where(is_finite, size, 0.0)
    # The scale makes no difference, but that small squares would all be zero.
    squares = ops.square(size / ops.maximum(ops.max(size), TINY))
    ordered = ops.sort(squares)
    sums = ops.flip(ops.cumsum(ops.flip(ordered)))
    first = ops.searchsorted(ordered, squares, side="left")
    scores = squares / ops.maximum(ops.take(sums, first), TINY)
    return ops.reshape(ops.where(is_finite, scores, math.inf), x.shape)


def _marks(tensors: list[Any], count: Any) -> list[Any]:
    matrices = [_as_matrix(_comparable(x)) for x in tensors]
    *starts, size = itertools.accumulate((math.prod(x.shape) for x in tensors), initial=0)
    least, counted = _least_to_keep(matrices, count, size)

    def kept(skipped: Any) -> list[Any]:
        """What exceeds the least, and what equals it, except in the last `skipped` positions."""
        marks = []
        for x, start in zip(matrices, starts, strict=True):
            is_early = ops.less(_positions(x, start), size - skipped)
            ties = ops.logical_and(ops.equal(x, least), is_early)
            marks.append(ops.logical_or(ops.greater(x, least), ties))
        return marks

    skipped = _bisect(lambda skipped: _count(kept(skipped)), 0, counted, count, 2**30)[0]
    return [ops.reshape(one, x.shape) for one, x in zip(kept(skipped), tensors, strict=True)]


# Called outside of a program, a loop would be compiled anew each time.
_largest_of_all = compiled(_marks)


def _least_to_keep(tensors: list[Any], count: Any, size: int) -> tuple[Any, Any]:
    """The `count`-th largest, or a number between it and the next, and how many are not below."""
    if has_kth_largest():
        least = kth_largest(tensors, count)
        return least, _count([ops.greater_equal(x, least) for x in tensors])
    dtype = keras.backend.standardize_dtype(tensors[0].dtype)
    word = "int64" if dtype == "float64" else "int32"
    last = 2**63 - 1 if word == "int64" else 2**31 - 1

    def number(bits: Any) -> Any:
        """Numbers in their own order from integers in theirs."""
        return ops.view(ops.where(ops.less(bits, 0), ops.bitwise_xor(bits, last), bits), dtype)

    def count_from(bits: Any) -> Any:
        threshold = number(bits)
        return _count([ops.greater_equal(x, threshold) for x in tensors])

    lowest = ops.bitwise_xor(ops.view(ops.convert_to_tensor(-math.inf, dtype), word), last)
    not_negative = count_from(ops.zeros((), word))
    is_enough = ops.greater_equal(not_negative, count)
    start = ops.where(is_enough, ops.zeros((), word), lowest)
    counted = ops.where(is_enough, not_negative, size)
    bits, counted = _bisect(count_from, start, counted, count, last // 2 + 1)
    return number(bits), counted


def _bisect(
    count_from: Callable, start: Any, counted: Any, wanted: Any, step: int
) -> tuple[Any, Any]:
    """The place from which exactly `wanted` are counted, or the last from which it is more.

    Args:
        count_from: place -> int32, which does not rise with the place.
        start: integer, a place from which at least `wanted` are counted.
        counted: int32, what is counted from `start`.
        wanted: int32.
        step: a power of two. The place is less than twice this away.
    Returns: the place, and what is counted from it.
    """
    start = ops.convert_to_tensor(start, getattr(start, "dtype", "int32"))

    def goes_on(step: Any, place: Any, counted: Any) -> Any:
        return ops.logical_and(ops.greater(step, 0), ops.greater(counted, wanted))

    def halve(step: Any, place: Any, counted: Any) -> tuple[Any, Any, Any]:
        there = count_from(place + step)
        is_enough = ops.greater_equal(there, wanted)
        place = ops.where(is_enough, place + step, place)
        return ops.right_shift(step, 1), place, ops.where(is_enough, there, counted)

    state = (ops.convert_to_tensor(step, start.dtype), start, counted)
    return ops.while_loop(goes_on, halve, state)[1:]


def _count(marks: list[Any]) -> Any:
    """How many are true in several tensors, an int32 scalar."""
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


def _as_matrix(x: Any) -> Any:
    return ops.reshape(x, (-1, x.shape[-1] if len(x.shape) else 1))


def _positions(x: Any, start: int) -> Any:
    """The positions of a matrix's elements, row after row."""
    rows, columns = x.shape
    first = ops.arange(rows, dtype="int32") * columns + start
    return ops.expand_dims(first, 1) + ops.arange(columns, dtype="int32")


def _comparable(x: Any) -> Any:
    return ops.where(ops.isnan(x), float("inf"), x)
