"""Wrappers round Keras optimizers."""

from keras_reg.optimizers.fixed_support import FixedSupport
from keras_reg.optimizers.proximal import Proximal

__all__ = ["FixedSupport", "Proximal"]
