"""Reports: what became zero."""

from keras_reg.report import plots
from keras_reg.report.sparsity import LayerSparsity, SparsityTable, WeightSparsity, sparsity
from keras_reg.report.table import read_lines

__all__ = ["LayerSparsity", "SparsityTable", "WeightSparsity", "plots", "read_lines", "sparsity"]
