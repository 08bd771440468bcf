"""Reports: what became zero."""

from keras_reg.report.lines import read_lines
from keras_reg.report.sparsity import LayerSparsity, SparsityTable, WeightSparsity, sparsity

__all__ = ["LayerSparsity", "SparsityTable", "WeightSparsity", "read_lines", "sparsity"]
