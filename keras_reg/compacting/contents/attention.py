"""Attention: values that are constant, keys that say nothing, heads that nobody reads."""

from typing import Any

import keras
import numpy as np

from keras_reg.compacting.constants import along
from keras_reg.compacting.contents.elementwise import numbers
from keras_reg.compacting.contents.registry import for_layers
from keras_reg.compacting.reads import Need
from keras_reg.structure.channels.labels import Array
from keras_reg.structure.channels.rules.attention import inputs_of, parts_of

layers = keras.layers


@for_layers(layers.MultiHeadAttention, layers.GroupQueryAttention)
def attention(content: Any) -> list[Any]:
    """Heads that mix constants alone are constant; keys that are constant say nothing."""
    parts = parts_of(content.call)
    query, value, key = inputs_of(content.call)
    made = {
        name: _projected(content, parts, name, x)
        for name, x in (("query", query), ("key", key), ("value", value))
    }
    heads, sizes = (content.labels(parts["query/kernel"], axis) for axis in (1, 2))
    of_head = {name: np.repeat(one, len(heads) // len(one), axis=0) for name, one in made.items()}
    # Softmax does not see what is added to all keys alike.
    live = (of_head["query"] != 0) & np.isnan(of_head["key"])
    content.survey.needs.append(Need(sizes, heads, live.T))
    kernel, bias = parts["attention_output/kernel"], parts.get("attention_output/bias")
    columns = tuple(range(2, len(kernel.shape)))
    found = content.reads(kernel, (0, 1), columns, of_head["value"], bias)
    found = found if bias is None else found + numbers(bias)
    result, *scores = content.results
    # Weights that add up to 1 leave a constant what it is.
    known = found.reshape([1] * (result.rank - found.ndim) + list(found.shape))
    return [known, *(None for _ in scores)]


def _projected(content: Any, parts: dict[str, Any], name: str, x: Any) -> Array:
    """What is known of queries, keys or values: an array (heads, size)."""
    kernel, bias = parts[f"{name}/kernel"], parts.get(f"{name}/bias")
    found = content.reads(kernel, (0,), (1, 2), along(content.survey.known(x), -1), bias)
    return found if bias is None else found + numbers(bias)
