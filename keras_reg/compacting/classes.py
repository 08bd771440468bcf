"""Classes of models: those that are made of their parts, as Sequential and Functional ones are."""

import inspect
import operator
from typing import Any

import keras
from keras import tree

from keras_reg.keras_private import layers_in

_NAMES = {"inputs", "outputs", "layers", "trainable", "name"}


def is_composed(model: Any) -> bool:
    """Whether the class of a model is made of inputs and outputs, or of layers, and nothing else.

    So are classes with a `train_step` of their own, as Keras's guides write them. Variables that a
    model holds itself are no such part.

    Example:
        >>> class Own(keras.Model):
        ...     def train_step(self, *args): ...
        >>> x = keras.Input((1,))
        >>> is_composed(Own(x, x)), is_composed(keras.Sequential([x]))
        (True, True)
    """
    if own_variables(model):
        return False
    arguments = list(inspect.signature(type(model).__init__).parameters.values())[1:]
    named = {one.name for one in arguments if one.kind is one.POSITIONAL_OR_KEYWORD}
    others = [one for one in arguments if one.name not in named]
    takes_any = any(one.kind is one.VAR_POSITIONAL for one in others)
    first = {"layers"} if isinstance(model, keras.Sequential) else {"inputs", "outputs"}
    are_loose = all(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in others)
    return are_loose and named <= _NAMES and (takes_any or first <= named)


def composed(model: Any, kind: Any, parts: tuple[Any, ...]) -> Any:
    """A model of a class, made of other parts than another.

    Raises:
        Exception: whatever the class raises; ValueError if it does something else with its parts.
    """
    small = kind(*parts, name=model.name)
    given = tree.flatten(parts[-1])
    if isinstance(small, keras.Sequential):
        held, given = small.layers, [one for one in given if isinstance(one, keras.Layer)]
    else:
        held = tree.flatten(small.outputs)
    if len(held) != len(given) or not all(map(operator.is_, held, given)):
        raise ValueError(f"{kind.__name__} does not keep what it is made of")
    return small


def own_variables(layer: Any) -> list[Any]:
    """The variables that a layer holds itself."""
    inner = {id(one) for other in layers_in(layer) for one in other.variables}
    return [one for one in layer.variables if id(one) not in inner]
