"""Reports: what became zero."""

from keras_reg.report import plots
from keras_reg.report.lines import read_lines
from keras_reg.report.sparsity import LayerSparsity, SparsityTable, WeightSparsity, sparsity

__all__ = ["LayerSparsity", "SparsityTable", "WeightSparsity", "plots", "read_lines", "sparsity"]
