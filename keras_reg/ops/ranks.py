"""Which numbers are the largest: exactly as many as asked for, ties included."""

import itertools
import math
import numbers
from collections.abc import Sequence
from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import compiled
from keras_reg.ops.counting import count_true, exceeds, least_to_keep, reaches
from keras_reg.ops.norms import TINY


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
    counting those that reach a threshold (`keras_reg.ops.counting`), and ties are cut where the
    running count of them is full. So the time is linear in the number of elements, and the count
    may change from step to step without a retrace. It is so on every device, as a sort would join
    tensors that may lie on several.

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


def share_of(share: float, count: int) -> int:
    """A share of a number, rounded up.

    Example:
        >>> share_of(0.07, 100), share_of(0.071, 100)
        (7, 8)
    """
    # In a product such as 0.07 * 100 the last bit is not to count.
    return math.ceil(share * count - 1e-9 * count)


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
    matrices = [_as_matrix(x) for x in tensors]
    sizes = [math.prod(x.shape) for x in tensors]
    least, counted = least_to_keep(matrices, count, sum(sizes))
    ends = ops.cond(
        ops.greater(counted, count),
        lambda: _ends_of_ties(matrices, least, count),
        lambda: [ops.convert_to_tensor(size, "int32") for size in sizes],
    )
    marks = [
        ops.where(ops.less(_positions(x), end), reaches(x, least), exceeds(x, least))
        for x, end in zip(matrices, ends, strict=True)
    ]
    return [ops.reshape(one, x.shape) for one, x in zip(marks, tensors, strict=True)]


# Called outside of a program, a loop would be compiled anew each time.
_largest_of_all = compiled(_marks)


def _ends_of_ties(matrices: list[Any], least: Any, count: Any) -> list[Any]:
    """For each matrix the position behind the last number that equals the least and is kept."""
    left = count - count_true([exceeds(x, least) for x in matrices])
    ends = []
    for x in matrices:
        upto = ops.cumsum(ops.sum(ops.cast(_equals(x, least), "int32"), axis=1))
        upto = ops.cast(upto, "int32")
        kept = ops.minimum(left, upto[-1])
        row = ops.sum(ops.cast(ops.less(upto, kept), "int32"))
        before = ops.where(row > 0, ops.take(upto, ops.maximum(row - 1, 0)), 0)
        inside = ops.cumsum(ops.cast(_equals(ops.take(x, row, axis=0), least), "int32"))
        column = ops.sum(ops.cast(ops.less(inside, kept - before), "int32"))
        ends.append(ops.where(kept > 0, row * x.shape[1] + column + 1, 0))
        left = left - kept
    return ends


def _equals(x: Any, least: Any) -> Any:
    return ops.logical_and(reaches(x, least), ops.logical_not(exceeds(x, least)))


def _as_matrix(x: Any) -> Any:
    return ops.reshape(x, (-1, x.shape[-1] if len(x.shape) else 1))


def _positions(x: Any) -> Any:
    """The positions of a matrix's elements, row after row."""
    rows, columns = x.shape
    first = ops.arange(rows, dtype="int32") * columns
    return ops.expand_dims(first, 1) + ops.arange(columns, dtype="int32")


def _comparable(x: Any) -> Any:
    return ops.where(ops.isnan(x), float("inf"), x)
