"""What acts on every entry alone, what joins entries, and normalizations with fixed statistics."""

from functools import reduce
from typing import Any

import keras
import numpy as np

from keras_reg import layers as kr_layers
from keras_reg.compacting.constants import along, applied, placed, product, unknown
from keras_reg.compacting.contents.registry import for_layers, for_operations
from keras_reg.structure.channels.labels import Array
from keras_reg.structure.channels.rules.elementwise import is_pointwise

layers = keras.layers

_UNARY = (
    *("Absolute", "Abs", "Arctan", "Cast", "Ceil", "Celu", "Elu", "Erf", "Exp", "Exp2"),
    *("Expm1", "Floor", "Gelu", "HardShrink", "HardSigmoid", "HardSilu", "HardTanh"),
    *("LeakyRelu", "Log", "Log1p", "LogSigmoid", "Negative", "Reciprocal", "Relu", "Relu6"),
    *("Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Silu", "Sin", "Sinh", "SoftShrink"),
    *("Softplus", "Softsign", "Sqrt", "Square", "Squareplus", "StopGradient", "Tanh"),
    *("TanhShrink", "Threshold", "Copy", "Clip", "ConvertToTensor"),
)
_BINARY = ("Add", "Subtract", "Divide", "TrueDivide", "Maximum", "Minimum", "Power")


def activated(content: Any, known: Array) -> Array:
    """What is known after a layer's activation."""
    activation = getattr(content.operation, "activation", None)
    if activation is None:
        return known
    if not is_pointwise(activation):
        return unknown(known.ndim)
    return applied(activation, content.dtype(), known)


@for_layers(layers.Activation)
def activation(content: Any) -> list[Array]:
    """The activation of a constant."""
    return [activated(content, content.knowns[0])]


@for_layers(layers.ReLU, layers.LeakyReLU, layers.ELU)
def unary_layer(content: Any) -> list[Array]:
    """The layer itself, run on constants."""
    return [applied(content.operation.call, content.dtype(), content.knowns[0])]


@for_layers(
    *(layers.Identity, layers.Dropout, layers.GaussianDropout, layers.GaussianNoise),
    *(layers.AlphaDropout, layers.SpatialDropout1D, layers.SpatialDropout2D),
    *(layers.SpatialDropout3D, layers.ActivityRegularization),
    *(kr_layers.ScheduledAlphaDropout, kr_layers.ScheduledDropBlock2D),
    *(kr_layers.ScheduledDropPath, kr_layers.ScheduledDropout),
    *(kr_layers.ScheduledGaussianDropout, kr_layers.ScheduledSpatialDropout1D),
    *(kr_layers.ScheduledSpatialDropout2D, kr_layers.ScheduledSpatialDropout3D),
)
def identity(content: Any) -> list[Array]:
    """At inference these layers change nothing."""
    return [content.knowns[0]]


@for_layers(kr_layers.ScheduledDropConnect)
def wrapped(content: Any) -> list[Array]:
    """What drops weights while it trains: the layer in it."""
    x, shape = content.inputs[0], content.results[0].shape
    return [content.through(content.operation.layer, x, content.knowns[0], shape)]


@for_operations(*_UNARY)
def unary(content: Any) -> list[Any]:
    """The operation itself, run on constants."""
    if len(content.inputs) != 1:
        return [None]
    known = content.knowns[0]
    return [applied(content.operation.call, content.dtype(), known)]


def operands(content: Any) -> list[Array]:
    """What is known of each operand, numbers included."""
    found = []
    for value in content.call.args:
        if any(value is x for x in content.inputs):
            found.append(content.survey.known(value))
        elif isinstance(value, (int, float)):
            found.append(np.full((), float(value)))
    return found


@for_operations(*_BINARY)
def binary(content: Any) -> list[Any]:
    """The operation itself, run on constants and numbers."""
    found = operands(content)
    if len(found) != 2 or not content.inputs:
        return [None]
    return [applied(content.operation.call, content.dtype(), *found)]


@for_operations("Multiply")
def multiply(content: Any) -> list[Any]:
    """A product is 0 if a factor is, whatever the others are."""
    found = operands(content)
    return [product(*found) if len(found) == 2 else None]


@for_operations(
    *("Where", "Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual", "Mod"),
    *("LogicalAnd", "LogicalOr", "LogicalNot", "FloorDivide", "DivideNoNan", "NanToNum"),
    *("OnesLike", "ZerosLike"),
)
def not_followed(content: Any) -> list[None]:
    """Channels pass; that some are constant is not used."""
    return [None for _ in content.results]


@for_layers(layers.Rescaling)
def rescaling(content: Any) -> list[Array]:
    """A scale and an offset."""
    layer = content.operation
    return [content.knowns[0] * np.asarray(layer.scale) + np.asarray(layer.offset)]


_MERGES: dict[type, Any] = {
    layers.Add: np.add,
    layers.Subtract: np.subtract,
    layers.Multiply: product,
    layers.Maximum: np.maximum,
    layers.Minimum: np.minimum,
}


@for_layers(*_MERGES)
def merging(content: Any) -> list[Array]:
    """Constants merged as their tensors are."""
    knowns = content.knowns
    rank = max(known.ndim for known in knowns)
    if any(known.ndim != rank for known in knowns):
        return [unknown(rank)]
    kind = next(kind for kind in _MERGES if isinstance(content.operation, kind))
    return [reduce(_MERGES[kind], knowns)]


@for_layers(layers.Average)
def average(content: Any) -> list[Array]:
    """The mean of constants."""
    return [sum(content.knowns) / len(content.knowns)]


@for_layers(layers.PReLU)
def prelu(content: Any) -> list[Array]:
    """A slope for what is negative."""
    known, alpha = content.knowns[0], numbers(content.operation.alpha)[None]
    return [np.where(known >= 0, known, known * alpha)]


def numbers(variable: Any) -> Array:
    """The values of a variable in double precision."""
    return np.asarray(keras.ops.convert_to_numpy(variable), "float64")


@for_layers(layers.BatchNormalization)
def batch_normalization(content: Any) -> list[Array]:
    """Moving statistics, gain and offset: a gain of 0 leaves the offset."""
    layer, known = content.operation, content.knowns[0]
    mean, variance = numbers(layer.moving_mean), numbers(layer.moving_variance)
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * numbers(layer.gamma)
    offset = 0.0 if layer.beta is None else numbers(layer.beta)
    found = product(along(known, layer.axis) - mean, scale) + offset
    return [placed(known.ndim, layer.axis, found)]


@for_layers(layers.GroupNormalization)
def group_normalization(content: Any) -> list[Array]:
    """Only a gain of 0 makes a constant."""
    layer, rank = content.operation, content.inputs[0].rank
    if layer.gamma is None:
        return [unknown(rank)]
    gamma = numbers(layer.gamma)
    offset = np.zeros(len(gamma)) if layer.beta is None else numbers(layer.beta)
    return [placed(rank, layer.axis, np.where(gamma == 0, offset, np.nan))]


@for_layers(
    *(layers.LayerNormalization, layers.RMSNormalization, layers.Softmax),
    *(layers.UnitNormalization, layers.Normalization),
)
@for_operations("Softmax", "LogSoftmax", "Normalize", "Cumsum")
def pinned(content: Any) -> list[None]:
    """What is normalized over stays; other axes pass."""
    return [None]
