"""The channels of a model: which can be removed, and what goes with them."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

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
from keras_reg.structure.channels.reader import Reader, Scores
from keras_reg.structure.channels.table import as_html, as_text
from keras_reg.structure.weights import check_pattern, named_by


class Channels:
    """The channel groups of a model: a table that prints, and a selection of them.

    Iterating gives `Group`s; indexing takes a number, a slice or a name.

    Args:
        groups: the groups.
        model: str. The model's name.
        variables: list of all the model's variables.
        readers: bool. Whether a penalty takes in the rows of the kernels that read the channels.
        weighting: str or None. What a penalty on one of the channels is weighed by.
        times: dict from `id` of kernels to the multiply-adds of each weight, None if unknown.
        scores: list of the `Scores` of attention.
        equal: list of lists of places, the `id` of a variable and an axis, where as many stay.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        model: str,
        variables: Sequence[Any],
        readers: bool = False,
        weighting: str | None = None,
        times: dict[int, int | None] | None = None,
        scores: Sequence[Scores] = (),
        equal: Sequence[list[tuple[int, int]]] = (),
    ) -> None:
        self.groups = tuple(groups)
        self.readers, self.weighting = readers, weighting
        self.times, self.scores, self.equal = times or {}, list(scores), list(equal)
        self._model = model
        self.variables = tuple(variables)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    @overload
    def __getitem__(self, key: int | str) -> Group: ...

    @overload
    def __getitem__(self, key: slice) -> "Channels": ...

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
        return sum(taken(free, None).values()) / max(
            1, sum(math.prod(one.shape) for one in self.variables)
        )

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

    def with_readers(self) -> "Channels":
        """The same; a penalty takes in the rows of the kernels that read the channels.

        Without it a penalty acts on the kernels that make them, biases, scales and offsets, which
        is enough to remove a channel, and no weight is in two groups. With it the weights between
        two layers are in a group of each, and are multiplied with the factors of both: zeros are
        whole channels as before, and what remains differs from the exact proximal step by terms of
        second order in the step.
        """
        return self._of(self.groups, readers=True)

    def weighted(self, by: str) -> "Channels":
        """The same; a penalty on a channel is weighed by what it costs, relative to the mean.

        That takes the place of the root of the number of weights, with which penalties weigh groups
        otherwise, unless they have `size_scaling=False`.

        Args:
            by: "parameters" or "macs". What one channel takes along.
        Raises:
            ValueError: if `by` is anything else.
        """
        if by not in ("parameters", "macs"):
            raise ValueError(f'Expected `by` to be "parameters" or "macs". Received: by={by!r}')
        return self._of(self.groups, weighting=by)

    def costs(self, groups: Iterable[Group]) -> list[float | None]:
        """What `weighted` makes of some groups: for each a factor, or None.

        Raises:
            ValueError: if the multiply-adds of one are not known.
        """
        groups = list(groups)
        if self.weighting is None:
            return [None] * len(groups)
        each = [getattr(group, self.weighting) for group in groups]
        unknown = [group.name for group, cost in zip(groups, each, strict=True) if cost is None]
        if unknown:
            raise ValueError(
                "Expected channels whose multiply-adds are known. A length is unknown for "
                f"{', '.join(unknown)}"
            )
        total = sum(cost * group.size for group, cost in zip(groups, each, strict=True))
        mean = total / max(1, sum(group.size for group in groups))
        return [cost / mean if mean else 1.0 for cost in each]

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

    def _of(self, groups: Iterable[Group], **changed: Any) -> "Channels":
        names = ("readers", "weighting", "times", "scores", "equal")
        kept = {name: getattr(self, name) for name in names}
        return Channels(groups, self._model, self.variables, **{**kept, **changed})


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
    reader = read(model)
    own = {id(variable) for variable in model.weights}
    groups = [
        group
        for group in groups_of(reader)
        if any(id(part.variable) in own for part in group.parts)
    ]
    return Channels(
        groups,
        model.name,
        model.weights,
        times=reader.times,
        scores=reader.scores,
        equal=reader.equal,
    )


def read(model: Any) -> Reader:
    """Sends labels through a model, with its outputs pinned."""
    graph = _whole_graph(model)
    reader = Reader()
    outputs = reader.run(graph, [Traced(x.shape) for x in graph.inputs])
    for traced in filter(None, outputs):
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
