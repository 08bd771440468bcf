"""Layers that read one set of channels and make another: Dense, EinsumDense, Embedding."""

from typing import Any

import keras

from keras_reg.structure.channels.graph import NotReadableError
from keras_reg.structure.channels.labels import Traced
from keras_reg.structure.channels.registry import for_layers
from keras_reg.structure.channels.rules.elementwise import activated

layers = keras.layers


def check_plain(layer: Any) -> None:
    """Raises NotReadableError for a layer whose kernel is stored in parts."""
    if getattr(layer, "lora_enabled", False):
        raise NotReadableError("it has LoRA weights; merge them first")
    if getattr(layer, "quantization_mode", None) is not None:
        raise NotReadableError("it is quantized; remove channels first")


@for_layers(layers.Dense)
def dense(call: Any) -> Traced:
    """Features are read, units are made."""
    layer, x = call.operation, call.inputs[0]
    check_plain(layer)
    call.reads(layer.kernel, 0, x.on(-1))
    units = call.makes(layer.kernel, 1)
    if layer.bias is not None:
        call.carries(layer.bias, 0, units)
    result = Traced(call.outputs[0], {**x.others(-1), -1: units})
    return activated(call, result)


@for_layers(layers.Embedding)
def embedding(call: Any) -> Traced:
    """The columns of the matrix are made; which row is read depends on the data."""
    layer, x = call.operation, call.inputs[0]
    check_plain(layer)
    call.pin(x, f"used as indices by {call.name}")
    return Traced(call.outputs[0], {-1: call.makes(layer.embeddings, 1)})


@for_layers(layers.EinsumDense)
def einsum_dense(call: Any) -> Traced:
    """Which axes of the kernel are summed, made or carried is told by the equation."""
    layer, x = call.operation, call.inputs[0]
    check_plain(layer)
    result = _einsum(call, layer.equation, x)
    if layer.bias is not None:
        for axis, length in enumerate(layer.bias.shape):
            if length > 1:
                labels = result.on(axis - len(layer.bias.shape))
                call.carries(layer.bias, axis, labels)
    return activated(call, result)


def _einsum(call: Any, equation: str, x: Traced) -> Traced:
    """The result of an equation, without the bias."""
    kernel = call.operation.kernel
    data, weights, output = letters_of(equation, x.rank, len(call.outputs[0]))
    found = {letter: x.axes[axis] for axis, letter in enumerate(data) if axis in x.axes}
    for axis, letter in enumerate(weights):
        if letter not in data:
            found[letter] = call.makes(kernel, axis)
        elif letter in output:
            found[letter] = x.on(data.index(letter))
            call.carries(kernel, axis, found[letter])
        else:
            call.reads(kernel, axis, x.on(data.index(letter)))
    for axis, letter in enumerate(data):
        if letter not in output and letter not in weights:
            call.pin(x, f"summed by {call.name}", [axis])
    axes = {axis: found[letter] for axis, letter in enumerate(output) if letter in found}
    return Traced(call.outputs[0], axes)


def letters_of(equation: str, rank: int, out_rank: int) -> tuple[str, str, str]:
    """The letters of input, kernel and output, an ellipsis spelled out with capital letters."""
    operands, output = equation.replace(" ", "").split("->")
    data, weights = operands.split(",")
    hidden = "ABCDEFGH"[: rank - len(data.replace("...", ""))]
    data, output = data.replace("...", hidden), output.replace("...", hidden)
    if "." in weights or (len(data), len(output)) != (rank, out_rank):
        raise ValueError(f"the equation {equation!r}")
    return data, weights, output
