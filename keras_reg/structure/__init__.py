"""What a model is made of: its kernels, and the variables that patterns name."""

from keras_reg.structure.slots import Slot, regularizer_slots
from keras_reg.structure.weights import check_pattern, is_kernel, match, path_of

__all__ = ["Slot", "check_pattern", "is_kernel", "match", "path_of", "regularizer_slots"]
