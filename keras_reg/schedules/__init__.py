"""Schedules: a step in, a value out, inside the compiled training step.

One schedule serves as a rate, a strength or a learning rate, and so do those of
`keras.optimizers.schedules` and any function of the step written in `keras.ops`.
"""

from keras_reg.schedules.depth import Scaled, by_depth
from keras_reg.schedules.drawing import plot
from keras_reg.schedules.phases import Curriculum, Cyclic, Early, Late
from keras_reg.schedules.ramps import Cosine, Exponential, Linear, Polynomial

# Not public: for the other subpackages.
from keras_reg.schedules.value import Checked as Checked
from keras_reg.schedules.value import Function, Value
from keras_reg.schedules.value import check_count as check_count
from keras_reg.schedules.value import check_flag as check_flag
from keras_reg.schedules.value import check_number as check_number
from keras_reg.schedules.value import check_value as check_value
from keras_reg.schedules.value import evaluate as evaluate
from keras_reg.schedules.value import serialize as serialize
from keras_reg.schedules.value import shown as shown

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
    "plot",
]
