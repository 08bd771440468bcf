"""Reports: what became zero."""

from keras_reg.report.sparsity import SparsityTable, WeightSparsity, sparsity

__all__ = ["SparsityTable", "WeightSparsity", "sparsity"]
