"""The channels of a model: which can be removed, and what goes with them."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
from keras import tree

from keras_reg.structure.channels import rules  # noqa: F401  (registers them)
from keras_reg.structure.channels.graph import (
    Graph,
    Node,
    NotReadableError,
    graph_of,
    is_graph,
)
from keras_reg.structure.channels.groups import Group, groups_of, taken
from keras_reg.structure.channels.labels import Traced
from keras_reg.structure.channels.opening import opened
from keras_reg.structure.channels.reader import Reader
from keras_reg.structure.channels.table import as_html, as_text
from keras_reg.structure.weights import check_pattern, named_by


class Channels:
    """The channel groups of a model: a table that prints, and a selection of them.

    Iterating gives `Group`s; indexing takes a number, a slice or a name.

    Args:
        groups: the groups.
        model: str. The model's name.
        variables: dict from `id` to size, of all the model's variables.
    """

    def __init__(self, groups: Iterable[Group], model: str, variables: dict[int, int]) -> None:
        self.groups = tuple(groups)
        self._model = model
        self._variables = variables

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, key: int | slice | str) -> "Group | Channels":
        if isinstance(key, slice):
            return self._of(self.groups[key])
        if isinstance(key, int):
            return self.groups[key]
        found = [group for group in self.groups if group.name == key]
        if not found:
            names = ", ".join(group.name for group in self.groups[:5])
            raise KeyError(f"Expected the name of a group, such as {names}. Received: {key!r}")
        return found[0]

    def __str__(self) -> str:
        return as_text(self._title(), self.groups, self._model)

    def __repr__(self) -> str:
        return f"Channels({self._title()})"

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.groups)

    def _title(self) -> str:
        channels = sum(group.size for group in self.groups)
        return (
            f"{self._model}: {len(self.groups)} groups, {channels:,} channels; "
            f"{100 * self.share:.3g}% of the parameters can go"
        )

    @property
    def share(self) -> float:
        """Share of the model's parameters that belong to a channel that can be removed."""
        free = [part for group in self.groups if group.pinned is None for part in group.parts]
        return sum(taken(free, None).values()) / max(1, sum(self._variables.values()))

    def matching(self, pattern: str) -> "Channels":
        """The groups made by a layer that a regular expression names.

        It names a layer as patterns of `Proximal` name variables: by its path, or the end of it.

        Raises:
            ValueError: if it matches none.
        """
        return self._select(pattern, lambda is_named: is_named)

    def without(self, pattern: str) -> "Channels":
        """The groups but those that `matching` gives."""
        return self._select(pattern, lambda is_named: not is_named)

    def free(self) -> "Channels":
        """The groups that can be removed."""
        return self._of(group for group in self.groups if group.pinned is None)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The groups by name, in plain Python values."""
        return {
            group.name: {
                "channels": group.size,
                "made_by": group.made_by,
                "read_by": group.read_by,
                "carried_by": group.carried_by,
                "parameters": group.parameters,
                "macs": group.macs,
                "pinned": group.pinned,
            }
            for group in self.groups
        }

    def _select(self, pattern: str, keep: Callable[[bool], bool]) -> "Channels":
        check_pattern(pattern)
        named = [
            any(named_by(pattern, name) for name in (group.name, *group.made_by))
            for group in self.groups
        ]
        if not any(named):
            names = ", ".join(group.name for group in self.groups[:5])
            raise ValueError(
                f"Expected a regular expression that matches a group, such as {names}. "
                f"Received: {pattern!r}"
            )
        pairs = zip(self.groups, named, strict=True)
        return self._of(group for group, is_named in pairs if keep(is_named))

    def _of(self, groups: Iterable[Group]) -> "Channels":
        return Channels(groups, self._model, self._variables)


def channels(model: Any) -> Channels:
    """Lists the channels of a model: units, filters, heads and states, and what goes with each.

    A channel is an index that a layer makes, others carry, and further ones read. Removing it means
    to remove its columns, biases, scales and statistics, and the rows of all readers; what residual
    connections join goes together. The model's graph is read for this. Layers without a rule are
    opened: their `call` is run on symbolic tensors. What cannot be understood is pinned, and
    `pinned` says why.

    Args:
        model: a built `keras.Model`. It is left as it is.

    Returns:
        `Channels`, which prints as a table.

    Raises:
        ValueError: if the model is not built.

    Example:
        >>> model = keras.Sequential([keras.Input((3,))], name="net")
        >>> model.add(keras.layers.Dense(4, name="a"))
        >>> model.add(keras.layers.Dense(2, name="b"))
        >>> print(channels(model))
        net: 2 groups, 6 channels; 92.3% of the parameters can go
        group  channels  params  MACs  read by, or why it stays
        a             4       6     5  b
        b             2       5     4  stays: an output of the model
    """
    sizes = {id(one): math.prod(one.shape) for one in model.weights}
    groups = groups_of(read(model))
    return Channels([group for group in groups if _is_in(group, sizes)], model.name, sizes)


def _is_in(group: Group, sizes: dict[int, int]) -> bool:
    return any(id(part.variable) in sizes for part in group.parts)


def read(model: Any) -> Reader:
    """Sends labels through a model, with its outputs pinned."""
    graph = _whole_graph(model)
    reader = Reader()
    outputs = reader.run(graph, [Traced(x.shape) for x in graph.inputs])
    for traced in outputs:
        for labels in traced.axes.values():
            reader.labels.pin(labels, "an output of the model")
    reader.pin_unmade()
    return reader


def _whole_graph(model: Any) -> Graph:
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a keras.Model. Received: {type(model).__name__}")
    if not model.built:
        raise ValueError(f"Expected a built model. Received: {model.name}, which is not built")
    if is_graph(model):
        return graph_of(model)
    shapes = (model.get_build_config() or {}).get("input_shape")
    if shapes is None:
        raise ValueError(
            "Expected a model that was built on one input, or a Sequential or Functional one. "
            f"Received: {model.name}, whose inputs are not known"
        )
    inputs = tree.map_shape_structure(keras.KerasTensor, shapes)
    try:
        return opened(model, Node(model, (inputs,), {}, []))
    except NotReadableError as error:
        raise ValueError(
            f"Expected a model that can be read. Received: {model.name}: {error}"
        ) from None
