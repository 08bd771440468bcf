"""Which numbers are the largest: exactly as many as asked for, ties included."""

from typing import Any

from keras import ops


def largest(x: Any, count: Any) -> Any:
    """Marks the `count` largest of all numbers; of equal ones, the first.

    One sort, whatever the count, which may change from step to step without a retrace.

    Args:
        x: float tensor of any rank. A NaN counts as the largest.
        count: int or int32 scalar, from 0 to the number of elements.
    Shapes: result: as `x`, bool.

    Example:
        >>> import keras
        >>> keras.ops.convert_to_numpy(largest(keras.ops.array([1.0, 3.0, 1.0, 0.5]), 2)).tolist()
        [True, True, False, False]
    """
    x = _comparable(x)
    flat = ops.reshape(x, (-1,))
    length = flat.shape[0]
    count = ops.cast(count, "int32")
    least = ops.take(ops.sort(flat), ops.clip(length - count, 0, length - 1))
    above, ties = ops.greater(flat, least), ops.equal(flat, least)
    room = count - ops.sum(ops.cast(above, "int32"))
    first_ties = ops.less_equal(ops.cumsum(ops.cast(ties, "int32")), room)
    return ops.reshape(ops.logical_or(above, ops.logical_and(ties, first_ties)), x.shape)


def largest_of_last_axis(x: Any, count: int) -> Any:
    """Marks the `count` largest numbers along the last axis; of equal ones, the first.

    Compares every two of them, which for a few numbers is faster than a sort.

    Args:
        x: float tensor. A NaN counts as the largest.
        count: int.
    Shapes: result: as `x`, bool.

    Example:
        >>> import keras
        >>> x = keras.ops.array([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]])
        >>> keras.ops.convert_to_numpy(largest_of_last_axis(x, 2)).tolist()
        [[False, True, True], [True, True, False]]
    """
    x = _comparable(x)
    position = ops.arange(x.shape[-1])
    this, other = ops.expand_dims(x, -1), ops.expand_dims(x, -2)
    is_before = ops.less(ops.expand_dims(position, -2), ops.expand_dims(position, -1))
    tie = ops.logical_and(ops.equal(other, this), is_before)
    ahead = ops.logical_or(ops.greater(other, this), tie)
    return ops.less(ops.sum(ops.cast(ahead, "int32"), axis=-1), count)


def _comparable(x: Any) -> Any:
    return ops.where(ops.isnan(x), float("inf"), x)
