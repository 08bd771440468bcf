"""The rule of each call: how channels go through a layer or a plain operation."""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_reg.structure.registry import register, registered

Rule = Callable[[Any], Any]

# What a subclass may change without changing what the layer computes.
_HARMLESS = ("__init__", "get_config", "from_config", "get_build_config", "build_from_config")


class RuleBook:
    """Rules for layers, by class, and for operations of `keras.ops`, by the names of their classes.

    Args:
        keep: takes a class of layers and its rule.
    """

    def __init__(self, keep: Callable[[type, Rule], None]) -> None:
        self.operations: dict[str, Rule] = {}
        self._keep = keep

    def for_layers(self, *kinds: type) -> Callable[[Rule], Rule]:
        """Registers a rule for classes of layers."""

        def add(rule: Rule) -> Rule:
            for kind in kinds:
                self._keep(kind, rule)
            return rule

        return add

    def for_operations(self, *names: str) -> Callable[[Rule], Rule]:
        """Registers a rule for operations of `keras.ops`, by the names of their classes."""

        def add(rule: Rule) -> Rule:
            self.operations.update(dict.fromkeys(names, rule))
            return rule

        return add


_BOOK = RuleBook(lambda kind, rule: register(kind, channels=rule))
for_layers, for_operations = _BOOK.for_layers, _BOOK.for_operations


def channels_rule(operation: Any) -> Rule | None:
    """The rule of a layer or operation, None if it has none.

    A subclass that overrides what its parent computes does not inherit the rule.
    """
    kind = type(operation)
    if not isinstance(operation, keras.layers.Layer):
        is_of_keras = kind.__module__.partition(".")[0] == "keras"
        return _BOOK.operations.get(kind.__name__) if is_of_keras else None
    base, rule = registered(operation, "channels")
    return None if base is None or _recomputes(kind, base) else rule


def _recomputes(kind: type, base: type) -> bool:
    """Whether a subclass overrides a method that its base has."""
    between = kind.__mro__[: kind.__mro__.index(base)]
    return any(
        inspect.isroutine(value) and hasattr(base, name) and not _is_harmless(name)
        for one in between
        for name, value in vars(one).items()
    )


def _is_harmless(name: str) -> bool:
    is_special = name.startswith("__") and name != "__call__"
    return name in _HARMLESS or is_special
