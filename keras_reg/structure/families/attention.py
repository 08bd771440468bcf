"""Attention with heads. Its projections are `EinsumDense` layers inside."""

import functools
from typing import Any

import numpy as np
from keras import layers, ops

from keras_reg.keras_private import layers_in
from keras_reg.structure.graph import product
from keras_reg.structure.registry import Shape, register
from keras_reg.structure.units import UnitPart, Units


def _uses(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    """Keys and values are made for each position that is read, the rest for each that asks."""
    query, value = (shapes * 2)[:2]
    read, written = product(value[1:-1]), product(query[1:-1])
    inner = layers_in(layer, recursive=False)
    return {one: read if one.name in ("key", "value") else written for one in inner}


def positions(layer: Any, query: Shape, value: Shape) -> int | None:
    """How many pairs of a position that asks and one that is read, None if a length is unknown.

    Args:
        layer: attention with heads.
        query: shape of what asks, with the batch axis.
        value: shape of what is read.
    """
    axes = getattr(layer, "attention_axes", None)
    read = range(1, len(query) - 1) if axes is None else [axis % len(query) for axis in axes]
    return product((*query[1:-1], *(value[axis] for axis in read)))


def has_one_size(layer: Any, anywhere: bool = False) -> bool:
    """Whether the sizes of keys and of values must be the same.

    `GroupQueryAttention` holds one number for both. `MultiHeadAttention` calls a kernel of the
    backend that may want them so, unless it drops scores while it trains.

    Args:
        layer: attention with heads.
        anywhere: bool. Whether on some backend, not on the one that runs.

    Example:
        >>> dropping = layers.MultiHeadAttention(2, 4, dropout=0.1)
        >>> has_one_size(layers.MultiHeadAttention(2, 4), True), has_one_size(dropping, True)
        (True, False)
    """
    if isinstance(layer, layers.GroupQueryAttention):
        return True
    return not layer.get_config()["dropout"] and (anywhere or _attends_with_one_size())


@functools.cache
def _attends_with_one_size() -> bool:
    """Whether the backend's kernel fails for values of another size than that of keys, as JAX's."""
    key, value = ops.ones((1, 1, 1, 2)), ops.ones((1, 1, 1, 1))
    try:
        ops.dot_product_attention(key, key, value)
    except Exception:  # What a backend raises is not known here.
        return True
    return False


def _scores(layer: Any, shapes: list[Shape]) -> int | None:
    """One head's scores and its weighted sum."""
    query, value = (shapes * 2)[:2]
    if isinstance(layer, layers.GroupQueryAttention):
        width = 2 * layer.head_dim
    else:
        width = layer.key_dim + layer.value_dim
    return product((positions(layer, query, value), width))


def _heads(layer: Any) -> Units | None:
    """A head needs its part of the value kernel or bias, and of the output kernel."""
    inner = layers_in(layer, recursive=False)
    named = {f"{one.name}/{v.name}": v for one in inner for v in one.weights}
    value, output = named.get("value/kernel"), named.get("attention_output/kernel")
    if value is None or output is None:
        return None  # A subclass that names its layers in its own way.
    count = layer.num_heads if hasattr(layer, "num_heads") else layer.num_query_heads
    value_heads = value.shape[-2]

    def made(flags: np.ndarray) -> np.ndarray:
        return np.repeat(flags.reshape(value_heads, -1).any(axis=1), count // value_heads)

    def read(flags: np.ndarray) -> np.ndarray:
        return np.any(flags.reshape(count, -1), axis=1)

    parts = [UnitPart(value, "outputs", made)]
    if "value/bias" in named:
        parts.append(UnitPart(named["value/bias"], None, made))
    return Units(count, tuple(parts), (UnitPart(output, "inputs", read),))


for _kind in (layers.MultiHeadAttention, layers.GroupQueryAttention):
    register(_kind, uses=_uses, scores=_scores, heads=_heads)
# One for the kernels of all projections, and one for their biases.
register(
    layers.MultiHeadAttention,
    regularizers={"kernel": "_kernel_regularizer", "bias": "_bias_regularizer"},
)
