"""What a model is made of: its kernels, and the variables that patterns name."""

from keras_reg.structure.weights import check_pattern, is_kernel, match, path_of

__all__ = ["check_pattern", "is_kernel", "match", "path_of"]
