"""The rule of each class: what comes out of constants, and what reads them."""

from collections.abc import Callable
from typing import Any

import keras

from keras_reg.structure.channels.registry import RuleBook
from keras_reg.structure.registry import registered

Rule = Callable[[Any], list[Any]]

_LAYERS: dict[type, Rule] = {}
_BOOK = RuleBook(_LAYERS.__setitem__)
for_layers, for_operations = _BOOK.for_layers, _BOOK.for_operations


def content_of(operation: Any) -> Rule | None:
    """The rule of a layer or operation, None if it has none.

    A class that has a rule for its channels of its own must have one here, too, or one that
    `register` was given.
    """
    if not isinstance(operation, keras.layers.Layer):
        return _BOOK.operations.get(type(operation).__name__)
    kind, _ = registered(operation, "channels")
    if kind is None:
        return None
    if kind in _LAYERS:
        return _LAYERS[kind]
    base, rule = registered(operation, "constants")
    return rule if base is kind else None
