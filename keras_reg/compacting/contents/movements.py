"""What only moves entries moves constants too; reductions and concatenation."""

from typing import Any

import keras
import numpy as np
from keras import tree

from keras_reg.compacting.constants import along, full, only_zeros, shortened, unknown
from keras_reg.compacting.contents.registry import for_layers, for_operations
from keras_reg.structure.channels.labels import Array, Traced

layers = keras.layers


def moved(operation: Any, args: Any, kwargs: Any, arrays: dict[int, Array]) -> list[Array]:
    """The results of an operation that moves entries, run on an array for each traced tensor."""

    def entries(value: Any) -> Any:
        if not isinstance(value, Traced):
            return value
        return keras.ops.convert_to_tensor(arrays[id(value)])

    args, kwargs = tree.map_structure(entries, (args, kwargs))
    return [
        np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(one)))
        for one in tree.flatten(operation.call(*args, **kwargs))
    ]


@for_layers(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector)
@for_operations(
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "GetItem", "Split", "Flip", "Roll"),
    *("Repeat", "Tile", "Swapaxes", "Moveaxis", "Ravel", "Unstack", "BroadcastTo", "Slice"),
    "Stack",
)
def movement(content: Any) -> list[Any]:
    """The operation itself, run on what is known of each entry."""
    knowns = content.knowns
    if all(np.isnan(known).all() for known in knowns):
        return [None for _ in content.results]
    arrays = {
        id(x): full(known, x.shape).astype(keras.config.floatx())
        for x, known in zip(content.inputs, knowns, strict=True)
    }
    found = moved(content.operation, content.call.args, content.call.kwargs, arrays)
    return [shortened(one.astype("float64")) for one in found]


@for_operations("Pad", "Take")
def not_followed(content: Any) -> list[None]:
    """Channels pass; that some are constant is not used."""
    return [None for _ in content.results]


@for_layers(layers.Concatenate)
@for_operations("Concatenate")
def concatenate(content: Any) -> list[Array]:
    """What is known, side by side."""
    shape = content.results[0].shape
    axis = content.operation.axis % len(shape)
    if shape[axis] is None:
        return [unknown(len(shape))]
    knowns = []
    for x, known in zip(content.inputs, content.knowns, strict=True):
        values = along(known, axis)
        length = x.shape[axis]
        knowns.append(np.broadcast_to(values, (length,)))
    form = [1] * len(shape)
    form[axis] = -1
    return [np.concatenate(knowns).reshape(form)]


@for_operations("Mean", "Max", "Min", "Sum", "Var", "Std", "Prod", "Any", "All", "Logsumexp")
def reduction(content: Any) -> list[Any]:
    """Means and extremes of a constant are that constant; sums only of 0."""
    (x,), (known,), kind = content.inputs, content.knowns, type(content.operation).__name__
    if kind not in ("Mean", "Max", "Min", "Sum"):
        return [None]
    axis = content.operation.axis
    axes = range(x.rank) if axis is None else [axis] if isinstance(axis, int) else axis
    gone = {one % x.rank for one in axes}
    left = [one for one in range(x.rank) if one not in gone]
    found = along(known, *left)
    found = only_zeros(found) if kind == "Sum" else found
    if content.operation.keepdims:
        found = np.expand_dims(found, sorted(gone))
    return [found]
