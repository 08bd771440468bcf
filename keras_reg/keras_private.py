"""The private names of Keras that this package reads, each with the reason why nothing public does.

`tests/test_keras_private.py` holds what is expected of every one of them.
"""

import contextlib
from collections.abc import Iterator
from typing import Any


def layers_in(layer: Any, recursive: bool = True) -> list[Any]:
    """The layers inside a layer, without itself; with `recursive` those inside them too.

    `Model.layers` is public, but a `Layer` that holds layers has no such list.
    """
    return list(layer._flatten_layers(include_self=False, recursive=recursive))


def nodes_of(model: Any) -> list[Any]:
    """The calls in the graph of a Functional model or of a built Sequential, in their order.

    Each has `operation`, `input_tensors`, `outputs` and `is_input`. A model without a graph has
    none. The config of a model holds its graph too, but writing it imports TensorFlow on every
    backend, which takes seconds, and fails where one layer cannot write itself down.
    """
    graph = getattr(model, "_functional", None) or model
    by_depth = getattr(graph, "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


@contextlib.contextmanager
def unrecorded(layer: Any) -> Iterator[None]:
    """Takes back what calls on symbolic tensors leave behind in a layer and those inside it.

    A layer keeps a list of its calls, and of what reads them, that only grows.
    """
    kept = [
        (values, list(values))
        for one in [layer, *layers_in(layer)]
        for values in (one._inbound_nodes, one._outbound_nodes)
    ]
    try:
        yield
    finally:
        for values, before in kept:
            values[:] = before
