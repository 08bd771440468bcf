"""What there is to count in a model, worked out once: kernels, layers, units, heads and calls."""

import dataclasses
import math
from typing import Any, NamedTuple

import keras

from keras_reg.keras_private import layers_in
from keras_reg.structure.graph import Block, Calls, blocks, calls, total
from keras_reg.structure.layout import Layout, layout_of
from keras_reg.structure.registry import asked, uses_of
from keras_reg.structure.units import UnitPart, Units
from keras_reg.structure.weights import is_counted, names_once


class Kernel(NamedTuple):
    """A weight that is counted.

    Args:
        path: str.
        variable: the variable.
        layout: what its axes index.
        uses: int or None. How often one example uses each of its entries; None: not known.
    """

    path: str
    variable: Any
    layout: Layout
    uses: int | None

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.layout.shape)


class Layer(NamedTuple):
    """A layer as its model names it, with the layers inside it.

    Args:
        path: str.
        kind: str. Its class.
        variables: all its variables.
        units: those of each layer in it of which they are known.
        heads: the heads of each attention layer in it.
        scores: int or None. Multiply-adds of one attention head besides those of weights.
    """

    path: str
    kind: str
    variables: list[Any]
    units: list[Units]
    heads: list[Units]
    scores: int | None


@dataclasses.dataclass
class Analysis:
    """What to count in a model.

    Args:
        kernels: list of `Kernel`, in the order of `model.weights`.
        layers: list of `Layer`, of those that own variables.
        vectors: variables that the units and heads read besides.
    """

    kernels: list[Kernel]
    layers: list[Layer]
    vectors: list[Any]


def analyze(model: Any) -> Analysis:
    """Looks through a built model or layer.

    Raises: TypeError if it is neither; ValueError if it is not built or has no kernel.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> found = analyze(model)
        >>> len(found.kernels), len(found.layers), len(found.vectors)
        (1, 1, 1)
    """
    check_built(model)
    found, called = blocks(model), calls(model)
    kernels = _kernels(model, found, _uses(found, called))
    counted = {id(kernel.variable) for kernel in kernels}
    seen: set[int] = set()
    layers = [_layer(block, called, counted, seen) for block in found if block.owners]
    vectors = {
        id(part.variable): part.variable
        for layer in layers
        for units in (*layer.units, *layer.heads)
        for part in (*units.made, *units.read)
        if part.side is None
    }
    return Analysis(kernels, layers, list(vectors.values()))


def check_built(model: Any) -> None:
    """Raises a TypeError if it is no model or layer, and a ValueError if it is not built.

    Example:
        >>> check_built(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"Expected a keras.Model or keras.layers.Layer. Received: {model!r:.200}")
    if not model.built:
        raise ValueError(
            f"Expected a built model: call it on data, or `build` it. Received: {model.name}, "
            "which has no weights yet"
        )


def _no_kernel(model: Any, found: list[Block]) -> str:
    owners = [owner for block in found for owner, _ in block.owners]
    modes = {f"{getattr(one, 'quantization_mode', None)}" for one in owners}
    packed = sorted(modes - {"None", "int8", "float8"})
    if packed:
        return (
            f"Expected weights that can be counted one by one. Received: {model.name}, quantized "
            f"to {' and '.join(packed)}, which packs several weights into a byte. Measure it "
            "before `quantize`"
        )
    return (
        "Expected a model with a kernel or an embedding matrix. Received: "
        f"{model.name} with weights {[weight.path for weight in model.weights]}"
    )


def _kernels(model: Any, found: list[Block], uses: dict[int, int | None]) -> list[Kernel]:
    owners = {
        id(variable): owner
        for block in found
        for owner, own in block.owners
        for variable in own
        if is_counted(owner, variable) and 0 not in variable.shape
    }
    variables = [variable for variable in model.weights if id(variable) in owners]
    kernels = []
    for name, variable in zip(names_once(variables), variables, strict=True):
        owner = owners[id(variable)]
        layout = layout_of(owner, variable.name, tuple(variable.shape))
        kernels.append(Kernel(name, variable, layout, uses.get(id(owner))))
    if not kernels:
        raise ValueError(_no_kernel(model, found))
    return kernels


def _uses(found: list[Block], called: Calls) -> dict[int, int | None]:
    """How often one example uses each weight of each owner; a missing one is not known."""
    numbers_of: dict[int, list[int | None]] = {}
    for block in found:
        for shapes in called.shapes.get(id(block.layer), []):
            for layer, number in uses_of(block.layer, shapes).items():
                numbers_of.setdefault(id(layer), []).append(number)
    return {key: total(numbers) for key, numbers in numbers_of.items()}


def _layer(block: Block, called: Calls, counted: set[int], seen: set[int]) -> Layer:
    inside = [one for one in (block.layer, *layers_in(block.layer)) if id(one) not in seen]
    seen.update(id(one) for one in inside)
    units, heads = (_units(inside, name, called, counted) for name in ("units", "heads"))
    each = [asked(block.layer, "scores", one) for one in called.shapes.get(id(block.layer), [])]
    variables = [variable for _, own in block.owners for variable in own]
    scores = total(each) if each else None
    return Layer(block.path, type(block.layer).__name__, variables, units, heads, scores)


def _units(inside: list[Any], name: str, called: Calls, counted: set[int]) -> list[Units]:
    """The units of layers all of whose kernels are counted: a quantization may have packed them."""
    found = [(layer, asked(layer, name)) for layer in inside]
    return [
        _scaled(units, called.followers.get(id(layer)))
        for layer, units in found
        if units is not None
        and all(p.side is None or id(p.variable) in counted for p in (*units.made, *units.read))
    ]


def _scaled(units: Units, following: Any) -> Units:
    """Units with the scale of a normalization that comes directly after them, if it fits."""
    scale = asked(following, "scale")
    if scale is None or tuple(scale.shape) != (units.number,):
        return units
    return units._replace(made=(*units.made, UnitPart(scale)))
