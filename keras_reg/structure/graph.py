"""A model as its layers, the variables each of them owns, and its calls, read by public means."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from keras_reg.structure.registry import Shape
from keras_reg.structure.weights import is_kernel


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


def is_counted(layer: Any, variable: Any) -> bool:
    """Whether a report counts a variable: a kernel, or one that `quantize("int8")` made of it.

    Other modes of quantization pack several weights into a byte.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> layer.quantize("int8")
        >>> [is_counted(layer, weight) for weight in (layer.kernel, layer.bias, layer.kernel_scale)]
        [True, False, False]
    """
    if is_kernel(variable):
        return True
    mode = getattr(layer, "quantization_mode", None)
    is_int8 = keras.backend.standardize_dtype(variable.dtype) == "int8"
    return mode == "int8" and is_int8 and len(variable.shape) >= 2


def _unfolded(model: Any) -> Iterator[Any]:
    """A model's layers, those of the models in it in their place, and last the model itself."""
    if isinstance(model, keras.Model):
        for layer in model.layers:
            yield from _unfolded(layer)
    yield model


def _owners(layer: Any, seen: set[int]) -> Iterator[tuple[Any, tuple]]:
    """Each layer in a layer, innermost first, with the variables that no other has claimed."""
    for child in layer._flatten_layers(include_self=False, recursive=False):
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

    Only public means are used: the nodes that a config holds and `compute_output_shape`. A model or
    layer with a `call` of its own is opaque.

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
    for layer, shapes in _calls_of(model, found):
        if isinstance(layer, keras.Model):
            models[id(layer)] = layer
            uses.setdefault(id(layer), []).append(shapes)
        else:
            found.shapes.setdefault(id(layer), []).extend([shapes] * times)
    for key, inner in models.items():
        # Its own graph holds the shapes it was made for. Called on others it is left unknown.
        if all(_same(shapes, _input_shapes(inner)) for shapes in uses[key]):
            _read(inner, found, times * len(uses[key]))


def _calls_of(model: Any, found: Calls) -> list[tuple[Any, list[Shape]]]:
    if isinstance(model, keras.Sequential):
        return list(_sequential(model, found))
    if isinstance(model, keras.Model):
        return list(_functional(model, found))
    return []


def _sequential(model: Any, found: Calls) -> Iterator[tuple[Any, list[Shape]]]:
    shapes = _input_shapes(model)
    for layer, following in zip(model.layers, [*model.layers[1:], None], strict=True):
        if len(shapes) != 1:
            return
        yield layer, shapes
        if following is not None:
            found.followers[id(layer)] = following
        shapes = output_shapes(layer, shapes) or _recorded(layer)


def _recorded(layer: Any) -> list[Shape]:
    """The shape that a layer had where it was first called."""
    try:
        return [tuple(layer.output.shape)]
    except AttributeError:
        return []


def _functional(model: Any, found: Calls) -> Iterator[tuple[Any, list[Shape]]]:
    try:
        config = model.get_config()
    except (NotImplementedError, TypeError, ValueError):
        return  # A layer that cannot write itself down.
    if "output_layers" not in config:
        return  # A subclass of Model with a `call` of its own.
    layers = {layer.name: layer for layer in model.layers}
    # An output of the model is a use too.
    used: dict[str, list[Any]] = {name: [None] for name in _names(config["output_layers"])}
    for entry in config["layers"]:
        layer = layers.get(entry["name"])
        for node in entry["inbound_nodes"]:
            tensors = list(_tensors(node))
            for tensor in tensors:
                used.setdefault(tensor["keras_history"][0], []).append(layer)
            if layer is not None:
                yield layer, [tuple(tensor["shape"]) for tensor in tensors]
    for name, users in used.items():
        if name in layers and len(users) == 1 and users[0] is not None:
            found.followers[id(layers[name])] = users[0]


def _tensors(node: Any) -> Iterator[dict]:
    """The tensors among the arguments of a call in a config."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]
        else:
            for value in node.values():
                yield from _tensors(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _tensors(value)


def _names(outputs: Any) -> Iterator[str]:
    """The names in the nested `[layer, node, tensor]` of a config."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if outputs and isinstance(outputs[0], str):
        yield outputs[0]
    else:
        for output in outputs:
            yield from _names(output)


def _input_shapes(model: Any) -> list[Shape]:
    try:
        return _flat_shapes(model.input_shape)
    except AttributeError:
        return []  # Built by a call on data: there is no graph.


def _flat_shapes(shapes: Any) -> list[Shape]:
    if isinstance(shapes, dict):
        shapes = list(shapes.values())
    if all(length is None or isinstance(length, int) for length in shapes):
        return [tuple(shapes)]
    return [flat for shape in shapes for flat in _flat_shapes(shape)]


def _same(called: list[Shape], made: list[Shape]) -> bool:
    return [shape[1:] for shape in called] == [shape[1:] for shape in made]


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
