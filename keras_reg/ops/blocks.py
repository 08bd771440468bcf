"""The largest numbers of small blocks."""

from itertools import combinations
from typing import Any

import keras
from keras import ops

# Up to so many, comparing every two by themselves makes a program of a reasonable size. On every
# device it is less work: 6 comparisons in a block of 4 where all at once are 16.
_FEW = 16

_WORDS = {"bfloat16": "int16", "float16": "int16", "float32": "int32", "float64": "int64"}


def largest_along(x: Any, count: int, axis: int) -> Any:
    """Marks the `count` largest numbers along an axis; of equal ones, the first.

    Compares every two of them, which for a few numbers is faster than a sort.

    Args:
        x: float tensor >= 0. A NaN counts as the largest.
        count: int.
        axis: int, from 0 to the rank.
    Shapes: result: as `x`, bool.

    Example:
        >>> x = keras.ops.array([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]])
        >>> keras.ops.convert_to_numpy(largest_along(x, 2, 1)).tolist()
        [[False, True, True], [True, True, False]]
    """
    # Their bits, read as integers, have the same order, and those of NaN are above the others.
    x = ops.view(x, _WORDS[keras.backend.standardize_dtype(x.dtype)])
    ahead = _compared_by_two(x, axis) if x.shape[axis] <= _FEW else _compared_at_once(x, axis)
    return ops.less(ahead, count)


def _compared_by_two(x: Any, axis: int) -> Any:
    """How many numbers come before each, from one comparison of every two."""
    numbers = ops.unstack(x, axis=axis)
    ahead: list[Any] = [0 for _ in numbers]
    for first, second in combinations(range(len(numbers)), 2):
        is_behind = ops.cast(ops.greater(numbers[second], numbers[first]), "int8")
        ahead[first] = ahead[first] + is_behind
        ahead[second] = ahead[second] + (1 - is_behind)
    return ops.stack(ahead, axis=axis)


def _compared_at_once(x: Any, axis: int) -> Any:
    place = ops.reshape(ops.arange(x.shape[axis]), (-1, *(1 for _ in x.shape[axis + 1 :])))
    this, other = ops.expand_dims(x, axis + 1), ops.expand_dims(x, axis)
    is_before = ops.less(ops.expand_dims(place, 0), ops.expand_dims(place, 1))
    tie = ops.logical_and(ops.equal(other, this), is_before)
    ahead = ops.logical_or(ops.greater(other, this), tie)
    return ops.sum(ops.cast(ahead, "int32"), axis=axis + 1)
