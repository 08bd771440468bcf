"""Convolutions: plain, grouped, depthwise, separable and transposed."""

from typing import Any

from keras import layers

from keras_reg.structure.graph import output_shapes, product
from keras_reg.structure.layout import Layout
from keras_reg.structure.registry import Shape, register
from keras_reg.structure.units import output_units


def _depthwise_layout(layer: Any, name: str, shape: tuple[int, ...]) -> Layout | None:
    """Channels stay apart: an index over them is an input and an output at once."""
    if name not in ("kernel", "depthwise_kernel"):
        return None
    rank = len(shape)
    return Layout(shape, (rank - 2,), tuple(range(rank - 2)), (), (rank - 1,))


def _transposed_layout(layer: Any, name: str, shape: tuple[int, ...]) -> Layout | None:
    if name != "kernel":
        return None
    rank = len(shape)
    return Layout(shape, (), tuple(range(rank - 2)), (rank - 1,), (rank - 2,))


def _uses(layer: Any, shapes: list[Shape]) -> int | None:
    """A filter is put on each pixel of the output."""
    return _pixels(layer, output_shapes(layer, shapes))


def _pixels(layer: Any, shapes: list[Shape]) -> int | None:
    if not shapes:
        return None
    is_first = layer.data_format == "channels_first"
    return product(shapes[0][2:] if is_first else shapes[0][1:-1])


for _kind in (layers.Conv1D, layers.Conv2D, layers.Conv3D):
    register(_kind, uses=_uses, units=output_units)
for _kind in (
    *(layers.DepthwiseConv1D, layers.DepthwiseConv2D),
    *(layers.SeparableConv1D, layers.SeparableConv2D),
):
    register(_kind, layout=_depthwise_layout, uses=_uses, units=output_units)
for _kind in (layers.DepthwiseConv1D, layers.DepthwiseConv2D):
    register(_kind, regularizers={"kernel": "depthwise_regularizer"})
for _kind in (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose):
    # A filter is put on each pixel of the input.
    register(_kind, layout=_transposed_layout, uses=_pixels, units=output_units)
