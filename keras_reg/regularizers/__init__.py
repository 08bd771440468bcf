"""Penalties: for a layer's `kernel_regularizer`, or for `keras_reg.optimizers.Proximal`."""

from keras_reg.regularizers.elastic_net import ElasticNet
from keras_reg.regularizers.group_lasso import GroupLasso
from keras_reg.regularizers.l1 import L1
from keras_reg.regularizers.l2 import L2
from keras_reg.regularizers.nuclear_norm import NuclearNorm
from keras_reg.regularizers.orthogonal import Orthogonal
from keras_reg.regularizers.penalty import Penalty
from keras_reg.regularizers.radial import RadialPenalty
from keras_reg.regularizers.spectral_norm import SpectralNorm

__all__ = [
    "L1",
    "L2",
    "ElasticNet",
    "GroupLasso",
    "NuclearNorm",
    "Orthogonal",
    "Penalty",
    "RadialPenalty",
    "SpectralNorm",
]
