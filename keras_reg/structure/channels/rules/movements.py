"""What only moves entries: reshaping, permuting, cutting, stacking, concatenating."""

import contextlib
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
    "Slice",
)
def movement(call: Any) -> list[Traced]:
    """Runs the operation itself on the numbers of the channels, one axis at a time."""
    if len(call.inputs) > 1:
        raise ValueError("indices or lengths that are tensors")
    outputs: list[dict[int, Array]] = [{} for _ in call.outputs]
    for x in call.inputs:
        for axis, labels in x.axes.items():
            if type(call.operation).__name__ == "Pad":
                call.pads(labels)
            _move(call, x, axis, labels, outputs)
    return [Traced(*one) for one in zip(call.outputs, outputs, strict=True)]


def _move(call: Any, x: Traced, axis: int, labels: Array, outputs: list[dict]) -> None:
    """Where the channels of one axis are in each output."""
    for number, numbers in enumerate(_numbers(call, x, axis)):
        moved = np.append(FIXED, labels)[np.minimum(numbers, len(labels))]
        at = _varying(numbers)
        if not at:  # One channel, or a cut without any.
            call.reader.labels.pin(np.unique(moved), f"moved by {call.name}")
            continue
        kept = at[-1]
        rows = np.moveaxis(moved, kept, 0).reshape(moved.shape[kept], -1)
        beyond = np.moveaxis(numbers, kept, 0).reshape(len(rows), -1)[:, 0] > len(labels)
        rows = rows[~beyond]
        if call.outputs[number][kept] != len(rows):  # Channels over a length that is not known.
            call.reader.labels.pin(np.unique(moved), f"moved by {call.name}")
            continue
        for column in rows.T[1:] if len(at) > 1 else ():
            call.join(rows[:, 0], column)
        if kept in outputs[number]:
            call.reader.labels.pin(labels, f"merged with other channels by {call.name}")
        else:
            outputs[number][kept] = rows[:, 0]


def _numbers(call: Any, x: Traced, axis: int) -> list[Array]:
    """The results of a call on the numbers from 1 of the channels of an axis, all else zero.

    Where a single channel goes shows with a second one, which the caller leaves out.
    """
    length = len(x.axes[axis])
    if length == 1:
        with contextlib.suppress(Exception):  # Of Keras's backends, if only one channel fits.
            return _run(call, x, axis, 2)
    return _run(call, x, axis, length)


def _run(call: Any, x: Traced, axis: int, length: int) -> list[Array]:
    """The results of a call on the numbers of as many channels."""
    place = [-1 if at == axis else 1 for at in range(x.rank)]
    shape = [length if at == axis else 1 if n is None else n for at, n in enumerate(x.shape)]
    numbers = np.broadcast_to(np.arange(1, length + 1).reshape(place), shape)
    tensor = keras.ops.convert_to_tensor(numbers, dtype="int32")
    args, kwargs = tree.map_structure(
        lambda value: tensor if value is x else value, (call.args, call.kwargs)
    )
    results = tree.flatten(call.operation.call(*args, **kwargs))
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in results]


def _varying(array: Array) -> list[int]:
    """The axes along which an array is not constant."""
    return [
        axis
        for axis, length in enumerate(array.shape)
        if length > 1 and np.any(array != array.take([0], axis))
    ]


@for_operations("Stack")
def stack(call: Any) -> Traced:
    """Channels of tensors that lie side by side on a new axis go together."""
    shape = call.outputs[0]
    new, axes = call.operation.axis % len(shape), {}
    for axis in {axis for x in call.inputs for axis in x.axes}:
        first, *others = (x.on(axis) for x in call.inputs)
        for other in others:
            call.join(first, other)
        axes[axis + (axis >= new)] = first
    return Traced(shape, axes)


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
    """Channels one after another along the axis; on other axes they go together."""
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
