"""Multiply-adds: how often a layer uses each of its weights for one example."""

from typing import Any

import keras

from keras_reg.structure.calls import Shape, output_shapes, product
from keras_reg.structure.layout import einsum_labels

_layers = keras.layers
CONVOLUTIONS = (
    *(_layers.Conv1D, _layers.Conv2D, _layers.Conv3D),
    *(_layers.DepthwiseConv1D, _layers.DepthwiseConv2D),
    *(_layers.SeparableConv1D, _layers.SeparableConv2D),
)
TRANSPOSED = (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose)
CONV_RECURRENT = (_layers.ConvLSTM1D, _layers.ConvLSTM2D, _layers.ConvLSTM3D)
_CELLS = (_layers.LSTMCell, _layers.GRUCell, _layers.SimpleRNNCell)
ATTENTION = (_layers.MultiHeadAttention, _layers.GroupQueryAttention)

Uses = dict[int, int | None]


def uses(layer: Any, shapes: list[Shape]) -> Uses:
    """How often one call uses each weight of a layer for one example.

    A kernel's multiply-adds are its size times this number, and what is left of them if a part of
    the kernel is removed is the size of the rest times this number.

    Args:
        layer: a built layer.
        shapes: the shapes of its inputs, with the batch axis.

    Returns:
        A dict from the `id` of the layer, and of layers in it, that own weights to the number. A
        layer that is missing is not known; None stands for a length that is not known.

    Example:
        >>> layer = keras.layers.Conv2D(4, 3)
        >>> layer.build((None, 8, 8, 3))
        >>> uses(layer, [(None, 8, 8, 3)])[id(layer)]
        36
    """
    shape = shapes[0]
    if isinstance(layer, _layers.Embedding):
        return {id(layer): 0}
    if isinstance(layer, _layers.Dense):
        return {id(layer): product(shape[1:-1])}
    if isinstance(layer, _layers.EinsumDense):
        return {id(layer): _of_einsum(layer.equation, shape)}
    if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
        return {id(layer): _of_convolution(layer, shapes)}
    if isinstance(layer, ATTENTION):
        return _of_attention(layer, shapes)
    return _of_layers_inside(layer, shapes)


def _of_layers_inside(layer: Any, shapes: list[Shape]) -> Uses:
    shape = shapes[0]
    if isinstance(layer, CONV_RECURRENT):
        pixels = _of_convolutional_cell(layer, shapes)
        return {id(layer.cell): product((shape[1], pixels))}
    if isinstance(layer, _layers.RNN):
        cells = getattr(layer.cell, "cells", [layer.cell])
        return {id(cell): shape[1] for cell in cells if isinstance(cell, _CELLS)}
    if isinstance(layer, _layers.Bidirectional):
        both = (layer.forward_layer, layer.backward_layer)
        return {key: value for inner in both for key, value in uses(inner, shapes).items()}
    if isinstance(layer, _layers.TimeDistributed):
        inner = uses(layer.layer, [(shape[0], *shape[2:])])
        return {key: product((shape[1], value)) for key, value in inner.items()}
    return {}


def score_macs(layer: Any, shapes: list[Shape]) -> int | None:
    """Multiply-adds of one head's scores and of its weighted sum, for one example.

    Example:
        >>> layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=3)
        >>> score_macs(layer, [(None, 5, 8), (None, 7, 8)])
        210
    """
    query, value = (shapes * 2)[:2]
    if isinstance(layer, _layers.GroupQueryAttention):
        width = 2 * layer.head_dim
    else:
        width = layer.key_dim + layer.value_dim
    axes = _attention_axes(layer, len(query))
    return product((*query[1:-1], *(value[axis] for axis in axes), width))


def _attention_axes(layer: Any, rank: int) -> tuple[int, ...]:
    axes = getattr(layer, "attention_axes", None)
    return tuple(range(1, rank - 1)) if axes is None else tuple(axis % rank for axis in axes)


def heads_of(layer: Any) -> int:
    """Number of query heads of an attention layer.

    Example:
        >>> heads_of(keras.layers.MultiHeadAttention(num_heads=2, key_dim=3))
        2
    """
    return layer.num_heads if hasattr(layer, "num_heads") else layer.num_query_heads


def _of_attention(layer: Any, shapes: list[Shape]) -> Uses:
    """Keys and values are made for each position that is read, the rest for each that asks."""
    read, written = _lengths(shapes)
    inner = layer._flatten_layers(include_self=False, recursive=False)
    return {id(one): read if one.name in ("key", "value") else written for one in inner}


def _lengths(shapes: list[Shape]) -> tuple[int | None, int | None]:
    """Positions of the value and of the query, the first two inputs."""
    query, value = (shapes * 2)[:2]
    return product(value[1:-1]), product(query[1:-1])


def _of_einsum(equation: str, shape: Shape) -> int | None:
    """The lengths of the input that the kernel does not have, without the batch."""
    data, kernel, _ = einsum_labels(equation)
    hidden = len(shape) - len(data)
    letters = "." * hidden + data if equation.startswith("...") else data + "." * hidden
    others = [at for at, letter in enumerate(letters) if letter not in kernel]
    return product([shape[at] for at in others if at != 0])


def _of_convolution(layer: Any, shapes: list[Shape]) -> int | None:
    """Pixels that a filter is put on: of the output, for a transposed one of the input."""
    places = shapes if isinstance(layer, TRANSPOSED) else output_shapes(layer, shapes)
    if not places:
        return None
    is_first = layer.data_format == "channels_first"
    return product(places[0][2:] if is_first else places[0][1:-1])


def _of_convolutional_cell(layer: Any, shapes: list[Shape]) -> int | None:
    places = output_shapes(layer, shapes)
    if not places:
        return None
    rank = len(shapes[0]) - 3
    is_first = layer.data_format == "channels_first"
    return product(places[0][-rank:] if is_first else places[0][-rank - 1 : -1])
