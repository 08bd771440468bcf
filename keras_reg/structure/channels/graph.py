"""The calls that a model is made of, in order: layers and operations, with their arguments."""

from typing import Any, NamedTuple

import keras
from keras import tree

from keras_reg.keras_private import layers_in, unrecorded


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
    """The calls between inputs and outputs. The tensors are its own, not those of the model."""

    inputs: list[Any]
    nodes: list[Node]
    outputs: Any


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
    kinds = (keras.Sequential, type(_functional()))
    return any(type(model).call is kind.call for kind in kinds)


def _functional() -> keras.Model:
    """The smallest Functional model; its class has no public name."""
    x = keras.Input((1,), name="input")
    return keras.Model(x, x, name="functional")


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
    return _listed(model.inputs, model.outputs, tensors or model.inputs)


def _listed(inputs: list[Any], outputs: list[Any], tensors: list[Any]) -> Graph:
    nodes: list[Node] = []

    def record(operation: Any, *args: Any, **kwargs: Any) -> Any:
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


def input_like(tensor: Any, number: int, shape: Any = None) -> Any:
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


def opened(layer: Any, node: Node) -> Graph:
    """The calls that a layer's own `call` makes.

    The lengths that are not known, such as that of the batch, are set to numbers: channels do not
    depend on them.

    Raises:
        NotReadableError: if the code of `call` does not run on symbolic tensors.
    """
    if not all(one.built for one in layers_in(layer)):
        raise NotReadableError("a layer in it is not built")
    concrete: dict[int, Any] = {}
    for tensor in tree.flatten((node.args, node.kwargs)):
        if isinstance(tensor, keras.KerasTensor) and id(tensor) not in concrete:
            concrete[id(tensor)] = input_like(tensor, len(concrete), _known(tensor.shape))

    with unrecorded(layer):
        args, kwargs = tree.map_structure(
            lambda value: concrete.get(id(value), value), (node.args, node.kwargs)
        )
        try:
            with keras.StatelessScope():  # Nothing is assigned to a variable.
                outputs = tree.flatten(layer.call(*args, **kwargs))
        except Exception as error:  # What the code of a user's layer raises is not known here.
            raise NotReadableError(
                f"its call fails on symbolic tensors ({_first_line(error)})"
            ) from None
        if not concrete or not all(isinstance(x, keras.KerasTensor) for x in outputs):
            raise NotReadableError("its call returns what is no tensor of the graph")
        inputs = list(concrete.values())
        try:
            return _listed(inputs, outputs, inputs)
        except Exception as error:
            raise NotReadableError(f"its calls form no graph ({_first_line(error)})") from None


def _known(shape: Any) -> list[int]:
    """A shape with 2 for an unknown batch, 7 for any other unknown length."""
    unknown = [2] + [7] * len(shape)
    return [other if one is None else one for one, other in zip(shape, unknown, strict=False)]


def _first_line(error: Exception) -> str:
    """What went wrong, without what Keras adds about the arguments of a call."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered"):
        lines = lines[1:]
    return (lines or [type(error).__name__])[0].removeprefix("\x1b[1m").strip()[:80]
