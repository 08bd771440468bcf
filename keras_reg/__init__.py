"""Regularization for Keras 3: penalties, proximal training, scheduled dropout, reports."""

import importlib
from typing import TYPE_CHECKING, Any

from keras_reg import (
    callbacks,
    compacting,
    layers,
    ops,
    optimizers,
    regularizers,
    report,
    schedules,
    structure,
)
from keras_reg.attach import regularize
from keras_reg.compacting import compact
from keras_reg.report import sparsity
from keras_reg.structure.channels import channels

if TYPE_CHECKING:
    from keras_reg import evaluation, selection
    from keras_reg.evaluation import compare

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


def __getattr__(name: str) -> Any:
    # What training needs none of is imported when it is first asked for.
    if name in ("evaluation", "selection"):
        return importlib.import_module(f"keras_reg.{name}")
    if name == "compare":
        return importlib.import_module("keras_reg.evaluation").compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
