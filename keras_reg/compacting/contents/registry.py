"""The rule of each class: what comes out of constants, and what reads them."""

from collections.abc import Callable
from typing import Any

import keras

from keras_reg.structure.registry import registered

Rule = Callable[[Any], list[Any]]

_LAYERS: dict[type, Rule] = {}
_OPERATIONS: dict[str, Rule] = {}


def for_layers(*kinds: type) -> Callable[[Rule], Rule]:
    """Registers a rule for classes of layers."""

    def add(rule: Rule) -> Rule:
        _LAYERS.update(dict.fromkeys(kinds, rule))
        return rule

    return add


def for_operations(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for operations of `keras.ops`, by the names of their classes."""

    def add(rule: Rule) -> Rule:
        _OPERATIONS.update(dict.fromkeys(names, rule))
        return rule

    return add


def content_of(operation: Any) -> Rule | None:
    """The rule of a layer or operation, None if it has none.

    A class that has a rule for its channels of its own must have one here, too.
    """
    if not isinstance(operation, keras.layers.Layer):
        return _OPERATIONS.get(type(operation).__name__)
    kind, _ = registered(operation, "channels")
    return None if kind is None else _LAYERS.get(kind)
