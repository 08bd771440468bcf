"""A weight as a matrix with one row for each group, and back."""

import math
from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.norms import GroupAxis, reduced_axes


def group_rows(w: Any, group_axis: GroupAxis) -> Any:
    """The weights of each group as one row.

    Args:
        w: tensor of any rank.
        group_axis: int, tuple of ints or None. Axes that index the groups; None: every weight is
            its own group.
    Shapes: result: (groups, weights in a group), same dtype. Groups come in the order in which
        `group_norms` returns them, flattened.
    Raises: ValueError if an axis is out of range.

    Example:
        >>> import keras
        >>> w = keras.ops.array([[1.0, 2.0], [3.0, 4.0]])
        >>> keras.ops.convert_to_numpy(group_rows(w, -1)).tolist()
        [[1.0, 3.0], [2.0, 4.0]]
    """
    order, lengths, size = _layout(tuple(w.shape), group_axis)
    return ops.reshape(ops.transpose(w, order), (math.prod(lengths), size))


def from_group_rows(rows: Any, shape: tuple[int, ...], group_axis: GroupAxis) -> Any:
    """The weight of shape `shape` whose `group_rows` are `rows`.

    Example:
        >>> import keras
        >>> w = keras.ops.array([[1.0, 2.0], [3.0, 4.0]])
        >>> keras.ops.convert_to_numpy(from_group_rows(group_rows(w, 1), (2, 2), 1)).tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    order, _, _ = _layout(shape, group_axis)
    inverse = [order.index(axis) for axis in range(len(shape))]
    return ops.transpose(ops.reshape(rows, [shape[axis] for axis in order]), inverse)


def _layout(shape: tuple[int, ...], group_axis: GroupAxis) -> tuple[list[int], list[int], int]:
    """The group axes first and the others behind, the groups' lengths, and a group's size."""
    inside = reduced_axes(shape, group_axis)
    outside = [axis for axis in range(len(shape)) if axis not in inside]
    size = math.prod(shape[axis] for axis in inside)
    return [*outside, *inside], [shape[axis] for axis in outside], size
