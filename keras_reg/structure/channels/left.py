"""What is left of a model if the channels that do nothing are removed."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_reg.keras_private import layers_in
from keras_reg.structure.channels.collection import read
from keras_reg.structure.channels.labels import FIXED, Array
from keras_reg.structure.graph import calls, product, total
from keras_reg.structure.registry import rule_of

# Vectors that multiply: a channel that is zero stays zero.
_FACTORS = ("gamma", "scale", "moving_variance", "alpha")


class Weight:
    """A variable that channels index.

    Args:
        variable: the variable.
        roots: dict from axes to the channel of each index on it.
        roles: dict from axes to what they do with channels.
    """

    def __init__(self, variable: Any) -> None:
        self.variable = variable
        self.roots: dict[int, Array] = {}
        self.roles: dict[int, set[str]] = {}

    @property
    def rows(self) -> list[int]:
        """The axes that are summed over."""
        return [axis for axis, roles in self.roles.items() if "reads" in roles]

    @property
    def columns(self) -> list[int]:
        """The axes that index results: of a kernel, all that are not summed over."""
        is_kernel = any(roles & {"makes", "reads"} for roles in self.roles.values())
        return [axis for axis in self.roles if axis not in self.rows] if is_kernel else []

    def folded(self, nonzero: Array) -> Array:
        """Flags of entries, together along axes without channels."""
        others = tuple(axis for axis in range(nonzero.ndim) if axis not in self.roots)
        return np.any(nonzero, axis=others, keepdims=True) if others else nonzero

    def live(self, nonzero: Array, kept: dict[int, Array], axis: int) -> Array:
        """Of each index on an axis, whether an entry is not zero whose other indices are kept."""
        for other, flags in kept.items():
            if other != axis:
                shape = [-1 if at == other else 1 for at in range(nonzero.ndim)]
                nonzero = nonzero & flags.reshape(shape)
        others = tuple(at for at in range(nonzero.ndim) if at != axis)
        return np.asarray(np.any(nonzero, axis=others))


class Entries(NamedTuple):
    """What is left of a model.

    Args:
        entries: dict from the `id` of each variable that channels index to a number.
        scores: int or None. Multiply-adds of attention besides those of weights, None if unknown.
    """

    entries: dict[int, int]
    scores: int | None


class Wiring:
    """Who makes, carries and reads each channel of a model; read once, asked again and again.

    A channel does nothing if nothing that is kept reads it through a weight that is not zero, or if
    it is constant: every weight that makes it is zero. Constants are added to the biases of what
    reads them. Of those that the same convolutions read and pad with zeros one stays.

    Args:
        model: a built model.

    Raises: ValueError if it cannot be read.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        >>> model.add(keras.layers.Dense(2))
        >>> _ = model.layers[0].kernel.assign([[0, 1, 0, 1]] * 3)
        >>> left = Wiring(model).left(keras.ops.convert_to_numpy).entries
        >>> [left[id(weight)] for weight in model.weights]
        [6, 2, 4, 2]
    """

    def __init__(self, model: Any) -> None:
        reader = read(model)
        roots, reasons = reader.labels.solve()
        self._stays = np.zeros(len(roots), bool)
        self._stays[[FIXED, *reasons]] = True
        found: dict[int, Weight] = {}
        for (key, axis), slot in reader.slots.items():
            weight = found.setdefault(key, Weight(slot.variable))
            weight.roots[axis], weight.roles[axis] = roots[slot.labels], slot.roles
        self._weights = list(found.values())
        self._operands = {key for key, _ in reader.operands.values()}
        self._is_read = self._at(weight.roots[axis] for weight, axis in self._rows())
        for labels in reader.consumed:
            self._is_read[roots[labels]] = False
        self._is_padded = self._at(roots[labels] for labels in reader.padded)
        self._is_single = self._at(roots[labels] for labels in [*reader.single, *reader.consumed])
        self._scores = [
            (uses, [roots[reader.slots[place].labels] for place in places])
            for uses, places in reader.scores
        ]
        self._equal = [
            [roots[reader.slots[place].labels] for place in places] for places in reader.equal
        ]
        self.scales = _scales(model)

    def _rows(self) -> Iterator[tuple[Weight, int]]:
        # From the outputs to the inputs, as what is needed spreads.
        return ((weight, axis) for weight in reversed(self._weights) for axis in weight.rows)

    def _at(self, roots: Any) -> Array:
        flags = np.zeros(len(self._stays), bool)
        for some in roots:
            flags[some] = True
        return flags

    def left(self, values: Callable[[Any], Array]) -> Entries:
        """What is left of variables and of attention.

        Args:
            values: gives the values of a variable.
        """
        nonzero = {id(one.variable): one.folded(values(one.variable) != 0) for one in self._weights}
        for scale in self.scales.values():
            nonzero.setdefault(id(scale), values(scale) != 0)
        kept = self._kept(nonzero, self._constant(nonzero))
        while any(self._fill(weight, kept) for weight in self._weights) or self._level(kept):
            kept = self._kept(nonzero, self._constant(nonzero) & ~kept, kept)
        scores = [
            product((uses, *(int(np.count_nonzero(kept[axis])) for axis in axes)))
            for uses, axes in self._scores
        ]
        entries = {id(weight.variable): _size(weight, kept) for weight in self._weights}
        return Entries(entries, total(scores))

    def _fill(self, weight: Weight, kept: Array) -> bool:
        """Keeps a channel of an axis that would be empty; whether there is one."""
        empty = [roots for roots in weight.roots.values() if len(roots) and not kept[roots].any()]
        kept[[roots[0] for roots in empty]] = True
        return bool(empty)

    def _level(self, kept: Array) -> bool:
        """Keeps channels until as many are left where that must be; whether there were fewer."""
        changed = False
        for sides in self._equal:
            most = max(np.count_nonzero(kept[roots]) for roots in sides)
            for roots in sides:
                while np.count_nonzero(kept[roots]) < most:
                    kept[roots[~kept[roots]][0]] = changed = True
        return changed

    def _constant(self, nonzero: dict[int, Array]) -> Array:
        """Channels that may go because they never change."""
        made = self._at(w.roots[axis] for w in self._weights for axis in w.columns)
        constant = self._settled(made & ~self._stays & ~self._varied(nonzero), nonzero)
        zero = self._settled(constant & ~self._offset(nonzero), nonzero)
        free = zero | constant & ~self._is_padded
        return free | self._merged(constant & ~free & ~self._is_single, nonzero)

    def _merged(self, constant: Array, nonzero: dict[int, Array]) -> Array:
        """Constants that go since another takes over the weights that read them."""
        uses: dict[int, list[tuple[int, int, int]]] = {
            one: [] for one in np.flatnonzero(constant).tolist()
        }
        mixed = np.zeros_like(constant)
        for weight, axis in self._rows() if uses else ():
            roots, is_plain = weight.roots[axis], weight.roles[axis] == {"reads"}
            if not is_plain or weight.rows != [axis]:
                mixed[roots] = True
            for row in np.flatnonzero(constant[roots]).tolist():
                uses[int(roots[row])].append((id(weight.variable), axis, row))
        alike: dict[Any, list[int]] = {}
        for root, places in uses.items():
            if places and not mixed[root]:
                alike.setdefault(tuple(sorted(key for key, _, _ in places)), []).append(root)
        for first, *others in alike.values():
            for root in others:
                for (key, axis, to), (_, _, row) in zip(uses[first], uses[root], strict=True):
                    entries = np.moveaxis(nonzero[key], axis, 0)
                    entries[to] |= entries[row]
        return self._at(others for _, *others in alike.values())

    def _settled(self, still: Array, nonzero: dict[int, Array]) -> Array:
        """Those of some channels that are made of such alone."""
        before = None
        while before is None or not np.array_equal(before, still):
            before = still.copy()
            for weight in self._weights:
                rows = {axis: ~still[weight.roots[axis]] for axis in weight.rows}
                for axis in weight.columns:
                    if still[weight.roots[axis]].any():
                        live = weight.live(nonzero[id(weight.variable)], rows, axis)
                        live &= self._factor(weight.variable, nonzero)
                        still[weight.roots[axis][live]] = False
        return still

    def _factor(self, variable: Any, nonzero: dict[int, Array]) -> Any:
        """Where the scale of a normalization that follows a variable is not zero."""
        scale = self.scales.get(id(variable))
        return True if scale is None else nonzero[id(scale)]

    def _varied(self, nonzero: dict[int, Array]) -> Array:
        """Channels that tables of several dimensions are added to, and states with a bias."""
        recurrent = [w for w in self._weights if _is_recurrent(w)]
        states = self._at(weight.roots[1] for weight in recurrent) & self._offset(nonzero)
        tables = [w for w in self._weights if id(w.variable) in self._operands and not w.columns]
        varied = self._at(
            roots[w.live(nonzero[id(w.variable)], {}, axis)]
            for w in tables
            if len(w.variable.shape) > 1
            for axis, roots in w.roots.items()
        )
        return states | varied

    def _offset(self, nonzero: dict[int, Array]) -> Array:
        """Channels that something is added to."""
        return self._at(
            roots[w.live(nonzero[id(w.variable)], {}, axis) & self._factor(w.variable, nonzero)]
            for w in self._weights
            if not w.columns and w.variable.name not in _FACTORS
            if len(w.variable.shape) < 3
            for axis, roots in w.roots.items()
        )

    def _kept(self, nonzero: dict[int, Array], free: Array, kept: Array | None = None) -> Array:
        """The channels that stay, beginning with those that must."""
        kept = (self._stays if kept is None else kept) | ~self._is_read & ~free
        before = None
        while before is None or not np.array_equal(before, kept):
            before = kept.copy()
            for weight, axis in self._rows():
                others = {at: kept[weight.roots[at]] for at in weight.columns}
                others |= {at: ~free[weight.roots[at]] for at in weight.rows}
                live = weight.live(nonzero[id(weight.variable)], others, axis)
                needed = weight.roots[axis][live]
                kept[needed[~free[needed]]] = True
        return kept


def _size(weight: Weight, kept: Array) -> int:
    shape = list(weight.variable.shape)
    for axis, roots in weight.roots.items():
        shape[axis] = int(np.count_nonzero(kept[roots]))
    return int(np.prod(shape))


def _is_recurrent(weight: Weight) -> bool:
    """Whether a kernel reads the channels that it makes."""
    if set(weight.roots) != {0, 1} or weight.rows != [0]:
        return False
    return bool(np.isin(weight.roots[0], weight.roots[1]).all())


def _scales(model: Any) -> dict[int, Any]:
    """For variables whose results a normalization multiplies, its scale, by their `id`."""
    followers = calls(model).followers
    found: dict[int, Any] = {}
    for layer in layers_in(model):
        own = rule_of(layer, "scale")
        if own is not None and own(layer) is not None:
            found.update((id(one), own(layer)) for one in layer.variables if "mean" in one.name)
        rule = rule_of(followers.get(id(layer)), "scale")
        scale = None if rule is None else rule(followers[id(layer)])
        if scale is None:
            continue
        for one in layer.weights:
            if len(one.shape) and one.shape[-1] == scale.shape[0]:
                found[id(one)] = scale
    return found
