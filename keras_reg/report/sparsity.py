"""sparsity(model): what is exactly zero, as a table."""

from typing import Any

import keras

from keras_reg.report.meter import Meter
from keras_reg.report.rows import LayerSparsity, WeightSparsity
from keras_reg.report.table import SparsityTable

__all__ = ["LayerSparsity", "SparsityTable", "WeightSparsity", "sparsity"]


def sparsity(model: keras.Model, tolerance: float = 0.0, gradients: Any = None) -> SparsityTable:
    """Counts what is zero in every kernel and embedding matrix of a model, frozen ones too.

    Biases, normalization and counters have no row: their zeros are starting values, not sparsity.
    The counting runs on the device, compiled; a few numbers for each weight come back.

    The multiply-adds come from the graph of a Sequential or Functional model. Where code calls a
    layer, in a subclassed model or a custom layer, they are not known and are None. They are those
    of kernels and of attention scores, for one example; activations, biases and normalization do
    not count, as in published figures. Weights that a quantization packs, `"int4"` and the like,
    have no row; those of `"int8"` have one.

    Args:
        model: a built `keras.Model` or `keras.layers.Layer`.
        tolerance: float in [0, 1]. A weight is near zero if it is not zero and at most this
            fraction of its tensor's largest.
        gradients: dict from a weight's path, or the end of it after a slash, to the gradient of the
            loss without the penalty, or a list with one for each of `model.trainable_weights`. It
            gives the rows their `stationarity`, which tells a zero that the penalty holds from an
            accident.

    Returns:
        A `SparsityTable`.

    Raises:
        ValueError: if the model is not built or has no kernel, if the tolerance is out of range, or
            if gradients do not fit.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> _ = model.layers[0].kernel.assign([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
        >>> table = sparsity(model)
        >>> table.zeros, table.size, table.rows[0].zero_inputs, table.rows[0].zero_outputs
        (4, 6, 1, 0)
        >>> table.macs, table.macs_left
        (6, 4)
    """
    return Meter(model, tolerance).measure(gradients)
