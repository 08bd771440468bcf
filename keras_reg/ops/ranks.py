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


def _comparable(x: Any) -> Any:
    return ops.where(ops.isnan(x), float("inf"), x)
