"""removable(model): what `compact` would remove, what it would keep, and why."""

import math
import pathlib
import tempfile
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_reg.compacting import constants
from keras_reg.compacting.removal import owner_of
from keras_reg.compacting.smaller import Options, Smaller, check, verified
from keras_reg.keras_private import layers_in
from keras_reg.structure.families.attention import has_one_size
from keras_reg.structure.graph import product, total
from keras_reg.structure.weights import is_kernel, path_of

_WIDTH = 80


class Resized(NamedTuple):
    """A kernel before and after.

    Args:
        name: str. The layer.
        before, after: tuples of ints. The shapes.
        factors: tuple of shapes. Those of the two kernels that take its place with `low_rank`.
    """

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    factors: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        after = " @ ".join(map(str, self.factors or (self.after,)))
        return f"{self.name} {self.before} -> {after}"


class Stays(NamedTuple):
    """Channels that stay though they are zero or constant.

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
        file_size: pair of ints, or None if the model cannot be saved. Bytes of the `.keras` files,
            without optimizers.
        compared: dict from the names of the outputs that were compared to the largest difference.
        notes: tuple of str. What else changes: models that become Functional ones, and why; sizes
            with which attention does not run on JAX.
    """

    def __init__(
        self,
        name: str,
        resized: tuple[Resized, ...],
        stays: tuple[Stays, ...],
        parameters: tuple[int, int],
        macs: tuple[int, int] | None,
        size: tuple[int, int],
        file_size: tuple[int, int] | None,
        compared: dict[str, float],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name, self.resized, self.stays = name, resized, stays
        self.parameters, self.macs = parameters, macs
        self.size, self.file_size = size, file_size
        self.compared, self.notes = compared, notes

    def __repr__(self) -> str:
        before, after = self.parameters
        return f"Compaction({self.name}: {before:,} -> {after:,} parameters)"

    def __str__(self) -> str:
        totals = [f"{self.parameters[0]:,} -> {self.parameters[1]:,} parameters"]
        if self.macs is not None:
            totals.append(f"{self.macs[0]:,} -> {self.macs[1]:,} multiply-adds")
        totals.append(f"{_kib(self.size)} of weights")
        if self.file_size is not None:
            totals.append(f"{_kib(self.file_size)} in a .keras file")
        if self.compared:
            totals.append(f"outputs compared: {', '.join(self.compared)}")
        lines = [self.name, *(f"  {total}" for total in totals), *map(str, self.resized)]
        lines += self.notes
        lines += [f"{one.name} keeps {one.channels} constant: {one.why}" for one in self.stays]
        return "\n".join(part for line in lines for part in _wrapped(line))


def _kib(pair: tuple[int, int]) -> str:
    before, after = (size / 1024 for size in pair)
    return f"{before:,.1f} -> {after:,.1f} KiB"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def removable(
    model: keras.Model,
    *,
    multiple_of: int = 1,
    low_rank: bool = False,
    exact_norms: bool = False,
    verify: Any = True,
) -> Compaction:
    """Tells what `compact` would remove, and what would stay though it is zero or constant.

    It builds the smaller model, and saves both to a temporary folder to tell the sizes of files.

    Args:
        model: a built model. It is left as it is.
        multiple_of: int. As for `compact`.
        low_rank: bool. As for `compact`.
        exact_norms: bool. As for `compact`.
        verify: as for `compact`.

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
        >>> print(removable(model))  # doctest: +ELLIPSIS
        net
          26 -> 14 parameters
          20 -> 10 multiply-adds
          0.1 -> 0.1 KiB of weights
          ... KiB in a .keras file
          outputs compared: b
        a (3, 4) -> (3, 2)
        b (4, 2) -> (2, 2)
    """
    options = Options(multiple_of, low_rank, exact_norms)
    check(model, options)
    small = verified(model, options, verify)
    return Compaction(
        model.name,
        tuple(_resized(small, model)),
        tuple(stays_of(small, model)),
        (model.count_params(), small.model.count_params()),
        _macs(small, model),
        (_bytes(model), _bytes(small.model)),
        _files(model, small.model),
        small.compared,
        tuple(_notes(small)),
    )


def _notes(small: Smaller) -> Iterator[str]:
    for one, why in small.classes.items():
        yield f"{one}, becomes Functional: {why or 'what is between its layers changes'}"
    for layer in layers_in(small.model):
        if isinstance(layer, keras.layers.MultiHeadAttention):
            config = layer.get_config()
            key, value = config["key_dim"], config["value_dim"]
            if key != value and has_one_size(layer, anywhere=True):
                yield f"{layer.name} has keys of {key} and values of {value}: JAX wants one size"


def _layer(variable: Any, model: Any) -> str:
    return owner_of(variable).removeprefix(f"{model.name}/")


def _shapes(small: Smaller, kernel: Any) -> tuple[tuple[int, ...], ...]:
    """The shape of a kernel in the smaller model, or of the two that take its place."""
    return small.split.get(path_of(kernel), (_after(small, kernel),))


def _after(small: Smaller, kernel: Any) -> tuple[int, ...]:
    kept = small.values.kept(kernel)
    return tuple(len(kept.get(axis, range(n))) for axis, n in enumerate(kernel.shape))


def _resized(small: Smaller, model: Any) -> list[Resized]:
    rows = []
    for one in filter(is_kernel, model.weights):
        shapes, before = _shapes(small, one), tuple(one.shape)
        if shapes != (before,):
            factors = shapes if len(shapes) > 1 else ()
            rows.append(Resized(_layer(one, model), before, _after(small, one), factors))
    return rows


def stays_of(small: Smaller, model: Any) -> list[Stays]:
    """By the layer that makes them: channels that are constant somewhere, and are kept."""
    survey, removal = small.survey, small.removal
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
                why = removal.reasons[root].removeprefix(f"{model.name}/")
                key = _layer(slot.variable, model), why
                found[key] = found.get(key, 0) + 1
    return [Stays(name, count, why) for (name, why), count in found.items()]


def _macs(small: Smaller, model: Any) -> tuple[int, int] | None:
    """Of kernels and of attention's scores, None if a length is unknown."""
    before, after = [], []
    for one in filter(is_kernel, model.weights):
        uses = small.survey.times.get(id(one))
        before.append(product((uses, math.prod(one.shape))))
        after.append(product((uses, sum(map(math.prod, _shapes(small, one))))))
    for uses, places in small.survey.scores:
        axes = [small.survey.slots[place].labels for place in places]
        before.append(product((uses, *map(len, axes))))
        after.append(product((uses, *(len(small.removal.kept(labels)) for labels in axes))))
    whole, left = total(before), total(after)
    return None if whole is None or left is None else (whole, left)


def _bytes(model: Any) -> int:
    return sum(keras.ops.convert_to_numpy(one).nbytes for one in model.weights)


def _files(model: Any, small: Any) -> tuple[int, int] | None:
    """The sizes of the files of two models, None if one cannot be saved."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        try:
            before, after = (_saved(one, path) for one in (model, small))
        except Exception:  # What the config of a user's layer raises is not known here.
            return None
        return before, after


def _saved(model: Any, path: pathlib.Path) -> int:
    model.save(path, include_optimizer=False)
    return path.stat().st_size
