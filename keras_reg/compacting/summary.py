"""removable(model): what `compact` would remove, what it would keep, and why."""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_reg.compacting import constants
from keras_reg.compacting.removal import Removal
from keras_reg.compacting.smaller import built, check
from keras_reg.compacting.survey import Survey
from keras_reg.structure.weights import is_kernel, path_of

_WIDTH = 80


class Resized(NamedTuple):
    """A kernel before and after.

    Args:
        name: str. The layer.
        before, after: tuples of ints. The shapes.
    """

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]


class Stays(NamedTuple):
    """Channels that stay though they are constant.

    Args:
        name: str. The layer that makes them.
        channels: int. How many.
        why: str.
    """

    name: str
    channels: int
    why: str


class Compaction:
    """What `compact` does to a model. It prints as a table of 80 columns.

    Args:
        name: str. The model's name.
        resized: tuple of `Resized`. The kernels that get smaller.
        stays: tuple of `Stays`.
        parameters: pair of ints. Before and after.
        macs: pair of ints, or None where a length is not known. Multiply-adds for one example.
        size: pair of ints. Bytes of the weights.
    """

    def __init__(
        self,
        name: str,
        resized: tuple[Resized, ...],
        stays: tuple[Stays, ...],
        parameters: tuple[int, int],
        macs: tuple[int, int] | None,
        size: tuple[int, int],
    ) -> None:
        self.name, self.resized, self.stays = name, resized, stays
        self.parameters, self.macs, self.size = parameters, macs, size

    def __repr__(self) -> str:
        before, after = self.parameters
        return f"Compaction({self.name}: {before:,} -> {after:,} parameters)"

    def __str__(self) -> str:
        totals = [f"{self.parameters[0]:,} -> {self.parameters[1]:,} parameters"]
        if self.macs is not None:
            totals.append(f"{self.macs[0]:,} -> {self.macs[1]:,} multiply-adds")
        totals.append(f"{self.size[0] / 1024:,.1f} -> {self.size[1] / 1024:,.1f} KiB of weights")
        lines = [self.name, *(f"  {total}" for total in totals)]
        lines += [f"{one.name} {one.before} -> {one.after}" for one in self.resized]
        lines += [f"{one.name} keeps {one.channels} constant: {one.why}" for one in self.stays]
        return "\n".join(line if len(line) <= _WIDTH else f"{line[:77]}..." for line in lines)


def removable(model: keras.Model, *, multiple_of: int = 1) -> Compaction:
    """Tells what `compact` would remove, and what would stay though it is constant.

    Args:
        model: a built Sequential or Functional model. It is left as it is.
        multiple_of: as for `compact`.

    Returns:
        A `Compaction`.

    Raises:
        ValueError: as `compact`.

    Example:
        >>> model = keras.Sequential([keras.Input((3,))], name="net")
        >>> model.add(keras.layers.Dense(4, activation="relu", name="a"))
        >>> model.add(keras.layers.Dense(2, name="b"))
        >>> kernel, *others = model.get_weights()
        >>> model.set_weights([kernel * [1.0, 0.0, 0.0, 1.0], *others])
        >>> print(removable(model))
        net
          26 -> 14 parameters
          20 -> 10 multiply-adds
          0.1 -> 0.1 KiB of weights
        a (3, 4) -> (3, 2)
        b (4, 2) -> (2, 2)
    """
    check(model, multiple_of)
    small, survey, removal, _, _ = built(model, multiple_of, opens=True)
    return Compaction(
        model.name,
        tuple(_resized(survey, removal, model)),
        tuple(_stays(survey, removal, model)),
        (model.count_params(), small.count_params()),
        _macs(survey, removal, model),
        (_bytes(model), _bytes(small)),
    )


def _layer(variable: Any, model: Any) -> str:
    return path_of(variable).rpartition("/")[0].removeprefix(f"{model.name}/")


def _new_shape(survey: Survey, removal: Removal, variable: Any) -> tuple[int, ...]:
    slots = [survey.slots.get((id(variable), axis)) for axis in range(len(variable.shape))]
    return tuple(
        length if slot is None else len(removal.kept(slot.labels))
        for slot, length in zip(slots, variable.shape, strict=True)
    )


def _resized(survey: Survey, removal: Removal, model: Any) -> list[Resized]:
    kernels = [one for one in model.weights if is_kernel(one)]
    rows = [
        Resized(_layer(one, model), tuple(one.shape), _new_shape(survey, removal, one))
        for one in kernels
    ]
    return [row for row in rows if row.before != row.after]


def _stays(survey: Survey, removal: Removal, model: Any) -> list[Stays]:
    """By the layer that makes them: channels that are constant somewhere, and are kept."""
    constant = np.zeros(len(removal.roots), bool)
    for traced in survey.traced:
        for axis, labels in traced.axes.items():
            known = np.broadcast_to(constants.along(survey.known(traced), axis), labels.shape)
            constant[removal.roots[labels[~np.isnan(known)]]] = True
    found: dict[tuple[str, str], int] = {}
    for slot in survey.slots.values():
        kept = slot.labels[removal.kept(slot.labels)]
        if "makes" in slot.roles:
            for root in removal.roots[kept][constant[removal.roots[kept]]].tolist():
                why = removal.reasons.get(root, "read where it is not, or is padded")
                key = _layer(slot.variable, model), why
                found[key] = found.get(key, 0) + 1
    return [Stays(name, count, why) for (name, why), count in found.items()]


def _macs(survey: Survey, removal: Removal, model: Any) -> tuple[int, int] | None:
    kernels = [one for one in model.weights if is_kernel(one)]
    times = [survey.times.get(id(one)) for one in kernels]
    if any(uses is None for uses in times):
        return None
    new = [_new_shape(survey, removal, one) for one in kernels]
    pairs = [
        (uses * int(np.prod(one.shape)), uses * int(np.prod(shape)))
        for uses, one, shape in zip(times, kernels, new, strict=True)
        if uses is not None
    ]
    return sum(before for before, _ in pairs), sum(after for _, after in pairs)


def _bytes(model: Any) -> int:
    return sum(keras.ops.convert_to_numpy(one).nbytes for one in model.weights)
