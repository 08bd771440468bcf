"""What calls do with constants, and which weights they read channels with: a file a family."""

from keras_reg.compacting.contents import (
    attention,
    convolutions,
    dense,
    elementwise,
    movements,
    products,
    recurrent,
)
from keras_reg.compacting.contents.registry import content_of

__all__ = [
    "attention",
    "content_of",
    "convolutions",
    "dense",
    "elementwise",
    "movements",
    "products",
    "recurrent",
]
