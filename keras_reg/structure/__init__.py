"""What a model is made of: its graph, what each layer is, and the variables that patterns name."""

from keras_reg.structure import channels
from keras_reg.structure import families as families
from keras_reg.structure.kept_regularizers import (
    KeptRegularizer,
    RegularizerAttribute,
    regularizer_attributes,
    why_lost,
)
from keras_reg.structure.layout import Layout, kernels_of, layout_of
from keras_reg.structure.registry import register
from keras_reg.structure.units import UnitPart, Units, output_units
from keras_reg.structure.weights import check_pattern, is_kernel, match, path_of
from keras_reg.structure.weights import names_once as names_once

__all__ = [
    "KeptRegularizer",
    "Layout",
    "RegularizerAttribute",
    "UnitPart",
    "Units",
    "channels",
    "check_pattern",
    "is_kernel",
    "kernels_of",
    "layout_of",
    "match",
    "output_units",
    "path_of",
    "register",
    "regularizer_attributes",
    "why_lost",
]
