"""Attention: heads, the size of keys and queries, and the size of values, each by itself."""

from typing import Any

import keras
import numpy as np

from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.registry import for_layers
from keras_reg.structure.families.attention import has_one_size, positions

layers = keras.layers


@for_layers(layers.MultiHeadAttention)
def multi_head(call: Any) -> list[Traced]:
    """Heads, the size of keys, and the size of values."""
    parts = parts_of(call)
    heads = call.makes(parts["query/kernel"], 1)
    return _attention(call, parts, heads, heads)


@for_layers(layers.GroupQueryAttention)
def group_query(call: Any) -> list[Traced]:
    """The query heads that share a key head go with it."""
    layer, parts = call.operation, parts_of(call)
    heads = call.makes(parts["query/kernel"], 1)
    shared = heads[:: layer.num_query_heads // layer.num_key_value_heads]
    call.join(heads, np.repeat(shared, len(heads) // len(shared)))
    results = _attention(call, parts, heads, shared)
    call.as_many((parts["query/kernel"], 0), (parts["attention_output/kernel"], 2))
    return results


def parts_of(call: Any) -> dict[str, Any]:
    """The variables by the names of the layers inside and their own."""
    layer = call.operation
    parts = {"/".join(one.path.split("/")[-2:]): one for one in layer.weights}
    known = {
        f"{inner}/{name}"
        for inner in ("query", "key", "value", "attention_output")
        for name in ("kernel", "bias")
    }
    if not set(parts) <= known:
        raise ValueError(f"variables {sorted(set(parts) - known)}")
    return parts


def _attention(call: Any, parts: dict[str, Any], heads: Array, shared: Array) -> list[Traced]:
    """Binds heads and sizes to the kernels of queries, keys and values."""
    query, value, key = inputs_of(call)
    sizes = call.makes(parts["query/kernel"], 2)
    values = call.makes(parts["value/kernel"], 2)
    if has_one_size(call.operation) and len(sizes) == len(values):
        call.as_many((parts["query/kernel"], 2), (parts["value/kernel"], 2))
    sides = (
        ("query", query, heads, sizes),
        ("key", key, shared, sizes),
        ("value", value, shared, values),
    )
    for name, x, of_head, size in sides:
        kernel, bias = parts[f"{name}/kernel"], parts.get(f"{name}/bias")
        call.reads(kernel, 0, x.on(-1))
        call.carries(kernel, 1, of_head)
        call.carries(kernel, 2, size)
        if bias is not None:
            call.carries(bias, 0, of_head)
            call.carries(bias, 1, size)
        call.pin(x, f"{call.name} attends over them", x.others(-1))
    results = _outputs(call, parts, heads, values, query)
    uses = positions(call.operation, query.shape, value.shape)
    call.scores(uses, *((parts["query/kernel"], axis) for axis in (1, 2)))
    call.scores(uses, *((parts["attention_output/kernel"], axis) for axis in (0, 1)))
    return results


def _outputs(
    call: Any, parts: dict[str, Any], heads: Array, values: Array, query: Traced
) -> list[Traced]:
    """The result, read over heads and values, and the scores."""
    kernel, bias = parts["attention_output/kernel"], parts.get("attention_output/bias")
    call.reads(kernel, 0, heads)
    call.reads(kernel, 1, values)
    made = [call.makes(kernel, axis) for axis in range(2, len(kernel.shape))]
    if bias is not None:
        for axis, labels in enumerate(made):
            call.carries(bias, axis, labels)
    axes = {axis - len(made): labels for axis, labels in enumerate(made)}
    results = [Traced(call.outputs[0], axes)]
    if len(call.outputs) > 1:
        results.append(Traced(call.outputs[1], {1: heads}))
    return results


def inputs_of(call: Any) -> tuple[Traced, Traced, Traced]:
    """Query, value and key, which is the value where none is given."""
    names = ("query", "value", "key")
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    unknown = [
        name for name, value in given.items() if isinstance(value, Traced) and name not in names
    ]
    if unknown:
        raise ValueError(f"tensors as {unknown}")
    key = given.get("key")
    return given["query"], given["value"], given["value"] if key is None else key
