"""The layers of Keras, a file for each family. Importing it registers them."""

from keras_reg.structure.families import (
    attention,
    convolution,
    dense,
    normalization,
    recurrent,
    wrappers,
)

__all__ = ["attention", "convolution", "dense", "normalization", "recurrent", "wrappers"]
