"""The factor of each group of a radial penalty."""

from typing import Any

import keras
import numpy as np
from keras import ops


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


def check_weights_shape(
    weights: np.ndarray | None, groups: tuple[int, ...], shape: tuple[int, ...], path: str = ""
) -> None:
    """Raises ValueError, which names the variable, unless there is one weight for each group.

    Args:
        weights: array, or None, which suits every shape.
        groups: the lengths of the variable's group axes.
        shape: the variable's shape.
        path: the variable's path.

    Example:
        >>> check_weights_shape(np.ones(3), (3,), (4, 3), "dense/kernel")
    """
    if weights is not None and weights.shape != groups:
        raise ValueError(
            f"Expected `weights` of shape {groups}, one for each group of {path or 'a weight'} of "
            f"shape {shape}. Received: weights of shape {weights.shape}"
        )


def _expected(received: str) -> str:
    return f"Expected `weights` to be an array of finite numbers >= 0. Received: {received}"
