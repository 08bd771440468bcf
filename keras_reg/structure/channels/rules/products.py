"""Products of two tensors, or of a tensor and a variable: the index that is summed joins both."""

from typing import Any

import keras

from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.registry import for_layers, for_operations


@for_operations("Matmul")
def matmul(call: Any) -> Traced:
    first, second = call.inputs
    if min(first.rank, second.rank) < 2:
        raise ValueError("a product with a vector")
    return _product(call, first, second, first.rank - 1, second.rank - 2)


@for_layers(keras.layers.Dot)
def dot(call: Any) -> Traced:
    raise ValueError("no rule for its axes")


def _product(call: Any, first: Traced, second: Traced, a: int, b: int) -> Traced:
    shape = call.outputs[0]
    if a in first.axes or b in second.axes:
        call.join(first.on(a), second.on(b))
    axes: dict[int, Array] = {}
    for x, of_result in ((first, len(shape) - 2), (second, len(shape) - 1)):
        kept = x.rank - 2 if x is first else x.rank - 1
        if kept in x.axes:
            axes[of_result] = x.axes[kept]
        for axis in [axis for axis in x.axes if axis < x.rank - 2]:
            _batch(call, axes, axis - x.rank + len(shape), x, axis)
    return Traced(shape, axes)


def _batch(call: Any, axes: dict[int, Array], to: int, x: Traced, axis: int) -> None:
    """An axis that both tensors have: heads, for instance."""
    for other in call.inputs:
        place = axis - x.rank
        if other is not x and other.rank >= -place and other.shape[place] != 1:
            if x.shape[axis] == 1:
                call.pin(x, f"repeated by {call.name}", [axis])
                return
            call.join(x.axes[axis], other.on(place))
    axes[to] = x.axes[axis]


@for_operations("Einsum")
def einsum(call: Any) -> Traced:
    subscripts = call.operation.subscripts.replace(" ", "")
    if "." in subscripts or "->" not in subscripts:
        raise ValueError(f"the equation {subscripts!r}")
    operands, output = subscripts.split("->")
    found: dict[str, Array] = {}
    for letters, x in zip(operands.split(","), call.inputs, strict=True):
        for axis, letter in enumerate(letters):
            if letter in found:
                call.join(found[letter], x.on(axis))
            elif axis in x.axes:
                _meet(call, letter, x.axes[axis], operands.split(","))
                found[letter] = x.axes[axis]
    axes = {axis: found[letter] for axis, letter in enumerate(output) if letter in found}
    summed = [letter for letter in found if letter not in output]
    for letter in summed:
        if operands.count(letter) < 2:
            call.reader.labels.pin(found[letter], f"summed by {call.name}")
    return Traced(call.outputs[0], axes)


def _meet(call: Any, letter: str, labels: Array, operands: list[str]) -> None:
    """Joins labels with the same letter of operands that were seen before without any."""
    for letters, x in zip(operands, call.inputs, strict=True):
        if letter in letters:
            call.join(labels, x.on(letters.index(letter)))
