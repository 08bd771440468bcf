"""Channel groups: labels that go together, with the entries of variables that they index."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_reg.structure.channels.labels import FIXED, Array
from keras_reg.structure.channels.reader import Reader, Scores, Slot
from keras_reg.structure.graph import product, total
from keras_reg.structure.weights import is_kernel, path_of


class Part(NamedTuple):
    """The entries of one variable that belong to the channels of a group.

    Args:
        variable: `keras.Variable`.
        axis: int. The axis that the channels index.
        roles: frozenset of "makes", "reads" and "carries".
        indices: array of ints, a row for each channel: its indices on the axis.
    """

    variable: Any
    axis: int
    roles: frozenset[str]
    indices: Array

    @property
    def layer(self) -> str:
        """The path of the layer that owns the variable."""
        return path_of(self.variable).rpartition("/")[0] or path_of(self.variable)


class Group(NamedTuple):
    """Channels of one kind: each can be removed alone, and takes the same parts of variables along.

    Args:
        name: str. The layer that makes them, with a number if it makes several kinds.
        size: int. Number of channels.
        parts: tuple of `Part`.
        parameters: int. Weights that one channel takes along.
        macs: int or None. Multiply-adds that one channel takes along, None if a length is unknown.
        pinned: str or None. Why they cannot be removed.
    """

    name: str
    size: int
    parts: tuple[Part, ...]
    parameters: int
    macs: int | None
    pinned: str | None

    def layers(self, role: str) -> list[str]:
        """The layers with a part that makes, reads or carries the channels."""
        return list(dict.fromkeys(part.layer for part in self.parts if role in part.roles))

    @property
    def made_by(self) -> list[str]:
        """The layers that make the channels."""
        return self.layers("makes")

    @property
    def read_by(self) -> list[str]:
        """The layers that read the channels."""
        return self.layers("reads")

    @property
    def carried_by(self) -> list[str]:
        """The layers with a bias, scale or statistic for each channel."""
        return [name for name in self.layers("carries") if name not in self.made_by]


def groups_of(reader: Reader) -> list[Group]:
    """The channel groups of what was read, in the order in which layers make them."""
    roots, reasons = reader.labels.solve()
    slots = list(reader.slots.values())
    group_of, sizes, why = _sort(roots, reasons, slots)
    parts: list[list[Part]] = [[] for _ in sizes]
    for slot in slots:
        for group, part in _parts(slot, roots, group_of):
            parts[group].append(part)
    names = _names(parts)
    return [
        Group(name, size, tuple(own), *_cost(own, reader), reason)
        for name, size, own, reason in zip(names, sizes, parts, why, strict=True)
    ]


def _sort(
    roots: Array, reasons: dict[int, str], slots: list[Slot]
) -> tuple[Array, list[int], list[str | None]]:
    """The group of each root, the sizes of groups, and why they are pinned.

    Channels are of one group if they have as many indices on the same axes and the same reason to
    stay. Sums of random numbers stand for these lists.
    """
    random = np.random.default_rng(0)

    def draw() -> Any:
        return random.integers(1, 2**63, dtype=np.uint64)

    kinds = np.zeros(len(roots), np.uint64)
    for slot in slots:
        members, counts = np.unique(roots[slot.labels], return_counts=True)
        kinds[members] += counts.astype(np.uint64) * draw()
    numbers = {reason: draw() for reason in dict.fromkeys(reasons.values())}
    stay = np.array(list(reasons), int)
    kinds[stay] += np.array([numbers[reasons[root]] for root in stay.tolist()], np.uint64)
    kinds[FIXED] = 0
    members = np.flatnonzero(kinds)
    _, first, inverse = np.unique(kinds[members], return_index=True, return_inverse=True)
    order = np.argsort(first)
    group_of = np.full(len(roots), -1)
    group_of[members] = np.argsort(order)[inverse]
    sizes = np.bincount(group_of[members], minlength=len(order)).tolist()
    return group_of, sizes, [reasons.get(int(members[one])) for one in first[order]]


def _parts(slot: Slot, roots: Array, group_of: Array) -> Iterator[tuple[int, Part]]:
    """The part of a slot in each group that it touches."""
    channels = roots[slot.labels]
    groups = group_of[channels]
    for group in np.unique(groups[groups >= 0]).tolist():
        indices = np.flatnonzero(groups == group)
        order = np.argsort(channels[indices], kind="stable")
        count = len(np.unique(channels[indices]))
        rows = indices[order].reshape(count, -1)
        yield group, Part(slot.variable, slot.axis, frozenset(slot.roles), rows)


def _names(parts: list[list[Part]]) -> list[str]:
    """The layer that makes each group; one that makes several has numbers after it."""
    seen: dict[str, int] = {}
    names = []
    for own in parts:
        makers = [part for part in own if "makes" in part.roles] or own
        name = makers[0].layer
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def taken(parts: Iterable[Part], channels: int | None = 1) -> dict[int, int]:
    """The entries of each variable, by its `id`, that channels of these parts index.

    Args:
        parts: the parts of one group or of several.
        channels: int or None. How many channels of each part, None for all.
    """
    left: dict[int, dict[int, int]] = {}
    variables = {}
    for part in parts:
        variables[id(part.variable)] = part.variable
        axes = left.setdefault(id(part.variable), dict(enumerate(part.variable.shape)))
        axes[part.axis] -= part.indices[:channels].size
    return {
        key: math.prod(variable.shape) - math.prod(left[key].values())
        for key, variable in variables.items()
    }


def _cost(parts: list[Part], reader: Reader) -> tuple[int, int | None]:
    """Parameters and multiply-adds that one channel takes along."""
    entries = taken(parts)
    kernels = {id(part.variable) for part in parts if is_kernel(part.variable)}
    times = [(reader.times.get(key), entries[key]) for key in kernels]
    parameters = sum(entries.values())
    scores = [_scores(one, parts, reader) for one in reader.scores]
    known = [uses * count for uses, count in times if uses is not None]
    return parameters, total([*known, *scores]) if len(known) == len(times) else None


def _scores(scores: Scores, parts: list[Part], reader: Reader) -> int | None:
    """The multiply-adds of a product of tensors that one channel takes along."""
    variables = {key: reader.slots[key].variable for key in scores.places}
    lengths = {(key, axis): one.shape[axis] for (key, axis), one in variables.items()}
    own = {(id(part.variable), part.axis): part.indices.shape[1] for part in parts}
    left = [length - own.get(place, 0) for place, length in lengths.items()]
    taken = math.prod(lengths.values()) - math.prod(left)
    return product((scores.uses, taken)) if taken else 0
