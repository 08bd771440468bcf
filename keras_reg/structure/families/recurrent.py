"""Recurrent layers: their cells own the weights and are called once a step."""

from typing import Any

from keras import layers

from keras_reg.structure.graph import output_shapes, product
from keras_reg.structure.registry import Shape, register

CELLS = (layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell)


def _uses(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    cells = getattr(layer.cell, "cells", [layer.cell])
    return {cell: shapes[0][1] for cell in cells if isinstance(cell, CELLS)}


def _convolutional_uses(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    return {layer.cell: product((shapes[0][1], _pixels(layer, shapes)))}


def _pixels(layer: Any, shapes: list[Shape]) -> int | None:
    places = output_shapes(layer, shapes)
    if not places:
        return None
    rank = len(shapes[0]) - 3
    is_first = layer.data_format == "channels_first"
    return product(places[0][-rank:] if is_first else places[0][-rank - 1 : -1])


register(layers.RNN, uses=_uses)
for _kind in (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D):
    register(_kind, uses=_convolutional_uses)
