"""Which weights together make a unit of a layer: columns of kernels, biases, a scale."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_reg.structure.layout import Layout, einsum_labels, layout_of

_layers = keras.layers
_CELLS = (_layers.LSTMCell, _layers.GRUCell, _layers.SimpleRNNCell)
CONVOLUTIONS = (
    *(_layers.Conv1D, _layers.Conv2D, _layers.Conv3D),
    *(_layers.DepthwiseConv1D, _layers.DepthwiseConv2D),
    *(_layers.SeparableConv1D, _layers.SeparableConv2D),
)
TRANSPOSED = (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose)
CONV_RECURRENT = (_layers.ConvLSTM1D, _layers.ConvLSTM2D, _layers.ConvLSTM3D)
_PLAIN = (_layers.Dense, _layers.EinsumDense, *CONVOLUTIONS, *TRANSPOSED)

Number = Callable[[Any], int]


class Part(NamedTuple):
    """Where to see whether a weight lets a unit live.

    Args:
        array: int. The number of the array among those that are read.
        is_kernel: bool. Then the array counts by the groups of its outputs, and the rest is unused.
        start: int. The first entry on the last axis (of a kernel: the first output).
        stop: int. The end of the entries.
        shape: tuple of ints. What the entries are reshaped to.
        kept: tuple of ints. Axes that index units, in the units' order; any counts on the others.
        grid: tuple of ints. The lengths of the kept axes among those of the units, 1 for others.
        units: tuple of ints. The units' own shape.
    """

    array: int
    is_kernel: bool
    start: int
    stop: int
    shape: tuple[int, ...]
    kept: tuple[int, ...]
    grid: tuple[int, ...]
    units: tuple[int, ...]


def parts_of(owner: Any, own: tuple[Any, ...], kind: type, number: Number) -> tuple[Part, ...]:
    """The parts of a layer's units; none if it is not known what its weights mean.

    In a recurrent layer a unit is dead if nothing reaches its candidate state: then it stays zero,
    whatever its gates do.

    Args:
        owner: the layer that owns the weights.
        own: its variables.
        kind: the class of the layer that the model names, for a cell.
        number: gives a variable's number among the arrays.
    """
    named = {variable.name: variable for variable in own}
    if isinstance(owner, _PLAIN):
        return _of_plain(owner, named, number)
    if isinstance(owner, _CELLS) or issubclass(kind, CONV_RECURRENT):
        return _of_cell(owner, named, number)
    return ()


def scale_part(gamma: Any, parts: tuple[Part, ...], number: Number) -> tuple[Part, ...]:
    """The parts, and the scale of the normalization that comes after them if it fits."""
    size = gamma.shape[-1]
    if len(gamma.shape) != 1 or parts[0].stop - parts[0].start != size:
        return parts
    return (*parts, _vector(number(gamma), (size,), (0,), (size,)))


def _of_plain(owner: Any, named: dict[str, Any], number: Number) -> tuple[Part, ...]:
    kernel = named.get("pointwise_kernel", named.get("kernel"))
    if kernel is None:
        return ()
    layout = layout_of(owner, kernel.name, tuple(kernel.shape))
    units = layout.output_groups
    parts = [_columns(number(kernel), 0, units)]
    factor = named.get("lora_kernel_b")
    if factor is not None:
        if tuple(factor.shape)[-1] != units:
            return ()
        parts.append(_columns(number(factor), 0, units))
    bias = named.get("bias")
    if bias is not None:
        view = _bias_of(owner, layout, tuple(bias.shape))
        if view is None:
            return ()
        parts.append(_vector(number(bias), *view))
    return tuple(parts)


def _of_cell(owner: Any, named: dict[str, Any], number: Number) -> tuple[Part, ...]:
    if not {"kernel", "recurrent_kernel"} <= set(named):
        return ()
    kernels = [named["kernel"], named["recurrent_kernel"]]
    columns = kernels[0].shape[-1]
    gates = {_layers.GRUCell: 3, _layers.SimpleRNNCell: 1}.get(type(owner), 4)
    units = columns // gates
    # The candidate is the third of an LSTM's four and the last of a GRU's three.
    start = 0 if gates == 1 else 2 * units
    parts = [_columns(number(kernel), start, start + units) for kernel in kernels]
    bias = named.get("bias")
    if bias is not None:
        shape = (*bias.shape[:-1], units)
        part = _vector(number(bias), shape, (len(shape) - 1,), (units,))
        parts.append(part._replace(start=start, stop=start + units))
    return tuple(parts)


def _columns(array: int, start: int, stop: int) -> Part:
    return Part(array, True, start, stop, (), (), (), ())


def _vector(array: int, shape: Any, kept: Any, grid: Any, units: Any = None) -> Part:
    return Part(array, False, 0, shape[-1], shape, kept, grid, grid if units is None else units)


def _bias_of(owner: Any, layout: Layout, shape: tuple[int, ...]) -> tuple | None:
    """How a bias lies over the units: its shape, its axes that index units, grid, and units."""
    if not isinstance(owner, _layers.EinsumDense):
        return shape, (0,), shape
    if owner.equation.endswith("..."):
        return None
    _, kernel, output = einsum_labels(owner.equation)
    letters = output[len(output) - len(shape) :]
    axes = (*layout.shared, *layout.outputs)
    units = tuple(layout.shape[axis] for axis in axes)
    found = [letters.find(kernel[axis]) for axis in axes]
    grid = tuple(shape[at] if at >= 0 else 1 for at in found)
    return shape, tuple(at for at in found if at >= 0), grid, units
