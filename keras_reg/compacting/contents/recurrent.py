"""Recurrent layers: a state is 0 for ever if it starts so and its candidate reads only zeros."""

from typing import Any

import keras
import numpy as np

from keras_reg.compacting.constants import along, applied, placed
from keras_reg.compacting.contents.elementwise import numbers
from keras_reg.compacting.contents.registry import for_layers
from keras_reg.compacting.reads import constant_columns
from keras_reg.structure.channels.labels import Array, Traced

layers = keras.layers

# Where the candidate stands among the gates of a kernel.
_CANDIDATE = {layers.LSTM: 2, layers.GRU: 2, layers.SimpleRNN: 0}


def _stored(layer: Any) -> list[Any]:
    states = keras.tree.flatten(layer.states) if layer.stateful else []
    return [one for one in states if isinstance(one, keras.Variable)]


def _states(content: Any, layer: Any, known: Array, starts: list[Array]) -> Array:
    """What is known of a layer's units: 0 or nothing."""
    cell, units = layer.cell, layer.units
    rows, bias = along(known, -1), cell.bias
    place = (0,) if bias is not None and len(bias.shape) == 2 else ()
    own = content.reads(cell.kernel, (0,), (1,), rows, bias, place)
    number = _CANDIDATE[next(kind for kind in _CANDIDATE if isinstance(layer, kind))]
    span = slice(number * units, (number + 1) * units)
    found = own[span] == 0
    if bias is not None:
        found &= np.all(numbers(bias).reshape(-1, own.size)[:, span] == 0, axis=0)
    for start in [*starts, *map(_stored_zeros, _stored(layer))]:
        found = found & (start == 0)
    if applied(cell.activation, content.dtype(), np.zeros(1))[0] != 0:
        found = found & False
    zero = _lasting(cell.recurrent_kernel, span, found)
    constant = np.where(zero, 0.0, np.nan)
    content.reads(cell.recurrent_kernel, (0,), (1,), constant)
    return constant


def _stored_zeros(state: Any) -> Array:
    return np.where(np.all(numbers(state) == 0, axis=0), 0.0, np.nan)


def _lasting(kernel: Any, span: slice, zero: Array) -> Array:
    """The largest set of zero states that read only one another."""
    while True:
        columns = constant_columns(kernel, (0,), (1,), np.where(zero, 0.0, np.nan))
        lasting = zero & (columns[span] == 0)
        if np.array_equal(lasting, zero):
            return zero
        zero = lasting


@for_layers(layers.LSTM, layers.GRU, layers.SimpleRNN)
def recurrent(content: Any) -> list[Array]:
    """Units that stay 0 from a start at 0."""
    known, *states = content.knowns
    starts = [along(state, -1) for state in states]
    units = _states(content, content.operation, known, starts)
    return [placed(x.rank, -1, units) for x in content.results]


@for_layers(layers.Bidirectional)
def bidirectional(content: Any) -> list[Any]:
    """Units of both directions, merged as the layer merges them."""
    layer, (known, *starts) = content.operation, content.knowns
    given = [np.full(1, np.nan)] if starts else []
    both = [
        _states(content, one, known, given) for one in (layer.forward_layer, layer.backward_layer)
    ]
    first = content.results[0].rank
    merged: dict[str, Any] = {
        "concat": lambda a, b: np.concatenate([a, b]),
        "sum": np.add,
        "ave": lambda a, b: (a + b) / 2,
        "mul": lambda a, b: np.where((a == 0) | (b == 0), 0.0, np.nan),
    }
    if layer.merge_mode not in merged:
        return [None for _ in content.results]
    others = [None for _ in content.results[1:]]
    return [placed(first, -1, merged[layer.merge_mode](*both)), *others]


@for_layers(layers.TimeDistributed)
def time_distributed(content: Any) -> list[Array]:
    """The layer inside, on one step."""
    x, shape = content.inputs[0], content.results[0].shape
    axes = [axis for axis in range(x.rank) if axis != 1]
    step = Traced((x.shape[0], *x.shape[2:]), {a - 1: one for a, one in x.others(1).items()})
    known = along(content.knowns[0], *axes)
    found = content.through(content.operation.layer, step, known, (shape[0], *shape[2:]))
    return [np.expand_dims(found, 1)]
