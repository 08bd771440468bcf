"""Selection: how strong a penalty should be."""

from keras_reg.selection.paths import path
from keras_reg.selection.result import PathResult, Row

__all__ = ["PathResult", "Row", "path"]
