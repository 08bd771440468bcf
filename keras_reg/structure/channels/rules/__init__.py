"""One file of rules for each family of layers; importing this registers them."""

from keras_reg.structure.channels.rules import (
    attention,
    convolutions,
    dense,
    elementwise,
    movements,
    normalizations,
    products,
    recurrent,
    reductions,
)

__all__ = [
    "attention",
    "convolutions",
    "dense",
    "elementwise",
    "movements",
    "normalizations",
    "products",
    "recurrent",
    "reductions",
]
