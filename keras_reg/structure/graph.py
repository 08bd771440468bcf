"""A model as its layers, the variables each of them owns, and its calls."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from keras_reg.keras_private import layers_in, nodes_of
from keras_reg.structure.registry import Shape


class Block(NamedTuple):
    """A layer as its model names it, with the layers inside it.

    Args:
        path: str. Its path, or its name if it has none.
        layer: `keras.layers.Layer`. A model only where it owns variables itself.
        owners: tuple of pairs: a layer, this one or one inside it, and the variables it owns.
    """

    path: str
    layer: Any
    owners: tuple[tuple[Any, tuple[Any, ...]], ...]


def blocks(model: Any) -> list[Block]:
    """The layers of a model and of the models in it, each once, with the variables they own.

    A layer that is made of layers, such as attention, is one block.

    Example:
        >>> inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a")])
        >>> outer = keras.Sequential([inner, keras.layers.ReLU(name="b")], name="outer")
        >>> [block.layer.name for block in blocks(outer)]
        ['a', 'b']
    """
    seen: set[int] = set()
    found = []
    for layer in _unfolded(model):
        owners = tuple(_owners(layer, seen))
        if owners or not isinstance(layer, keras.Model):
            found.append(Block(layer.path or layer.name, layer, owners))
    return found


def _unfolded(model: Any) -> Iterator[Any]:
    """A model's layers, those of the models in it in their place, and last the model itself."""
    if isinstance(model, keras.Model):
        for layer in model.layers:
            yield from _unfolded(layer)
    yield model


def _owners(layer: Any, seen: set[int]) -> Iterator[tuple[Any, tuple]]:
    """Each layer in a layer, innermost first, with the variables that no other has claimed."""
    for child in layers_in(layer, recursive=False):
        yield from _owners(child, seen)
    own = tuple(variable for variable in layer.weights if id(variable) not in seen)
    seen.update(id(variable) for variable in own)
    if own:
        yield layer, own


class Calls(NamedTuple):
    """What the graph of a model says about its layers, by the `id` of the layer.

    Args:
        shapes: for each layer its calls, each a list of the shapes of its inputs. A layer that is
            missing is called in code, which cannot be read.
        followers: for each layer whose output goes to one other layer alone, that layer.
    """

    shapes: dict[int, list[list[Shape]]]
    followers: dict[int, Any]


def calls(model: Any) -> Calls:
    """Reads the graph of a Sequential or Functional model, and of such models inside it.

    A model or layer with a `call` of its own is opaque.

    Example:
        >>> shared = keras.layers.Dense(4)
        >>> x = keras.Input((4,))
        >>> model = keras.Model(x, shared(shared(x)))
        >>> calls(model).shapes[id(shared)]
        [[(None, 4)], [(None, 4)]]
    """
    found = Calls({}, {})
    _read(model, found, times=1)
    return found


def _read(model: Any, found: Calls, times: int) -> None:
    """Adds the calls of a model's layers; `times` is how often the model is called itself."""
    models: dict[int, Any] = {}
    uses: dict[int, list[list[Shape]]] = {}
    # An output of the model is a use too.
    users: dict[int, list[Any]] = {id(tensor): [None] for tensor in _tensors(model, "outputs")}
    nodes = [node for node in _nodes(model) if not node.is_input]
    for node in nodes:
        layer, shapes = node.operation, [tuple(tensor.shape) for tensor in node.input_tensors]
        for tensor in node.input_tensors:
            users.setdefault(id(tensor), []).append(layer)
        if isinstance(layer, keras.Model):
            models[id(layer)] = layer
            uses.setdefault(id(layer), []).append(shapes)
        elif isinstance(layer, keras.layers.Layer):
            found.shapes.setdefault(id(layer), []).extend([shapes] * times)
    followers: dict[int, list[Any]] = {}
    for node in nodes:
        after = [user for tensor in node.outputs for user in users.get(id(tensor), [])]
        followers.setdefault(id(node.operation), []).extend(after)
    found.followers.update({key: after[0] for key, after in followers.items() if len(after) == 1})
    for key, inner in models.items():
        # Its own graph holds the shapes it was made for. Called on others it is left unknown.
        made = [tuple(tensor.shape)[1:] for tensor in _tensors(inner, "inputs")]
        if all([shape[1:] for shape in shapes] == made for shapes in uses[key]):
            _read(inner, found, times * len(uses[key]))


def _nodes(model: Any) -> list[Any]:
    """The calls in a model's graph; none where a `call` of its own may do something else."""
    owner = next((kind for kind in type(model).__mro__ if "call" in vars(kind)), object)
    return nodes_of(model) if owner.__module__.startswith("keras.") else []


def _tensors(model: Any, name: str) -> list[Any]:
    return getattr(model, name, None) or []


def _flat_shapes(shapes: Any) -> list[Shape]:
    if isinstance(shapes, dict):
        shapes = list(shapes.values())
    if all(length is None or isinstance(length, int) for length in shapes):
        return [tuple(shapes)]
    return [flat for shape in shapes for flat in _flat_shapes(shape)]


def output_shapes(layer: Any, shapes: list[Shape]) -> list[Shape]:
    """The shapes of a layer's outputs; none if it cannot tell.

    Example:
        >>> output_shapes(keras.layers.Flatten(), [(None, 2, 3)])
        [(None, 6)]
    """
    try:
        return _flat_shapes(layer.compute_output_shape(*shapes))
    except Exception:  # What code of a user's layer raises is not known here.
        return []


def product(lengths: Any) -> int | None:
    """The product of lengths, None if one is unknown.

    Example:
        >>> product((2, 3)), product((2, None))
        (6, None)
    """
    return None if None in lengths else math.prod(lengths)


def total(numbers: list) -> int | None:
    """The sum of numbers, None if one is unknown.

    Example:
        >>> total([1, 2]), total([1, None])
        (3, None)
    """
    return None if None in numbers else sum(numbers)
