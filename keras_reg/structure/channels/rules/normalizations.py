"""Normalizations: by statistics of a batch or of groups of channels, or over all channels."""

from typing import Any

import keras

from keras_reg.structure.channels.labels import Traced
from keras_reg.structure.channels.registry import for_layers, for_operations
from keras_reg.structure.channels.rules.convolutions import whole_groups

layers = keras.layers


@for_layers(layers.BatchNormalization)
def batch_normalization(call: Any) -> Traced:
    """Channels pass, with statistics, a scale and an offset for each."""
    layer, x = call.operation, call.inputs[0]
    for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        if variable is not None:
            call.carries(variable, 0, x.on(layer.axis))
    return x


@for_layers(layers.GroupNormalization)
def group_normalization(call: Any) -> Traced:
    """Channels pass, and those that share statistics go together."""
    layer, x = call.operation, call.inputs[0]
    labels = x.on(layer.axis)
    groups = layer.groups if layer.groups > 0 else len(labels)
    call.pin(x, f"{call.name} averages over them", x.others(layer.axis))
    whole_groups(call, labels, groups)
    for variable in (layer.gamma, layer.beta):
        if variable is not None:
            call.carries(variable, 0, labels)
    return x


@for_layers(layers.Normalization)
def fixed_statistics(call: Any) -> Traced:
    """Features stay: the layer's statistics are no weights."""
    call.pin(call.inputs[0], f"{call.name} holds a statistic of each")
    return call.inputs[0]


@for_layers(layers.LayerNormalization, layers.RMSNormalization)
def over_channels(call: Any) -> Traced:
    """Channels stay: each changes the mean, or the root mean square, of all."""
    layer, x = call.operation, call.inputs[0]
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    call.pin(x, f"{call.name} averages over them", axes)
    for name in ("gamma", "beta", "scale"):
        variable = getattr(layer, name, None)
        if isinstance(variable, keras.Variable):
            for axis, of_input in enumerate(axes):
                call.carries(variable, axis, x.on(of_input))
    return x


@for_layers(layers.Softmax, layers.UnitNormalization)
@for_operations("Softmax", "LogSoftmax", "Normalize", "Cumsum")
def along_axis(call: Any) -> Traced:
    """Channels on the axis stay."""
    x, axis = call.inputs[0], call.operation.axis
    axes = [axis] if isinstance(axis, int) else x.axes if axis is None else axis
    call.pin(x, f"{call.name} uses all of them", axes)
    return Traced(call.outputs[0], x.axes)
