"""Dense, EinsumDense, Embedding: a constant unit is one whose weights read constants alone."""

from typing import Any

import keras
import numpy as np

from keras_reg.compacting.constants import along, placed
from keras_reg.compacting.contents.elementwise import activated, numbers
from keras_reg.compacting.contents.registry import for_layers
from keras_reg.structure.channels.labels import Array
from keras_reg.structure.channels.rules.dense import letters_of

layers = keras.layers


def bias_of(layer: Any) -> Any:
    """Where constants may be added: the bias, or the layer if it may get one."""
    return layer if layer.bias is None else layer.bias


def added(found: Array, bias: Any) -> Array:
    """With the bias, if there is one."""
    return found if bias is None else found + numbers(bias)


@for_layers(layers.Dense)
def dense(content: Any) -> list[Array]:
    """A unit is constant if all that it reads is."""
    layer, known = content.operation, content.knowns[0]
    found = content.reads(layer.kernel, (0,), (1,), along(known, -1), bias_of(layer))
    return [activated(content, placed(known.ndim, -1, added(found, layer.bias)))]


@for_layers(layers.Embedding)
def embedding(content: Any) -> list[Array]:
    """A channel is constant if it is the same in every row of the table."""
    table = numbers(content.operation.embeddings)
    same = np.where(np.all(table == table[:1], axis=0), table[0], np.nan)
    return [placed(content.results[0].rank, -1, same)]


@for_layers(layers.EinsumDense)
def einsum_dense(content: Any) -> list[Array]:
    """A dense layer over several axes; the bias takes constants where it has all outputs."""
    layer, x, result = content.operation, content.inputs[0], content.results[0]
    data, weights, output = letters_of(layer.equation, x.rank, result.rank)
    rows = [axis for axis, letter in enumerate(weights) if letter not in output]
    columns = [axis for axis, letter in enumerate(weights) if letter in output]
    shared = [letter for letter in weights if letter in data and letter in output]
    constant = along(content.knowns[0], *(data.index(weights[axis]) for axis in rows))
    # A channel that passes has constants of its own; they are not followed.
    constant = np.full_like(constant, np.nan) if shared else constant
    letters = [weights[axis] for axis in columns]
    order = sorted(range(len(letters)), key=lambda at: output.index(letters[at]))
    lengths = [layer.kernel.shape[columns[at]] for at in order]
    has_all = layer.bias is not None and int(np.prod(layer.bias.shape)) == int(np.prod(lengths))
    straight = order == list(range(len(letters)))
    bias = layer.bias if has_all and straight else None
    found = content.reads(layer.kernel, tuple(rows), tuple(columns), constant, bias)
    shape = [1] * result.rank
    for at, length in zip(order, lengths, strict=True):
        shape[output.index(letters[at])] = length
    known = np.transpose(found, order).reshape(shape)
    if layer.bias is not None:
        known = known + numbers(layer.bias)
    return [activated(content, known)]
