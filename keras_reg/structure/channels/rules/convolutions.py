"""Convolutions: plain, grouped, depthwise, separable, transposed."""

from typing import Any

import keras
import numpy as np

from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.registry import for_layers
from keras_reg.structure.channels.rules.dense import check_plain
from keras_reg.structure.channels.rules.elementwise import activated

layers = keras.layers


def channel_axis(layer: Any) -> int:
    """The axis of a layer's inputs and outputs that holds the channels."""
    return 1 if getattr(layer, "data_format", None) == "channels_first" else -1


def along_channels(call: Any, labels: Array) -> Traced:
    """The output, with these labels on its channels; other axes of the input had better none."""
    axis = channel_axis(call.operation)
    for x in call.inputs:
        others = [other for other in x.axes if other != axis % x.rank]
        call.pin(x, f"{call.name} slides along them", others)
    return activated(call, Traced(call.outputs[0], {axis: labels}))


def whole_groups(call: Any, labels: Array, groups: int) -> Array:
    """Joins the channels of each of a number of groups; gives one label for each group."""
    rows = labels.reshape(groups, -1)
    call.join(np.broadcast_to(rows[:, :1], rows.shape).ravel(), rows.ravel())
    return rows[:, 0]


@for_layers(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convolution(call: Any) -> Traced:
    """Channels are read, filters are made; of a grouped one whole groups go."""
    layer = call.operation
    check_plain(layer)
    inputs = _inputs(call)
    filters = call.makes(layer.kernel, -1)
    if layer.groups == 1:
        call.reads(layer.kernel, -2, inputs)
    else:
        # Whole groups can go: their inputs, their filters, and one from the number of groups.
        ins, outs = (whole_groups(call, one, layer.groups) for one in (inputs, filters))
        call.join(ins, outs)
    return _filtered(call, filters)


@for_layers(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def transposed(call: Any) -> Traced:
    """As a convolution, with the last two axes of the kernel the other way round."""
    kernel = call.operation.kernel
    inputs = _inputs(call)
    call.pads(inputs, merges=True)  # Fewer kernels reach its edges.
    call.reads(kernel, -1, inputs)
    return _filtered(call, call.makes(kernel, -2))


@for_layers(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise(call: Any) -> Traced:
    """Channels pass, each with a kernel and as often as the multiplier says."""
    layer, inputs = call.operation, _inputs(call)
    call.carries(layer.kernel, -2, inputs)
    return _filtered(call, np.repeat(inputs, layer.depth_multiplier))


@for_layers(layers.SeparableConv1D, layers.SeparableConv2D)
def separable(call: Any) -> Traced:
    """A depthwise convolution whose results are read by one of width 1."""
    layer, inputs = call.operation, _inputs(call)
    call.carries(layer.depthwise_kernel, -2, inputs)
    call.reads(layer.pointwise_kernel, -2, np.repeat(inputs, layer.depth_multiplier))
    return _filtered(call, call.makes(layer.pointwise_kernel, -1))


def _inputs(call: Any) -> Array:
    """The channels that a layer gets."""
    layer = call.operation
    labels = call.inputs[0].on(channel_axis(layer))
    kernel = getattr(layer, "kernel_size", None)
    is_padded = getattr(layer, "padding", "valid") != "valid" and kernel and max(kernel) > 1
    if is_padded or type(layer).__name__.startswith("ZeroPadding"):
        reads = isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.Conv3D))
        call.pads(labels, merges=reads and layer.groups == 1)
    return labels


def _filtered(call: Any, filters: Array) -> Traced:
    """The output of a convolution, with a bias for each filter if the layer has one."""
    if call.operation.bias is not None:
        call.carries(call.operation.bias, 0, filters)
    return along_channels(call, filters)


@for_layers(
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
    layers.GlobalAveragePooling3D,
    *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
    *(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D),
    *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D),
)
def spatial(call: Any) -> Traced:
    """Channels pass."""
    return along_channels(call, _inputs(call))
