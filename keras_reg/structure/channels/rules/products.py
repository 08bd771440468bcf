"""Products of two tensors, or of a tensor and a variable: the index that is summed joins both."""

from typing import Any

import keras
import numpy as np

from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.registry import for_layers, for_operations


@for_operations("Matmul")
def matmul(call: Any) -> Traced:
    """The last axis of the first is summed with the one before the last of the second."""
    first, second = call.inputs
    if min(first.rank, second.rank) < 2:
        raise ValueError("a product with a vector")
    return _product(call, first, second, first.rank - 1, second.rank - 2)


@for_layers(keras.layers.Dot)
def dot(call: Any) -> Traced:
    """Not read: its axes are chosen by arguments."""
    raise ValueError("no rule for its axes")


def _product(call: Any, first: Traced, second: Traced, a: int, b: int) -> Traced:
    """Axis `a` of the first is summed with axis `b` of the second; the others go through."""
    shape = call.outputs[0]
    if a in first.axes or b in second.axes:
        call.join(first.on(a), second.on(b))
        call.sums(first, second, np.concatenate([first.on(a), second.on(b)]))
    axes: dict[int, Array] = {}
    for x, of_result in ((first, len(shape) - 2), (second, len(shape) - 1)):
        kept = x.rank - 2 if x is first else x.rank - 1
        if kept in x.axes:
            axes[of_result] = x.axes[kept]
            call.multiplies(x, x.axes[kept])
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
            if place % other.rank not in other.axes:  # All of them stay.
                return
    axes[to] = x.axes[axis]


@for_operations("Einsum")
def einsum(call: Any) -> Traced:
    """What several operands index by one letter is joined; what only one has goes through."""
    inputs, output = _letters(call)
    found: dict[str, Array] = {}
    for letters, x in zip(inputs, call.inputs, strict=True):
        for axis, labels in x.axes.items():
            letter = letters[axis]
            pairs = zip(inputs, call.inputs, strict=True)
            both = [(y, other.index(letter)) for other, y in pairs if letter in other]
            for y, place in both:
                call.join(labels, y.on(place))
            if all(place in y.axes for y, place in both):  # Else all of them stay.
                found.setdefault(letter, labels)
            _acts(call, letter, x, labels, inputs, output)
    axes = {axis: found[letter] for axis, letter in enumerate(output) if letter in found}
    return Traced(call.outputs[0], axes)


def _letters(call: Any) -> tuple[list[str], str]:
    """The letters of operands and result, an ellipsis spelled out with capital letters."""
    subscripts = call.operation.subscripts.replace(" ", "")
    if "->" not in subscripts:
        raise ValueError(f"the equation {subscripts!r}")
    operands, output = subscripts.split("->")
    inputs = []
    for letters, x in zip(operands.split(","), call.inputs, strict=True):
        hidden = x.rank - len(letters.replace("...", ""))
        inputs.append(letters.replace("...", "ABCDEFGH"[8 - hidden :]))
    hidden = len(call.outputs[0]) - len(output.replace("...", ""))
    return inputs, output.replace("...", "ABCDEFGH"[8 - hidden :])


def _acts(call: Any, letter: str, x: Traced, labels: Array, inputs: list[str], output: str) -> None:
    """What an axis of an operand does to its channels."""
    has_letter = [
        one for one, letters in zip(call.inputs, inputs, strict=True) if letter in letters
    ]
    if letter in output:
        if len(has_letter) == 1:
            call.multiplies(x, labels)
    elif len(has_letter) == 1:
        call.reader.labels.pin(labels, f"summed by {call.name}")
    else:
        for other in has_letter:
            call.sums(x, other, labels)


@for_operations("DotProductAttention")
def dot_product_attention(call: Any) -> Traced:
    """Heads, the size of keys and queries, and the size of values, as in attention layers."""
    query, key, value, *others = call.inputs
    for x in (query, key, value):
        call.pin(x, f"{call.name} attends over them", x.others(2, 3))
    for x in others:
        call.pin(x, f"added to the scores of {call.name}")
    heads, shared = query.on(2), key.on(2)
    call.join(shared, value.on(2))
    call.join(heads, np.repeat(shared, len(heads) // len(shared)))
    call.join(query.on(3), key.on(3))
    call.sums(query, key, query.on(3))
    if len(call.args) < 6 and call.kwargs.get("scale") is None:
        call.pin(query, f"{call.name} divides by the root of their number", [3])
    return Traced(call.outputs[0], {2: heads, 3: value.on(3)})
