"""Pure functions, tensor in, tensor out, that XLA compiles for CPU, GPU and TPU."""

from keras_reg.ops.backend import compiled
from keras_reg.ops.blocks import largest_along
from keras_reg.ops.noise import dropout
from keras_reg.ops.norms import group_norms, group_size, safe_norm
from keras_reg.ops.prox import capped_soft_threshold, shrink_norms, soft_threshold
from keras_reg.ops.random import uniform
from keras_reg.ops.ranks import largest, largest_of_all

__all__ = [
    "capped_soft_threshold",
    "compiled",
    "dropout",
    "group_norms",
    "group_size",
    "largest",
    "largest_along",
    "largest_of_all",
    "safe_norm",
    "shrink_norms",
    "soft_threshold",
    "uniform",
]
