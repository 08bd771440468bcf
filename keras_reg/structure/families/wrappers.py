"""Layers that call the layer they are given."""

from typing import Any

from keras import layers

from keras_reg.structure.graph import product
from keras_reg.structure.registry import Shape, register, uses_of


def _bidirectional_uses(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    both = (layer.forward_layer, layer.backward_layer)
    return {one: number for inner in both for one, number in uses_of(inner, shapes).items()}


def _distributed_uses(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    batch, length, *rest = shapes[0]
    inner = uses_of(layer.layer, [(batch, *rest)])
    return {one: product((length, number)) for one, number in inner.items()}


register(layers.Bidirectional, uses=_bidirectional_uses)
register(layers.TimeDistributed, uses=_distributed_uses)
