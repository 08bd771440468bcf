"""A smaller model with the same outputs: channels that change nothing are removed."""

import importlib
from typing import TYPE_CHECKING, Any

from keras_reg.compacting import in_place as in_place

if TYPE_CHECKING:
    from keras_reg.compacting.smaller import compact
    from keras_reg.compacting.summary import Compaction, Resized, Stays, removable

__all__ = ["Compaction", "Resized", "Stays", "compact", "removable"]


def __getattr__(name: str) -> Any:
    # `load_model` needs the classes in `in_place` alone; the rest comes when it is asked for.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file = "smaller" if name == "compact" else "summary"
    return getattr(importlib.import_module(f"{__name__}.{file}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
