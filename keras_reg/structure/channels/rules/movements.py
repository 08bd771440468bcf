"""What only moves entries: reshaping, permuting, cutting, stacking, concatenating."""

from typing import Any

import keras
import numpy as np
from keras import tree

from keras_reg.structure.channels.labels import FIXED, Array, Traced
from keras_reg.structure.channels.registry import for_layers, for_operations

layers = keras.layers


@for_layers(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector)
@for_operations(
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "GetItem", "Split", "Flip", "Roll"),
    *("Repeat", "Tile", "Swapaxes", "Moveaxis", "Ravel", "Unstack", "BroadcastTo", "Pad"),
    *("Slice", "Stack"),
)
def movement(call: Any) -> list[Traced]:
    """Runs the operation itself on arrays of labels, one axis with channels at a time."""
    if len(call.inputs) > 1 and type(call.operation).__name__ != "Stack":
        raise ValueError("indices or lengths that are tensors")
    outputs: list[dict[int, Array]] = [{} for _ in call.outputs]
    for x in call.inputs:
        for axis, labels in x.axes.items():
            _move(call, x, axis, labels, outputs)
    return [Traced(*one) for one in zip(call.outputs, outputs, strict=True)]


def _move(call: Any, x: Traced, axis: int, labels: Array, outputs: list[dict]) -> None:
    for number, moved in enumerate(_run(call, x, axis)):
        shape = call.outputs[number]
        at = _varying(moved)
        if not at or shape[at[-1]] != moved.shape[at[-1]]:
            # One label everywhere, channels over a length that is not known, or a cut without any.
            call.reader.labels.pin(np.unique(moved), f"moved by {call.name}")
            continue
        kept = at[-1]
        rows = np.moveaxis(moved, kept, 0).reshape(moved.shape[kept], -1)
        for column in rows.T[1:] if len(at) > 1 else ():
            call.join(rows[:, 0], column)
        if kept in outputs[number]:
            call.reader.labels.pin(labels, f"merged with other channels by {call.name}")
        else:
            outputs[number][kept] = rows[:, 0]


def _run(call: Any, x: Traced, axis: int) -> list[Array]:
    """The results of a call on labels of one input along one axis, everything else fixed."""

    def entries(value: Any) -> Any:
        if not isinstance(value, Traced):
            return value
        shape = [1 if length is None else length for length in value.shape]
        if value is not x:
            return keras.ops.full(shape, FIXED, dtype="int32")
        place = [-1 if at == axis else 1 for at in range(x.rank)]
        array = np.broadcast_to(x.axes[axis].reshape(place), shape)
        return keras.ops.convert_to_tensor(array, dtype="int32")

    args, kwargs = tree.map_structure(entries, (call.args, call.kwargs))
    results = tree.flatten(call.operation.call(*args, **kwargs))
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in results]


def _varying(array: Array) -> list[int]:
    """The axes along which an array is not constant."""
    return [
        axis
        for axis, length in enumerate(array.shape)
        if length > 1 and np.any(array != array.take([0], axis))
    ]


@for_operations("Take")
def take(call: Any) -> Traced:
    """Rows by number, as an embedding does it: the other axes go through."""
    x, *indices = call.inputs
    axis = call.operation.axis
    if axis is None or len(indices) != 1:
        raise ValueError("no axis, or indices that are no tensor")
    call.pin(indices[0], f"used as indices by {call.name}")
    call.pin(x, f"{call.name} chooses among them", [axis])
    axis, more = axis % x.rank, indices[0].rank - 1
    kept = {at if at < axis else at + more: one for at, one in x.others(axis).items()}
    return Traced(call.outputs[0], kept)


@for_layers(layers.Concatenate)
@for_operations("Concatenate")
def concatenate(call: Any) -> Traced:
    shape = call.outputs[0]
    along = call.operation.axis % len(shape)
    axes = {}
    for axis in {axis for x in call.inputs for axis in x.axes}:
        if shape[axis] is None:
            continue
        if axis == along:
            axes[axis] = np.concatenate([x.on(axis) for x in call.inputs])
        else:
            axes[axis] = call.inputs[0].on(axis)
            for x in call.inputs[1:]:
                call.join(axes[axis], x.on(axis))
    return Traced(shape, axes)
