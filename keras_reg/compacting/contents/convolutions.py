"""Convolutions and pooling. A constant passes where nothing is padded; where it is, only 0 does."""

from typing import Any

import keras
import numpy as np

from keras_reg.compacting.constants import along, only_zeros, placed
from keras_reg.compacting.contents.dense import added, bias_of
from keras_reg.compacting.contents.elementwise import activated
from keras_reg.compacting.contents.registry import for_layers
from keras_reg.compacting.reads import constant_columns
from keras_reg.structure.channels.labels import Array
from keras_reg.structure.channels.rules.convolutions import channel_axis

layers = keras.layers


def _given(content: Any) -> Array:
    """The constants of the inputs, apart from edges."""
    return along(content.knowns[0], channel_axis(content.operation))


def _inputs(content: Any) -> Array:
    """The constants of the inputs that stay constant under the window."""
    layer, known = content.operation, _given(content)
    pads = layer.padding != "valid" and any(length > 1 for length in layer.kernel_size)
    return only_zeros(known) if pads else known


def _result(content: Any, found: Array, bias: Any) -> list[Array]:
    rank = content.results[0].rank
    known = placed(rank, channel_axis(content.operation), added(found, bias))
    return [activated(content, known)]


@for_layers(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convolution(content: Any) -> list[Array]:
    """A filter is constant if all that it reads is, by whole groups."""
    layer, known = content.operation, _inputs(content)
    if layer.groups == 1:
        bias, inside = bias_of(layer), _given(content)
        found = content.reads(layer.kernel, (-2,), (-1,), known, bias, inside=inside)
    else:
        found = _grouped(layer, known)
    return _result(content, found, layer.bias)


def _grouped(layer: Any, known: Array) -> Array:
    """Whole groups go, so that no weight is read from another group."""
    rank, parts = len(layer.kernel.shape), known.reshape(layer.groups, -1)
    columns = [constant_columns(layer.kernel, (rank - 2,), (rank - 1,), part) for part in parts]
    return np.concatenate(
        [one.reshape(layer.groups, -1)[number] for number, one in enumerate(columns)]
    )


@for_layers(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def transposed(content: Any) -> list[Array]:
    """Not every output sees every weight, so that only zeros are constant."""
    layer = content.operation
    inside = _given(content)
    found = content.reads(layer.kernel, (-1,), (-2,), only_zeros(inside), inside=inside)
    return _result(content, found, layer.bias)


def _each(kernel: Any, known: Array) -> Array:
    """The outputs of a kernel that takes each channel alone."""
    array = np.asarray(keras.ops.convert_to_numpy(kernel), "float64")
    axes = tuple(range(array.ndim - 2))
    is_zero = np.all(array == 0, axis=axes)
    return np.where(is_zero, 0.0, known[:, None] * array.sum(axis=axes)).reshape(-1)


@for_layers(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise(content: Any) -> list[Array]:
    """Each channel by its own weights."""
    layer = content.operation
    return _result(content, _each(layer.kernel, _inputs(content)), layer.bias)


@for_layers(layers.SeparableConv1D, layers.SeparableConv2D)
def separable(content: Any) -> list[Array]:
    """A depthwise kernel, then a pointwise one."""
    layer = content.operation
    known = _each(layer.depthwise_kernel, _inputs(content))
    found = content.reads(layer.pointwise_kernel, (-2,), (-1,), known, layer.bias)
    return _result(content, found, layer.bias)


@for_layers(
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
    layers.GlobalAveragePooling3D,
    *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
    *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D),
)
def spatial(content: Any) -> list[Array]:
    """What takes places of one channel together leaves a constant what it is."""
    axis = channel_axis(content.operation)
    return [placed(content.results[0].rank, axis, along(content.knowns[0], axis))]


@for_layers(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
def padding(content: Any) -> list[Array]:
    """Zeros all round leave only a constant 0 what it is."""
    axis = channel_axis(content.operation)
    known = only_zeros(along(content.knowns[0], axis))
    return [placed(content.results[0].rank, axis, known)]
