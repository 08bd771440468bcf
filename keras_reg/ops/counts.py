"""Counts of exact zeros."""

from typing import Any

from keras import ops

from keras_reg.ops.norms import reduced_axes


def zero_counts(w: Any) -> Any:
    """Counts the exact zeros of a weight, and its all-zero groups by input and by output.

    Args:
        w: tensor of rank 2 or more. Axis -2 indexes its inputs, axis -1 its outputs.
    Shapes: result: (3,), int32: zeros, zero input groups, zero output groups.

    Example:
        >>> import keras
        >>> w = keras.ops.array([[0.0, 0.0], [0.0, 2.0]])
        >>> keras.ops.convert_to_numpy(zero_counts(w)).tolist()
        [3, 1, 1]
    """
    zero = ops.equal(w, 0)
    by_group = [ops.all(zero, axis=reduced_axes(tuple(w.shape), axis)) for axis in (-2, -1)]
    return ops.stack([ops.sum(ops.cast(flags, "int32")) for flags in (zero, *by_group)])
