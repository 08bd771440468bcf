"""Regularization for Keras 3: penalties, proximal training, scheduled dropout, reports."""

from keras_reg import (
    callbacks,
    compacting,
    evaluation,
    layers,
    ops,
    optimizers,
    regularizers,
    report,
    schedules,
    selection,
    structure,
)
from keras_reg.attach import regularize
from keras_reg.compacting import compact
from keras_reg.evaluation import compare
from keras_reg.report import sparsity
from keras_reg.structure.channels import channels

__version__ = "0.1.0"

__all__ = [
    "callbacks",
    "channels",
    "compact",
    "compacting",
    "compare",
    "evaluation",
    "layers",
    "ops",
    "optimizers",
    "regularize",
    "regularizers",
    "report",
    "schedules",
    "selection",
    "sparsity",
    "structure",
]
