"""What the axes of weights mean: inputs, outputs and the rest; also where only a path is known."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from keras_reg.structure.graph import blocks
from keras_reg.structure.registry import rule_of
from keras_reg.structure.weights import is_kernel, names_once, path_of


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
    if known is None and len(shape) == 3 and getattr(layer, "num_experts", None) == shape[0]:
        # KerasHub's mixtures of experts, whose kernels lie one behind the other.
        return Layout(shape, shared=(0,), inputs=(1,), outputs=(2,))
    return known or plain_layout(shape)


def einsum_labels(equation: str) -> tuple[str, str, str]:
    """The letters of an EinsumDense's input, kernel and output, without the ellipsis.

    Example:
        >>> einsum_labels("...x,xy->...y")
        ('x', 'xy', 'y')
    """
    operands, output = equation.replace("...", "").replace(" ", "").split("->")
    data, kernel = operands.split(",")
    return data, kernel, output


# For names of weights the axes that are shared, the rest, inputs and outputs, as a config has them;
# nothing for a weight that is no kernel though its name is that of one.
Axes = dict[str, list[list[int]]]


class Weight(NamedTuple):
    """A variable, and what is known of it.

    Args:
        variable: `keras.Variable`.
        name: its path, with a number if it is not the first of that path.
        layout: what its axes index; None if that is not clear.
        is_kernel: whether it is a kernel or an embedding matrix, on which a single penalty acts.
    """

    variable: Any
    name: str
    layout: Layout | None
    is_kernel: bool


def weights_in(model: Any, variables: Iterable[Any]) -> list[Weight]:
    """What a built model says about some of its variables.

    Raises: ValueError if the model has not all of them.

    Example:
        >>> import keras
        >>> layer = keras.layers.Conv2DTranspose(5, 3)
        >>> layer.build((None, 8, 8, 2))
        >>> weights_in(layer, [layer.kernel])[0].layout.outputs
        (2,)
    """
    known = {
        id(variable): (_layout(owner, variable), is_kernel(variable, owner))
        for block in blocks(model)
        for owner, owned in block.owners
        for variable in owned
    }
    variables = list(variables)
    strange = [path_of(variable) for variable in variables if id(variable) not in known]
    if strange:
        raise ValueError(
            f"Expected variables of the model {model.name}. Received others: {', '.join(strange)}"
        )
    names = dict(zip(map(id, model.weights), names_once(model.weights), strict=True))
    return [Weight(v, names[id(v)], *known[id(v)]) for v in variables]


def kernels_of(model: Any) -> list[Any]:
    """The kernels and embedding matrices of a built model, frozen ones too.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> [variable.name for variable in kernels_of(model)]
        ['kernel']
    """
    return [weight.variable for weight in weights_in(model, model.weights) if weight.is_kernel]


def weights_alone(
    variables: Iterable[Any], axes: Axes, names: Iterable[str] | None = None
) -> list[Weight]:
    """What paths and shapes say about variables of a model that is not at hand.

    Args:
        variables: `keras.Variable`s.
        axes: those that are known, by name.
        names: the variables' names, or None: as `names_once` gives them.

    Example:
        >>> import keras
        >>> weights_alone([keras.Variable([[1.0]], name="kernel")], {})[0].layout.inputs
        (0,)
    """
    variables = list(variables)
    weights = []
    for variable, name in zip(variables, names or names_once(variables), strict=True):
        shape, known = tuple(variable.shape), axes.get(name)
        from_path = layout_from_path(path_of(variable), shape)
        layout = Layout(shape, *map(tuple, known)) if known else from_path
        weights.append(Weight(variable, name, layout, known != [] and is_kernel(variable)))
    return weights


def _layout(owner: Any, variable: Any) -> Layout:
    shape = tuple(variable.shape)
    return layout_of(owner, variable.name, shape) if len(shape) >= 2 else plain_layout(shape)


def plain_layout(shape: tuple[int, ...]) -> Layout:
    """Axis -2 as inputs and axis -1 as outputs, as in a dense kernel or that of a convolution.

    Example:
        >>> plain_layout((3, 3, 8, 16))
        Layout(shape=(3, 3, 8, 16), shared=(), rest=(0, 1), inputs=(2,), outputs=(3,))
    """
    axes = tuple(range(len(shape)))
    return Layout(shape, (), axes[:-2], axes[-2:-1], axes[-1:])


# A name with one of these has axes in another order than a plain kernel has.
_OTHERWISE = ("depthwise", "dw", "separable", "transpose", "deconv", "attention", "einsum")


def layout_from_path(path: str, shape: tuple[int, ...]) -> Layout | None:
    """The layout of a weight whose layer is not known; None if it may have several.

    Two axes are inputs and outputs. The kernel of a layer with "conv" in its name is that of a
    plain convolution, unless the name says otherwise. So is one of rank 4 or 5 under another name,
    but if its last axis has length 1, as in most depthwise convolutions.

    Example:
        >>> layout_from_path("dense/kernel", (8, 4)).outputs
        (1,)
        >>> layout_from_path("attention/query/kernel", (8, 2, 4)) is None
        True
    """
    *layers, name = path.lower().split("/")
    layer = layers[-1] if layers else ""
    is_other = any(word in part for part in (layer, name) for word in _OTHERWISE)
    is_convolution = "conv" in layer or (len(shape) > 3 and shape[-1] > 1)
    is_plain = name.endswith("kernel") and is_convolution and not is_other
    if len(shape) <= 2 or is_plain or name == "pointwise_kernel":
        return plain_layout(shape)
    return None


def ambiguous(names: Iterable[str]) -> str:
    """The error for weights whose layout is not clear.

    Example:
        >>> ambiguous(["query/kernel"]).split(".")[0]
        'Expected weights whose inputs and outputs are known'
    """
    return (
        "Expected weights whose inputs and outputs are known. The axes of these may have several "
        f"meanings: {', '.join(names)}. Give the model, as in `Proximal(..., model=model)` or "
        "`keras_reg.regularize(model, ...)`, or the axes by number"
    )
