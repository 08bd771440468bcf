"""What to count in a model, worked out once: its kernels, units and heads, and which arrays."""

import dataclasses
from typing import Any, NamedTuple

import keras

from keras_reg.report.units import Part, parts_of, scale_part
from keras_reg.structure.graph import Block, Calls, blocks, calls, is_counted
from keras_reg.structure.layout import Layout, layout_of
from keras_reg.structure.weights import names_once

ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)


class Kernel(NamedTuple):
    """A weight that is counted: its layout, and whether its near zeros are."""

    layout: Layout
    near: bool = False


class Heads(NamedTuple):
    """The arrays that make the heads of an attention layer, by number; -1: there is none."""

    value: int
    bias: int
    output: int
    heads: int
    value_heads: int


class Spec(NamedTuple):
    """What the compiled pass counts. It is hashable: equal models share a compiled pass.

    Args:
        kernels: tuple of `Kernel`, one for each of the first arrays.
        units: tuple of tuples of `Part`: together they make the units of a layer.
        heads: tuple of `Heads`.
        over_time: bool. Whether to compare with the state of the last report.
    """

    kernels: tuple[Kernel, ...]
    units: tuple[tuple[Part, ...], ...]
    heads: tuple[Heads, ...]
    over_time: bool


@dataclasses.dataclass
class Plan:
    """A model laid out for counting.

    Args:
        blocks: its layers.
        calls: how it calls them.
        kernels: pairs of the owner and the variable of each row.
        names: the paths of the rows.
        vectors: variables that the count of units and heads reads besides.
        units: the spec of units, by the `id` of the layer that has them.
        heads: the spec of heads, by the `id` of the attention layer.
    """

    blocks: list[Block]
    calls: Calls
    kernels: list[tuple[Any, Any]]
    names: list[str]
    vectors: list[Any] = dataclasses.field(default_factory=list)
    units: dict[int, tuple[Part, ...]] = dataclasses.field(default_factory=dict)
    heads: dict[int, Heads] = dataclasses.field(default_factory=dict)

    @property
    def variables(self) -> list[Any]:
        """All variables that are read: kernels first."""
        return [variable for _, variable in self.kernels] + self.vectors

    def number(self, variable: Any) -> int:
        """The number of a variable among those that are read; it is added if it is new."""
        for at, known in enumerate(self.variables):
            if known is variable:
                return at
        self.vectors.append(variable)
        return len(self.kernels) + len(self.vectors) - 1

    def layouts(self) -> list[Layout]:
        """The layout of each kernel."""
        return [layout_of(owner, v.name, tuple(v.shape)) for owner, v in self.kernels]


def plan_of(model: Any) -> Plan:
    """Lays out a built model or layer.

    Raises: ValueError if it is not built or has no kernel.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> len(plan_of(model).kernels), len(plan_of(model).vectors)
        (1, 1)
    """
    if not model.built:
        raise ValueError(
            f"Expected a built model: call it on data, or `build` it. Received: {model.name}, "
            "which has no weights yet"
        )
    found = blocks(model)
    kernels = _kernels(model, found)
    if not kernels:
        raise ValueError(
            "Expected a model with a kernel or an embedding matrix. Received: "
            f"{model.name} with weights {[weight.path for weight in model.weights]}"
        )
    names = names_once([variable for _, variable in kernels])
    plan = Plan(found, calls(model), kernels, names)
    for block in found:
        for owner, own in block.owners:
            _add_units(plan, block, owner, own)
        for layer in block.layer._flatten_layers():
            if isinstance(layer, ATTENTION):
                _add_heads(plan, layer)
    return plan


def _kernels(model: Any, found: list[Block]) -> list[tuple[Any, Any]]:
    """Each kernel with its owner, in the order of `model.weights`."""
    pairs = {
        id(variable): (owner, variable)
        for block in found
        for owner, own in block.owners
        for variable in own
        if is_counted(owner, variable) and 0 not in variable.shape
    }
    return [pairs[id(variable)] for variable in model.weights if id(variable) in pairs]


def _add_units(plan: Plan, block: Block, owner: Any, own: tuple[Any, ...]) -> None:
    parts = parts_of(owner, own, type(block.layer), plan.number)
    norm = plan.calls.followers.get(id(owner))
    if parts and isinstance(norm, keras.layers.BatchNormalization) and norm.scale and norm.built:
        parts = scale_part(norm.gamma, parts, plan.number)
    if parts:
        plan.units[id(owner)] = parts


def _add_heads(plan: Plan, layer: Any) -> None:
    inner = layer._flatten_layers(include_self=False, recursive=False)
    named = {f"{one.name}/{v.name}": v for one in inner for v in one.weights}
    value, output = named.get("value/kernel"), named.get("attention_output/kernel")
    if value is None or output is None:
        return  # A subclass that names its layers in its own way.
    bias = named.get("value/bias")
    plan.heads[id(layer)] = Heads(
        plan.number(value),
        -1 if bias is None else plan.number(bias),
        plan.number(output),
        layer.num_heads if hasattr(layer, "num_heads") else layer.num_query_heads,
        value.shape[-2],
    )
