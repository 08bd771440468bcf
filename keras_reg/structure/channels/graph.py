"""The calls that a model is made of, in order: layers and operations, with their arguments."""

import functools
import inspect
from typing import Any, NamedTuple

import keras
from keras import tree

from keras_reg.keras_private import unrecorded


class Node(NamedTuple):
    """One call of a layer or an operation.

    Args:
        operation: `keras.Operation`. Layers are operations.
        args: tuple. What it was called with; tensors are `KerasTensor`s of this graph.
        kwargs: dict.
        outputs: list of `KerasTensor`s.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[Any]


class Graph(NamedTuple):
    """The calls between inputs and outputs. The tensors are its own, not those of the model.

    Args:
        inputs: list of `KerasTensor`s.
        nodes: list of `Node`s, in order.
        outputs: structure of `KerasTensor`s; an opened layer may return numbers.
        variables: list of pairs. Of an opened layer, the tensors that stand for its variables.
        values: list of variables whose numbers its code used in other ways.
    """

    inputs: list[Any]
    nodes: list[Node]
    outputs: Any
    variables: Any = ()
    values: Any = ()


class NotReadableError(Exception):
    """A model or layer whose calls cannot be listed, and why."""


def is_graph(model: Any) -> bool:
    """Whether Keras keeps a graph for a model: a built Sequential or Functional one.

    Example:
        >>> is_graph(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
        True
    """
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        return False
    # A subclass of Model with a `call` of its own keeps none, or one that it need not follow.
    kinds = (keras.Sequential, functional_class())
    return any(type(model).call is kind.call for kind in kinds)


@functools.cache
def functional_class() -> Any:
    """The class of Functional models, which has no public name."""
    x = keras.Input((1,), name="input")
    return type(keras.Model(x, x, name="functional"))


def graph_of(model: Any, tensors: list[Any] | None = None) -> Graph:
    """Lists the calls of a model without touching it.

    Args:
        model: a model with a graph.
        tensors: list of `KerasTensor`s, to read it for other shapes than those it was made for.

    Example:
        >>> x = keras.Input((3,))
        >>> model = keras.Model(x, keras.ops.relu(keras.layers.Dense(2)(x)))
        >>> [type(node.operation).__name__ for node in graph_of(model).nodes]
        ['Dense', 'Relu']
    """
    return listed(model.inputs, model.outputs, tensors or model.inputs)


def graph_of_call(model: Any) -> Graph:
    """One call of a model that keeps no graph, on inputs like those that it was built on.

    Raises:
        ValueError: if its inputs are not known, or its code does not run on symbolic tensors.
    """
    shapes = (model.get_build_config() or {}).get("input_shape")
    if shapes is None:
        raise ValueError(
            "Expected a model that was built on one input, or a Sequential or Functional one. "
            f"Received: {model.name}, whose inputs are not known"
        )
    flat = tree.flatten(tree.map_shape_structure(keras.KerasTensor, shapes))
    inputs = [input_like(x, number) for number, x in enumerate(flat)]
    given = tree.pack_sequence_as(tree.map_shape_structure(keras.KerasTensor, shapes), inputs)
    with unrecorded(model):
        try:
            outputs = model.compute_output_spec(given)
        except Exception as error:  # What the code of a user's model raises is not known here.
            raise ValueError(
                "Expected a model whose `call` runs on symbolic tensors. "
                f"Received: {model.name}: {error}"
            ) from error
    return Graph(inputs, [Node(model, (given,), {}, tree.flatten(outputs))], outputs)


def listed(inputs: list[Any], outputs: list[Any], tensors: list[Any]) -> Graph:
    """The calls between tensors, as they are for other inputs of the same ranks."""
    nodes: list[Node] = []

    def record(operation: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs = accepted(operation, kwargs)
        results = _Seen(operation)(*args, **kwargs)
        nodes.append(Node(operation, args, kwargs, tree.flatten(results)))
        return results

    # A model of its own, since cloning would compile a copy of one that is compiled.
    plain = keras.Model(inputs, outputs, name="graph")
    clone = keras.models.clone_model(
        plain,
        input_tensors=[input_like(x, number) for number, x in enumerate(tensors)],
        clone_function=lambda operation: operation,
        call_function=record,
    )
    return Graph(clone.inputs, nodes, clone.outputs)


def accepted(operation: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments without `training` if the code takes none: Keras passes it on regardless."""
    if "training" not in kwargs:
        return kwargs
    names = inspect.signature(operation.call).parameters
    is_taken = "training" in names or any(one.kind is one.VAR_KEYWORD for one in names.values())
    return {name: value for name, value in kwargs.items() if is_taken or name != "training"}


def input_like(tensor: Any, number: int | str, shape: Any = None) -> Any:
    """An input for a graph, named so that the names of a user's next layers do not change."""
    shape = tensor.shape if shape is None else shape
    return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=f"channels_{number}")


class _Seen(keras.Operation):
    """Stands for an operation, so that no call is added to the operation itself."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        self._operation = operation

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self._operation.compute_output_spec(*args, **kwargs)
