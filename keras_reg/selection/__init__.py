"""Selection: how strong a penalty should be, and which inputs it keeps."""

import importlib
from typing import TYPE_CHECKING, Any

from keras_reg.selection.members import sklearn_part
from keras_reg.selection.path import path
from keras_reg.selection.paths import PathResults, paths
from keras_reg.selection.result import PathResult, Row
from keras_reg.selection.stability_result import StabilityResult
from keras_reg.selection.subsampling import stability

if TYPE_CHECKING:
    from keras_reg.selection.estimators import PathClassifier, PathRegressor

__all__ = [
    "PathClassifier",
    "PathRegressor",
    "PathResult",
    "PathResults",
    "Row",
    "StabilityResult",
    "path",
    "paths",
    "stability",
]


def __getattr__(name: str) -> Any:
    # They need scikit-learn, whose import takes a while.
    if name not in ("PathClassifier", "PathRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    sklearn_part("base")
    return getattr(importlib.import_module("keras_reg.selection.estimators"), name)
