"""Regularization for Keras 3: penalties, proximal training, scheduled dropout, reports."""

import importlib
from typing import TYPE_CHECKING, Any

from keras_reg import layers, ops, optimizers, regularizers, schedules, structure
from keras_reg.attach import regularize
from keras_reg.compacting import in_place as in_place
from keras_reg.structure.channels import channels

if TYPE_CHECKING:
    from keras_reg import callbacks, compacting, evaluation, report, selection
    from keras_reg.compacting import compact
    from keras_reg.evaluation.compare import compare
    from keras_reg.report.sparsity import sparsity

__version__ = "0.1.0"

__all__ = [
    "callbacks",
    "channels",
    "compact",
    "compacting",
    "compare",
    "evaluation",
    "layers",
    "ops",
    "optimizers",
    "regularize",
    "regularizers",
    "report",
    "schedules",
    "selection",
    "sparsity",
    "structure",
]


# What is imported when it is first asked for: a model that is loaded needs no class in there.
_SUBPACKAGES = ("callbacks", "compacting", "evaluation", "report", "selection")
_FUNCTIONS = {"compact": "compacting", "compare": "evaluation", "sparsity": "report"}


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"keras_reg.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"keras_reg.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
