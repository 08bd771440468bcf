"""Schedules: a step in, a value out, inside the compiled training step.

One schedule serves as a rate, a strength or a learning rate, and so do those of
`keras.optimizers.schedules` and any function of the step written in `keras.ops`.
"""

from keras_reg.schedules.checks import (
    Function,
    Value,
    check_count,
    check_number,
    check_value,
    evaluate,
    serialize,
    shown,
)
from keras_reg.schedules.depth import Scaled, by_depth
from keras_reg.schedules.phases import Curriculum, Cyclic, Early, Late
from keras_reg.schedules.picture import plot
from keras_reg.schedules.ramps import Cosine, Exponential, Linear, Polynomial

__all__ = [
    "Cosine",
    "Curriculum",
    "Cyclic",
    "Early",
    "Exponential",
    "Function",
    "Late",
    "Linear",
    "Polynomial",
    "Scaled",
    "Value",
    "by_depth",
    "check_count",
    "check_number",
    "check_value",
    "evaluate",
    "plot",
    "serialize",
    "shown",
]
