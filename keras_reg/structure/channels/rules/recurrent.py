"""Recurrent layers: a unit is a state, with its columns in every gate and its recurrent row."""

from typing import Any

import keras
import numpy as np

from keras_reg.structure.channels.graph import NotReadableError
from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.registry import channels_rule, for_layers
from keras_reg.structure.channels.rules.elementwise import is_pointwise

layers = keras.layers


def _units(call: Any, layer: Any, x: Traced) -> Array:
    """The labels of a layer's units, bound to the variables of its cell."""
    cell = layer.cell
    for activation in (cell.activation, getattr(cell, "recurrent_activation", None)):
        if not is_pointwise(activation):
            raise NotReadableError("an activation that uses all units")
    columns = call.makes(cell.kernel, 1)
    gates = len(columns) // layer.units
    units = columns[: layer.units]
    tiled = np.tile(units, gates)
    call.join(columns, tiled)
    call.pin(x, f"{call.name} runs over them", x.others(-1))
    call.reads(cell.kernel, 0, x.on(-1))
    call.reads(cell.recurrent_kernel, 0, units)
    call.carries(cell.recurrent_kernel, 1, tiled)
    if cell.bias is not None:
        call.carries(cell.bias, -1, tiled)
    for state in _stored(layer):
        call.carries(state, -1, units)
    return units


def _stored(layer: Any) -> list[Any]:
    """The states that a stateful layer keeps."""
    if not layer.stateful:
        return []
    return [one for one in keras.tree.flatten(layer.states) if isinstance(one, keras.Variable)]


@for_layers(layers.LSTM, layers.GRU, layers.SimpleRNN)
def recurrent(call: Any) -> list[Traced]:
    """Units are made; a unit is a state, with columns in every gate."""
    x, *states = call.inputs
    units = _units(call, call.operation, x)
    for state in states:
        call.join(units, state.on(-1))
    return [Traced(shape, {-1: units}) for shape in call.outputs]


@for_layers(layers.Bidirectional)
def bidirectional(call: Any) -> list[Traced]:
    """Units of both directions, as many in each."""
    layer, x = call.operation, call.inputs[0]
    both = (layer.forward_layer, layer.backward_layer)
    if any(channels_rule(one) is not recurrent for one in both):
        raise NotReadableError("no rule for the layer in it")
    for state in call.inputs[1:]:
        call.pin(state, f"an initial state of {call.name}")
    forward, backward = (_units(call, one, x) for one in both)
    call.join(forward, backward)  # One number of units is all that its config holds.
    merged = np.concatenate([forward, backward]) if layer.merge_mode == "concat" else forward
    results = [forward, backward] if layer.merge_mode is None else [merged]
    left = len(call.outputs) - len(results)
    states = [forward] * (left // 2) + [backward] * (left // 2)
    labels = [*results, *states]
    return [Traced(*one) for one in zip(call.outputs, [{-1: one} for one in labels], strict=True)]


@for_layers(layers.TimeDistributed)
def time_distributed(call: Any) -> Traced:
    """What the layer inside does to one step."""
    layer, x = call.operation, call.inputs[0]
    call.pin(x, f"{call.name} runs over them", [1])
    step = Traced((x.shape[0], *x.shape[2:]), {a - 1: one for a, one in x.others(1).items()})
    shape = call.outputs[0]
    if channels_rule(layer.layer) is None:
        raise NotReadableError("no rule for the layer in it")
    (result,) = call.inner(layer.layer, [step], [(shape[0], *shape[2:])])
    return Traced(shape, {axis + 1: one for axis, one in result.axes.items()})
