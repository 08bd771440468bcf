"""Recurrent layers: their cells own the weights and are called once a step."""

from typing import Any

import numpy as np
from keras import layers

from keras_reg.structure.graph import output_shapes, product
from keras_reg.structure.registry import Shape, register
from keras_reg.structure.units import UnitPart, Units

# How many columns each unit of a cell has in its kernel, one for each gate and the candidate.
GATES = {layers.LSTMCell: 4, layers.GRUCell: 3, layers.SimpleRNNCell: 1}


def _uses(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    cells = getattr(layer.cell, "cells", [layer.cell])
    return {cell: shapes[0][1] for cell in cells if isinstance(cell, tuple(GATES))}


def _convolutional_uses(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    return {layer.cell: product((shapes[0][1], _pixels(layer, shapes)))}


def _pixels(layer: Any, shapes: list[Shape]) -> int | None:
    places = output_shapes(layer, shapes)
    if not places:
        return None
    rank = len(shapes[0]) - 3
    is_first = layer.data_format == "channels_first"
    return product(places[0][-rank:] if is_first else places[0][-rank - 1 : -1])


def _units(cell: Any) -> Units | None:
    """A unit is dead if nothing reaches its candidate state: then it stays zero, whatever its gates
    do.
    """
    weights = {variable.name: variable for variable in cell.weights}
    if not {"kernel", "recurrent_kernel"} <= set(weights):
        return None
    columns = weights["kernel"].shape[-1]
    gates = next((gates for kind, gates in GATES.items() if isinstance(cell, kind)), 4)
    count = columns // gates
    # The candidate is the third of an LSTM's four and the last of a GRU's three.
    start = 0 if gates == 1 else 2 * count

    def take(flags: np.ndarray) -> np.ndarray:
        return np.any(flags.reshape(-1, columns)[:, start : start + count], axis=0)

    made = [UnitPart(weights[name], "outputs", take) for name in ("kernel", "recurrent_kernel")]
    if "bias" in weights:
        made.append(UnitPart(weights["bias"], None, take))
    return Units(count, tuple(made))


register(layers.RNN, uses=_uses)
for _kind in GATES:
    register(_kind, units=_units)
for _kind in (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D):
    # Its cell has no public class.
    register(_kind, uses=_convolutional_uses, units=lambda layer: _units(layer.cell))
