"""Groups of a weight and their norms, with gradients that are finite at zero."""

import math
from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.sums import sum_of_squares

# Norms are kept above this when a direction is divided by one. It is far above the smallest
# normal float32, so that processors that flush denormals agree, and far below any trained weight.
TINY = 1e-30

# The names stand for axes that depend on the weight. Penalties put numbers in their place before
# they compute anything: the functions here take numbers and None alone.
NAMES = ("outputs", "inputs")
GroupAxis = int | tuple[int, ...] | str | None


def check_group_axis(group_axis: Any, argument: str = "group_axis") -> GroupAxis:
    """Returns a valid `group_axis` as "outputs", "inputs", an int, a tuple of ints or None.

    Raises: ValueError if it is anything else.

    Example:
        >>> check_group_axis([0, -1])
        (0, -1)
    """
    is_sequence = isinstance(group_axis, (tuple, list)) and len(group_axis) > 0
    axes = group_axis if is_sequence else (group_axis,)
    if group_axis is None or (isinstance(group_axis, str) and group_axis in NAMES):
        return group_axis
    if all(isinstance(axis, int) and not isinstance(axis, bool) for axis in axes):
        return tuple(axes) if is_sequence else group_axis
    raise ValueError(
        f'Expected `{argument}` to be "outputs", "inputs", an int, a non-empty tuple of ints or '
        "None. "
        f"Received: {argument}={group_axis!r}"
    )


def reduced_axes(
    shape: tuple[int, ...], group_axis: GroupAxis, name: str = "", argument: str = "group_axis"
) -> tuple[int, ...]:
    """The axes a group's norm runs over: all those that `group_axis` does not name.

    Args:
        shape: the weight's shape.
        group_axis: int, tuple of ints or None. None: every weight is a group of its own.
        name: the variable's path, for the error.
        argument: what `group_axis` is called there.

    Raises: ValueError if an axis is out of range or named twice.

    Example:
        >>> reduced_axes((3, 3, 16, 32), -1)
        (0, 1, 2)
        >>> reduced_axes((64, 10), None)
        ()
    """
    if group_axis is None:
        return ()
    rank = len(shape)
    named: Any = group_axis if isinstance(group_axis, tuple) else (group_axis,)
    kept = {axis % rank for axis in named if -rank <= axis < rank}
    if len(kept) != len(named):
        raise ValueError(
            f"Expected `{argument}` to name distinct axes of {name or 'a weight'} of shape "
            f"{tuple(shape)}, each from {-rank} to {rank - 1}. Received: {argument}={group_axis}"
        )
    return tuple(axis for axis in range(rank) if axis not in kept)


def group_size(shape: tuple[int, ...], group_axis: GroupAxis) -> int:
    """Number of weights in one group.

    Example:
        >>> group_size((3, 3, 16, 32), -1)
        144
    """
    return math.prod(shape[axis] for axis in reduced_axes(shape, group_axis))


def safe_norm(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """Euclidean norm whose gradient at zero is zero, where the plain norm's is NaN.

    Args:
        x: float tensor.
        axis: int, tuple of ints or None. The axes that are summed over; None: all.
        keepdims: keep summed axes with length one.
    Shapes: result: as `keras.ops.sum` gives. Dtype: as `x`.

    Example:
        >>> import keras
        >>> float(safe_norm(keras.ops.array([3.0, 4.0])))
        5.0
    """
    rank = len(x.shape)
    axes = range(rank) if axis is None else (axis,) if isinstance(axis, int) else axis
    squares = sum_of_squares(x, tuple(one % rank for one in axes), keepdims)
    zero = ops.equal(squares, 0.0)
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, squares)))


def group_norms(w: Any, group_axis: GroupAxis = -1, keepdims: bool = False) -> Any:
    """Euclidean norm of each group of a weight; the absolute value for `group_axis=None`.

    Args:
        w: float tensor of any rank.
        group_axis: int, tuple of ints or None. Axes that index the groups.
        keepdims: keep the other axes with length one, to broadcast against `w`.
    Shapes: result: the lengths of the group axes, in the order of `w`'s. Dtype: as `w`.
    Raises: ValueError if an axis is out of range.

    Example:
        >>> import keras
        >>> w = keras.ops.array([[3.0, 0.0], [4.0, 0.0]])
        >>> keras.ops.convert_to_numpy(group_norms(w, -1)).tolist()
        [5.0, 0.0]
    """
    axes = reduced_axes(tuple(w.shape), group_axis)
    # Not `ops.abs`: JAX gives it the gradient 1 at zero, where sign(0) is 0 everywhere.
    return safe_norm(w, axis=axes, keepdims=keepdims) if axes else w * ops.sign(w)


def with_sign_of(w: Any, size: Any) -> Any:
    """`size` where `w` is positive, -`size` where it is negative and 0 where it is 0.

    What `size` is where `w` is 0 does not matter: it may be infinite.

    Args:
        w: float tensor.
        size: float tensor or number that broadcasts against `w`.
    Shapes: result: as `w`. Dtype: as `size`.

    Example:
        >>> import keras
        >>> w = keras.ops.array([3.0, 0.0, -4.0])
        >>> keras.ops.convert_to_numpy(with_sign_of(w, 2.0)).tolist()
        [2.0, 0.0, -2.0]
    """
    # Cheaper than a product with `ops.sign`, which also looks for NaN.
    return ops.where(ops.equal(w, 0.0), 0.0, ops.where(ops.less(w, 0.0), -size, size))
