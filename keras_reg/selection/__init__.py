"""Selection: how strong a penalty should be, and which inputs it keeps."""

from keras_reg.selection.path import path
from keras_reg.selection.paths import PathResults, paths
from keras_reg.selection.result import PathResult, Row
from keras_reg.selection.stability_result import StabilityResult
from keras_reg.selection.subsampling import stability

__all__ = [
    "PathResult",
    "PathResults",
    "Row",
    "StabilityResult",
    "path",
    "paths",
    "stability",
]
