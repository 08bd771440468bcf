"""Which channels can go: the largest set whose removal changes no output."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_reg.compacting.survey import Survey
from keras_reg.structure.channels.labels import FIXED, Array
from keras_reg.structure.weights import path_of


class Removal:
    """The channels that go.

    It begins with all that are not pinned, and puts back what a kept output reads.

    Args:
        survey: what was read of the model.
        multiple_of: int. Sizes are rounded up to multiples of it.

    Its `reasons` say why channels stay, by their roots.
    """

    def __init__(self, survey: Survey, multiple_of: int = 1) -> None:
        self._survey, self._multiple = survey, multiple_of
        self.roots, self.reasons = survey.labels.solve()
        self._gone = np.ones(len(self.roots), bool)
        self._gone[[FIXED, *self.reasons]] = False
        self._edges = list(reversed(list(self._read())))
        self._axes = self._labelled()
        self._solve()

    def kept(self, labels: Array) -> Array:
        """The indices on an axis that stay."""
        return np.flatnonzero(~self._gone[self.roots[labels]])

    def gone(self, labels: Array) -> Array:
        """For every index on an axis whether it goes."""
        return self._gone[self.roots[labels]]

    def _put_back(self, labels: Array, why: str) -> bool:
        """Keeps channels; whether any was to go."""
        roots = self.roots[labels]
        back = roots[self._gone[roots]]
        self._gone[back] = False
        self.reasons.update(dict.fromkeys(back.tolist(), why))
        return bool(back.size)

    def _read(self) -> Iterator[tuple[list[Array], list[Array], Array, str]]:
        """For each read: labels of rows, of columns, which pairs a weight joins, and the reason."""
        known: set[tuple[int, int]] = set()
        for read in self._survey.reads.values():
            rows, columns = list(read.rows.values()), list(read.columns.values())
            live = read.folded(lambda x, axis: np.any(x != 0, axis=axis))
            live = live.reshape(read.constant.size, -1)
            live[~np.isnan(read.constant.reshape(-1))] = False
            known.update((id(read.kernel), axis) for axis in read.rows)
            yield rows, columns, live, f"{owner_of(read.kernel)} reads it where it is not constant"
        for need in self._survey.needs:
            columns = [] if need.columns is None else [need.columns]
            live = need.live.reshape(len(need.labels), -1)
            yield [need.labels], columns, live, "summed over where it is not 0"
        for key, slot in self._survey.slots.items():
            # What reads without a rule that says which rows matter needs them all.
            if "reads" in slot.roles and key not in known:
                every = np.ones((len(slot.labels), 1), bool)
                yield [slot.labels], [], every, f"{owner_of(slot.variable)} reads it"

    def _labelled(self) -> list[Array]:
        """The labels of every axis that must not become empty."""
        axes = {id(slot.labels): slot.labels for slot in self._survey.slots.values()}
        for traced in self._survey.traced:
            axes.update((id(labels), labels) for labels in traced.axes.values())
        return list(axes.values())

    def _solve(self) -> None:
        while self._spread() or self._fill() or self._round() or self._level():
            pass

    def _spread(self) -> bool:
        """Keeps what kept channels read; whether anything changed."""
        changed = False
        for rows, columns, live, why in self._edges:
            lengths = [len(labels) for labels in rows]
            if not any(self.gone(labels).any() for labels in rows):
                continue
            stays = np.ones((), bool)
            for labels in columns:
                stays = stays[..., None] & ~self.gone(labels)
            needed = live[:, stays.reshape(-1)].any(axis=1).reshape(lengths)
            for axis, labels in enumerate(rows):
                others = tuple(at for at in range(len(rows)) if at != axis)
                changed |= self._put_back(labels[needed.any(axis=others)], why)
        return changed

    def _fill(self) -> bool:
        """Puts back the first channel of an axis of which nothing is left."""
        changed = False
        for labels in self._axes:
            if labels.size and self.gone(labels).all():
                changed |= self._put_back(labels[:1], "one of every axis stays")
        return changed

    def _round(self) -> bool:
        """Puts back channels until sizes are multiples."""
        changed = False
        for slot in self._survey.slots.values() if self._multiple > 1 else ():
            if "makes" not in slot.roles:
                continue
            while len(self.kept(slot.labels)) % self._multiple:
                gone = np.flatnonzero(self.gone(slot.labels))
                if not gone.size:
                    break
                changed |= self._put_back(slot.labels[gone[:1]], f"a multiple of {self._multiple}")
        return changed

    def _level(self) -> bool:
        """Puts back channels until as many stay on both sides."""
        changed = False
        for places in self._survey.equal:
            pair = [self._survey.slots[place].labels for place in places]
            while True:
                fewer, more = sorted(pair, key=lambda labels: len(self.kept(labels)))
                if len(self.kept(fewer)) == len(self.kept(more)):
                    break
                gone = np.flatnonzero(self.gone(fewer))
                if not gone.size:
                    raise ValueError("Expected sides of equal length")
                changed |= self._put_back(fewer[gone[:1]], "as many as beside it")
        return changed


def owner_of(variable: Any) -> str:
    """The path of the layer that a variable is of, by the variable's."""
    return path_of(variable).rpartition("/")[0] or path_of(variable)
