"""The factor of each group of a penalty."""

import math
from typing import Any

import keras
import numpy as np

from keras_reg.ops import arrays as ops
from keras_reg.ops.grouping import Grouping
from keras_reg.ops.norms import GroupAxis, group_size, reduced_axes


def check_weights(weights: Any) -> np.ndarray | None:
    """Returns the weights of groups as a read-only array, or None.

    Args:
        weights: array-like of finite numbers >= 0, or None.

    Raises: ValueError if it is anything else.

    Example:
        >>> check_weights([1, 0.5]).tolist()
        [1.0, 0.5]
    """
    if weights is None:
        return None
    is_tensor = isinstance(weights, keras.Variable) or ops.is_tensor(weights)
    try:
        array = np.array(ops.convert_to_numpy(weights) if is_tensor else weights)
    except ValueError:
        raise ValueError(_expected(f"weights={weights!r}")) from None
    if array.dtype.kind not in "iuf":
        raise ValueError(_expected(f"an array of dtype {array.dtype}"))
    wrong = array[~(np.isfinite(array) & (array >= 0))]
    if wrong.size:
        raise ValueError(_expected(f"{wrong.size} others, the first of them {wrong[0]}"))
    array.setflags(write=False)
    return array


def check_groups(
    weights: np.ndarray | None, group_axis: GroupAxis, shape: tuple[int, ...], path: str = ""
) -> None:
    """Raises ValueError, which names the variable, unless it has these axes and a weight a group.

    Args:
        weights: array, or None, which suits every shape.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        shape: the variable's shape.
        path: the variable's path.

    Example:
        >>> check_groups(np.ones(3), -1, (4, 3), "dense/kernel")
    """
    reduced = reduced_axes(shape, group_axis, path)
    groups = tuple(length for axis, length in enumerate(shape) if axis not in reduced)
    if weights is not None and weights.shape != groups:
        raise ValueError(
            f"Expected `weights` of shape {groups}, one for each group of {path or 'a weight'} of "
            f"shape {shape}. Received: weights of shape {weights.shape}"
        )


def group_factors(
    weights: np.ndarray | None, w: Any, group_axis: GroupAxis, keepdims: bool = True
) -> Any:
    """The weights of groups as a tensor, 1.0 without them.

    Args:
        weights: array, or None.
        w: tensor. The variable's value.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups.
        keepdims: give the other axes length one, to broadcast against `w`.

    Example:
        >>> w = ops.ones((2, 3))
        >>> tuple(group_factors(np.ones(3), w, -1).shape), group_factors(None, w, -1)
        ((1, 3), 1.0)
    """
    if weights is None:
        return 1.0
    factors = np.asarray(weights, "float64")
    if keepdims:
        factors = np.expand_dims(factors, reduced_axes(tuple(w.shape), group_axis))
    return ops.as_given(factors, like=w)


def root_size(w: Any, group_axis: GroupAxis) -> float:
    """The square root of the number of weights in one group (Yuan & Lin 2006).

    Example:
        >>> root_size(ops.ones((4, 3)), -1)
        2.0
    """
    return math.sqrt(group_size(tuple(w.shape), group_axis))


def set_weights(grouping: Grouping, size_scaling: bool) -> list[float]:
    """For each set of groups, what the penalty of one is multiplied with.

    That is what it costs, if the grouping says so, or else the root of its size.

    Args:
        grouping: `keras_reg.ops.Grouping`.
        size_scaling: bool. False: 1 without costs.

    Example:
        >>> from keras_reg.ops.grouping import Within
        >>> set_weights(Within([(4, 3)], [-1]), True)
        [2.0]
    """
    if grouping.costs is not None:
        return list(grouping.costs)
    return [math.sqrt(size) if size_scaling else 1.0 for size in grouping.sizes]


def check_no_groups(penalty: Any) -> None:
    """Raises ValueError if a penalty has groups of its own where it is given others.

    Example:
        >>> from keras_reg.regularizers import GroupLasso
        >>> check_no_groups(GroupLasso(0.1))
    """
    weights = getattr(penalty, "weights", None)
    if weights is not None or penalty.group_axis not in (None, "outputs"):
        raise ValueError(
            "Expected a penalty on channels to have no `group_axis` and no `weights`: its groups "
            f"are the channels. Received: {penalty}"
        )


def _expected(received: str) -> str:
    return f"Expected `weights` to be an array of finite numbers >= 0. Received: {received}"
