"""Attention with heads. Its projections are `EinsumDense` layers inside."""

from typing import Any

from keras import layers

from keras_reg.structure.graph import product
from keras_reg.structure.registry import Shape, register


def _uses(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    """Keys and values are made for each position that is read, the rest for each that asks."""
    query, value = (shapes * 2)[:2]
    read, written = product(value[1:-1]), product(query[1:-1])
    inner = layer._flatten_layers(include_self=False, recursive=False)
    return {one: read if one.name in ("key", "value") else written for one in inner}


def _scores(layer: Any, shapes: list[Shape]) -> int | None:
    """One head's scores and its weighted sum."""
    query, value = (shapes * 2)[:2]
    if isinstance(layer, layers.GroupQueryAttention):
        width = 2 * layer.head_dim
    else:
        width = layer.key_dim + layer.value_dim
    axes = getattr(layer, "attention_axes", None)
    read = range(1, len(query) - 1) if axes is None else [axis % len(query) for axis in axes]
    return product((*query[1:-1], *(value[axis] for axis in read), width))


for _kind in (layers.MultiHeadAttention, layers.GroupQueryAttention):
    register(_kind, uses=_uses, scores=_scores)
