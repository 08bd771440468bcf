"""Callbacks: thin, they call the other parts of the package."""

from keras_reg.callbacks.sparsity_report import SparsityReport
from keras_reg.callbacks.target_sparsity import TargetSparsity

__all__ = ["SparsityReport", "TargetSparsity"]
