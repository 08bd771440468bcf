"""What the axes of a kernel mean: its inputs, its outputs, and the rest."""

import math
from typing import Any, NamedTuple

from keras_reg.structure.registry import rule_of


class Layout(NamedTuple):
    """The axes of a weight, by what they index.

    Args:
        shape: tuple of ints. The weight's shape.
        shared: tuple of ints. Axes that index inputs and outputs at once, such as the channels of a
            depthwise convolution.
        rest: tuple of ints. Axes that index neither, such as the height and width of a filter.
        inputs: tuple of ints.
        outputs: tuple of ints.
    """

    shape: tuple[int, ...]
    shared: tuple[int, ...] = ()
    rest: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

    def length(self, axes: tuple[int, ...]) -> int:
        """Number of indices over these axes."""
        return math.prod(self.shape[axis] for axis in axes)

    @property
    def input_groups(self) -> int:
        """Number of groups of weights that read one input."""
        return self.length(self.shared) * self.length(self.inputs)

    @property
    def output_groups(self) -> int:
        """Number of groups of weights that write one output."""
        return self.length(self.shared) * self.length(self.outputs)

    @property
    def fan_in(self) -> int:
        """Number of weights that lead to one output."""
        return self.length(self.rest) * self.length(self.inputs)

    def axes(self, of: str) -> tuple[int, ...]:
        """The axes that index the groups of weights of one output, or of one input, in order.

        Args:
            of: "outputs" or "inputs".
        """
        return tuple(sorted(self.shared + (self.outputs if of == "outputs" else self.inputs)))

    @property
    def order(self) -> tuple[int, ...]:
        """All axes: shared ones, the rest, inputs, outputs."""
        return (*self.shared, *self.rest, *self.inputs, *self.outputs)


def layout_of(layer: Any, name: str, shape: tuple[int, ...]) -> Layout:
    """The layout of a layer's weight; axis -2 its inputs and -1 its outputs where nothing is known.

    Args:
        layer: the layer that owns the weight.
        name: str. The weight's name in the layer.
        shape: tuple of ints, of length 2 or more.

    Example:
        >>> import keras
        >>> layer = keras.layers.Conv2DTranspose(5, 3)
        >>> layout_of(layer, "kernel", (3, 3, 5, 4)).inputs
        (3,)
    """
    rule = rule_of(layer, "layout")
    known = None if rule is None else rule(layer, name, shape)
    if known is not None:
        return known
    rank = len(shape)
    return Layout(shape, (), tuple(range(rank - 2)), (rank - 2,), (rank - 1,))


def einsum_labels(equation: str) -> tuple[str, str, str]:
    """The letters of an EinsumDense's input, kernel and output, without the ellipsis.

    Example:
        >>> einsum_labels("...x,xy->...y")
        ('x', 'xy', 'y')
    """
    operands, output = equation.replace("...", "").replace(" ", "").split("->")
    data, kernel = operands.split(",")
    return data, kernel, output
