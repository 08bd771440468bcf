"""Penalties: for a layer's `kernel_regularizer`, or for `keras_reg.optimizers.Proximal`."""

from keras_reg.regularizers.capped_l1 import CappedL1
from keras_reg.regularizers.elastic_net import ElasticNet
from keras_reg.regularizers.exclusive_lasso import ExclusiveLasso
from keras_reg.regularizers.group_lasso import GroupLasso
from keras_reg.regularizers.group_linf import GroupLInf
from keras_reg.regularizers.hoyer_square import HoyerSquare
from keras_reg.regularizers.l0 import L0
from keras_reg.regularizers.l1 import L1
from keras_reg.regularizers.l2 import L2
from keras_reg.regularizers.l2_sp import L2SP
from keras_reg.regularizers.log_sum import LogSum
from keras_reg.regularizers.lq import Lq
from keras_reg.regularizers.mcp import MCP
from keras_reg.regularizers.nm import NM
from keras_reg.regularizers.nuclear_norm import NuclearNorm
from keras_reg.regularizers.orthogonal import Orthogonal
from keras_reg.regularizers.penalty import Penalty
from keras_reg.regularizers.projection import Projection
from keras_reg.regularizers.radial import RadialPenalty
from keras_reg.regularizers.scad import SCAD
from keras_reg.regularizers.slope import SLOPE
from keras_reg.regularizers.sparse_group_lasso import SparseGroupLasso
from keras_reg.regularizers.spectral_norm import SpectralNorm
from keras_reg.regularizers.top_k import TopK
from keras_reg.regularizers.total_variation import TotalVariation
from keras_reg.regularizers.trimmed import Trimmed

__all__ = [
    "L0",
    "L1",
    "L2",
    "L2SP",
    "MCP",
    "NM",
    "SCAD",
    "SLOPE",
    "CappedL1",
    "ElasticNet",
    "ExclusiveLasso",
    "GroupLInf",
    "GroupLasso",
    "HoyerSquare",
    "LogSum",
    "Lq",
    "NuclearNorm",
    "Orthogonal",
    "Penalty",
    "Projection",
    "RadialPenalty",
    "SparseGroupLasso",
    "SpectralNorm",
    "TopK",
    "TotalVariation",
    "Trimmed",
]
