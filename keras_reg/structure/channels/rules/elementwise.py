"""What acts on every entry alone, and what joins tensors entry by entry."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_reg.structure.channels.labels import Traced
from keras_reg.structure.channels.registry import channels_rule, for_layers, for_operations

layers = keras.layers

_UNARY = (
    *("Absolute", "Abs", "Arccos", "Arcsin", "Arctan", "Cast", "Ceil", "Celu", "Clip", "Cos"),
    *("ConvertToTensor", "Cosh", "Elu", "Erf", "Exp", "Exp2", "Expm1", "Floor", "Gelu"),
    *("HardShrink", "HardSigmoid", "HardSilu", "HardTanh", "Isfinite", "Isinf", "Isnan"),
    *("LeakyRelu", "Log", "Log10", "Log1p", "Log2", "LogSigmoid", "Negative", "Reciprocal"),
    *("Relu", "Relu6", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Silu", "Sin", "Sinh"),
    *("SoftShrink", "Softplus", "Softsign", "Sqrt", "Square", "Squareplus", "StopGradient"),
    *("Tan", "Tanh", "TanhShrink", "Threshold", "Copy", "OnesLike", "ZerosLike", "LogicalNot"),
    "NanToNum",
)
_BINARY = (
    *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "DivideNoNan", "Power", "Maximum"),
    *("Minimum", "Where", "Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual"),
    *("LogicalAnd", "LogicalOr", "Mod", "FloorDivide"),
)
# Activations that look at one entry at a time. Softmax and its kind look along an axis.
_POINTWISE = (
    *("linear", "relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "sigmoid", "tanh"),
    *("softplus", "softsign", "exponential", "hard_sigmoid", "hard_silu", "hard_tanh", "mish"),
    *("leaky_relu", "log_sigmoid", "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus"),
    *("sparse_plus", "sparse_sigmoid", "threshold"),
)


def is_pointwise(activation: Any) -> bool:
    """Whether an activation function acts on every entry alone.

    A function that is not Keras's own is tried on random numbers: what it makes of some of the
    entries must not depend on the others.

    Example:
        >>> is_pointwise(keras.activations.relu), is_pointwise(keras.activations.softmax)
        (True, False)
        >>> is_pointwise(lambda x: x * keras.ops.sigmoid(1.7 * x))
        True
    """
    known = (getattr(keras.activations, name, None) for name in _POINTWISE)
    if activation is None or any(activation is one for one in known):
        return True
    if isinstance(activation, keras.layers.Layer):
        return channels_rule(activation) is unary_layer
    x = np.random.default_rng(0).normal(0, 3, (4, 6)).astype("float32")
    try:
        whole = _run(activation, x)
        parts = [(np.ix_(rows, columns)) for rows in _SOME[4] for columns in _SOME[6]]
        return whole.shape == x.shape and all(
            np.allclose(_run(activation, x[part]), whole[part], 1e-4, 1e-6, equal_nan=True)
            for part in parts
        )
    except Exception:  # What a user's function raises is not known here.
        return False


# Some of 4 and of 6 indices.
_SOME = {4: ([0, 1, 2, 3], [2, 0]), 6: ([0, 1, 2, 3, 4, 5], [1, 4, 5], [3])}


def _run(function: Callable, x: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(x)))


def activated(call: Any, result: Traced) -> Traced:
    """The result of a layer with an activation: pinned on the last axis if it looks along it."""
    activation = getattr(call.operation, "activation", None)
    if is_pointwise(activation):
        return result
    name = getattr(activation, "__name__", type(activation).__name__)
    along_last = activation in (keras.activations.softmax, keras.activations.log_softmax)
    call.pin(result, f"{name} in {call.name} may use all of them", [-1] if along_last else None)
    return result


@for_layers(layers.Activation)
def activation(call: Any) -> Traced:
    """What the function makes of each channel, if it looks at one entry at a time."""
    return activated(call, call.inputs[0])


@for_layers(
    *(layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Identity, layers.Dropout),
    *(layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout),
    *(layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
    layers.ActivityRegularization,
)
def unary_layer(call: Any) -> Traced:
    """Channels pass."""
    return call.inputs[0]


@for_operations(*_UNARY)
def unary(call: Any) -> Traced:
    """Channels pass; bounds that are arrays have none."""
    bounds = [_literal(getattr(call.operation, name, 0.0)) for name in ("x_min", "x_max")]
    return joined(call, [*call.inputs, *bounds])


@for_layers(layers.Rescaling)
def rescaling(call: Any) -> Traced:
    """Channels pass, if scale and offset are numbers."""
    layer = call.operation
    return joined(call, [call.inputs[0], *map(_literal, (layer.scale, layer.offset))])


def _literal(value: Any) -> Traced:
    """A number or an array among a layer's arguments."""
    return Traced(np.shape(value))


@for_layers(layers.PReLU)
def prelu(call: Any) -> Traced:
    """Channels pass, with a slope for each."""
    x, alpha = call.inputs[0], call.operation.alpha
    for axis, length in enumerate(alpha.shape):
        if length > 1:
            call.carries(alpha, axis, x.on(axis + 1))
    return x


@for_layers(
    *(layers.Add, layers.Subtract, layers.Multiply, layers.Average),
    *(layers.Maximum, layers.Minimum),
)
@for_operations(*_BINARY)
def merging(call: Any) -> Traced:
    """Channels are joined entry by entry."""
    return joined(call, call.inputs)


def joined(call: Any, inputs: list[Traced]) -> Traced:
    """The channels of tensors that are joined entry by entry; an axis of length 1 is free."""
    shape = call.outputs[0]
    axes = {}
    for axis in range(len(shape)):
        place = axis - len(shape)
        there = [x for x in inputs if x.rank >= -place]
        labelled = [x for x in there if place % x.rank in x.axes]
        wide = [x for x in there if x.shape[place] != 1]
        for x in labelled:
            if x.shape[place] == 1 and wide:
                call.pin(x, f"repeated by {call.name}", [place])
        carried = [x for x in labelled if x in wide] if wide else labelled
        if carried:
            first = carried[0].on(place)
            for x in wide or labelled:
                call.join(first, x.on(place))
            if all(place % x.rank in x.axes for x in wide):  # Else all of them stay.
                axes[axis] = first
    return Traced(shape, axes)
