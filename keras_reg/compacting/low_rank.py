"""Two layers in the place of one whose kernel has a small rank."""

import math
from typing import Any

import keras
import numpy as np

from keras_reg.structure.channels.labels import Array

layers = keras.layers

_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_KINDS = (layers.Dense, layers.Embedding, *_CONVOLUTIONS)


class Pair:
    """Two layers that are called one after the other, with the weights that they get.

    Args:
        first, second: the layers.
        kernels: pair of arrays. Their kernels.
    """

    def __init__(self, first: Any, second: Any, kernels: tuple[Array, Array]) -> None:
        self.first, self.second, self.kernels = first, second, kernels
        self.name = second.name

    def __call__(self, x: Any, **kwargs: Any) -> Any:
        return self.second(self.first(x))  # What `training` says does not matter to them.

    def fill(self, bias: Array | None) -> None:
        """Gives the layers their weights."""
        for layer, kernel in zip((self.first, self.second), self.kernels, strict=True):
            layer.variables[0].assign(kernel)
        if bias is not None:
            self.second.bias.assign(bias)

    @property
    def places(self) -> dict[int, int]:
        """By the id of the first kernel, how many units in its last place the rank leaves open.

        The product of the kernels is the one kernel up to this, as `numpy.linalg.matrix_rank` has
        it.
        """
        (rows, _), (_, columns) = (kernel.shape[-2:] for kernel in self.kernels)
        return {id(self.first.variables[0]): max(rows, columns)}

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the kernels."""
        return tuple(kernel.shape for kernel in self.kernels)


def can_split(layer: Any) -> bool:
    """Whether a layer is one of those that two can stand for.

    What its kernel is held to by a regularizer or a constraint two kernels cannot be held to.

    Example:
        >>> can_split(layers.Conv2D(4, 1)), can_split(layers.Conv2D(4, 3))
        (True, False)
    """
    if type(layer) not in _KINDS:
        return False
    if isinstance(layer, layers.Embedding):
        rules = (layer.embeddings_regularizer, layer.embeddings_constraint)
        return not any((*rules, layer.activity_regularizer))
    is_plain = not (layer.kernel_regularizer or layer.kernel_constraint)
    if isinstance(layer, _CONVOLUTIONS):
        return is_plain and layer.groups == 1 and math.prod(layer.kernel_size) == 1
    return is_plain


def factors(kernel: Array, multiple_of: int = 1) -> tuple[Array, Array] | None:
    """Two kernels whose product is one, or None if they are not smaller than it.

    The rank is the number of singular values above what rounding makes of 0, as
    `numpy.linalg.matrix_rank` has it.

    Args:
        kernel: array (..., inputs, outputs) with length 1 on all other axes.
        multiple_of: int. The rank is rounded up to a multiple of it.

    Example:
        >>> [one.shape for one in factors(np.ones((6, 5)))]
        [(6, 1), (1, 5)]
        >>> factors(np.eye(6)) is None
        True
    """
    rows, columns = kernel.shape[-2:]
    matrix = kernel.reshape(rows, columns)
    wide = matrix.astype(np.float64)
    left, values, right = np.linalg.svd(wide, full_matrices=False)
    epsilon = np.finfo(matrix.dtype).eps if matrix.dtype.kind == "f" else 2.0**-7
    least = values.max(initial=0.0) * max(rows, columns) * float(epsilon)
    rank = max(1, int(np.sum(values > least)))
    rank = -(-rank // multiple_of) * multiple_of
    if rank * (rows + columns) >= rows * columns:
        return None
    root = np.sqrt(values[:rank])
    first, second = left[:, :rank] * root, root[:, None] * right[:rank]
    lead = kernel.shape[:-2]
    pair = first.reshape(*lead, rows, rank), second.reshape(*lead, rank, columns)
    return pair[0].astype(matrix.dtype), pair[1].astype(matrix.dtype)


def split(layer: Any, config: dict[str, Any], kernel: Array, multiple_of: int) -> Pair | None:
    """Two layers for one, or None if its rank is not small.

    The one that the name stays with is the last, which has the bias and the activation, but for an
    embedding the first.

    Args:
        layer: a layer of which `can_split` is true.
        config: dict. The config that it would have.
        kernel: array. The kernel that it would have.
        multiple_of: int. The rank is rounded up to a multiple of it.
    """
    found = factors(kernel, multiple_of)
    if found is None:
        return None
    rank = found[0].shape[-1]
    name, kind = f"{layer.name}_low_rank", type(layer)
    if isinstance(layer, layers.Embedding):
        width, dtype = config["output_dim"], config["dtype"]
        second = {"units": width, "use_bias": False, "name": name, "dtype": dtype}
        first = {**config, "output_dim": rank, "embeddings_initializer": "uniform"}
        after = layers.Dense.from_config(second)
        return Pair(kind.from_config(first), after, found)
    second = {**config, "kernel_initializer": "glorot_uniform"}  # It may hold the old shape.
    first = {**second, "use_bias": False, "activation": "linear", "activity_regularizer": None}
    if isinstance(layer, layers.Dense):
        first.update(units=rank, name=name)
    else:
        first.update(filters=rank, name=name)
        second["strides"] = [1] * len(layer.kernel_size)
    return Pair(kind.from_config(first), kind.from_config(second), found)
