"""Wrappers round Keras optimizers."""

from keras_reg.optimizers.proximal import Proximal

__all__ = ["Proximal"]
