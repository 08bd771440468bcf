"""The layers that a model is made of, and the variables that each of them owns."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

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
