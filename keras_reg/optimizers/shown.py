"""An optimizer as the constructor call that makes it."""

import inspect
from typing import Any


def shown(optimizer: Any) -> str:
    """The constructor call of an optimizer: the learning rate and what differs from the defaults.

    Example:
        >>> import keras
        >>> shown(keras.optimizers.SGD(0.05, momentum=0.9))
        'SGD(learning_rate=0.05, momentum=0.9)'
    """
    name = type(optimizer).__name__
    if type(optimizer).__repr__ is not object.__repr__:
        return repr(optimizer)
    if hasattr(optimizer, "optimizers"):
        return f"{name}({', '.join(shown(member) for member in optimizer.optimizers)})"
    try:
        config = optimizer.get_config()
    except Exception:  # In a step that is being traced, the learning rate has no value.
        return f"{name}(...)"
    return _call(name, _given(type(optimizer), config))


def _given(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    """The entries of a config that differ from the defaults, and the learning rate."""
    defaults = {key: p.default for key, p in inspect.signature(kind).parameters.items()}
    return {
        key: value
        for key, value in config.items()
        if key in defaults and key != "name" and (key == "learning_rate" or value != defaults[key])
    }


def _call(name: str, arguments: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={_text(value)}' for key, value in arguments.items())})"


def _text(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        given = {key: one for key, one in value["config"].items() if key != "name"}
        return _call(str(value.get("class_name")), given)
    if isinstance(value, float):
        return repr(float(f"{value:.7g}"))  # Keras keeps a learning rate in float32.
    return repr(value)
