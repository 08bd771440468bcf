"""Counts of one reading of a model's weights, in NumPy, and what is left without dead channels."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_reg.ops.backend import on_host
from keras_reg.report.analysis import Analysis
from keras_reg.report.rows import PATTERNS, REDUCTIONS
from keras_reg.structure.channels.left import Wiring
from keras_reg.structure.graph import product
from keras_reg.structure.layout import Layout
from keras_reg.structure.units import Units

# Bytes that are looked at together, so that they stay in the processor's cache.
_BLOCK = 1 << 18


class Counts(NamedTuple):
    """What was counted in one kernel.

    Args:
        alive: int. Weights that are not zero.
        inputs: bool array. Which groups by input have one.
        outputs: bool array. Which groups by output have one.
        near: int. Weights that are near zero and not zero.
        full: dict from "n:m" to how many blocks of m inputs have more than n that are not zero.
        figures: dict from the names of `REDUCTIONS` to their values.
        invalid: int. NaN and infinities.
        changed: int or None. Weights that became zero or ceased to be since the last reading.
    """

    alive: int
    inputs: np.ndarray
    outputs: np.ndarray
    near: int
    full: dict[str, int]
    figures: dict[str, float]
    invalid: int = 0
    changed: int | None = None


class Reading(NamedTuple):
    """What was counted in a model.

    Args:
        kernels: list of `Counts`, in the order of the analysis.
        vectors: dict from the `id` of a variable to which of its entries are not zero.
    """

    kernels: list[Counts]
    vectors: dict[int, np.ndarray]


def read_once(analysis: Analysis, tolerances: list[float]) -> Reading:
    """Counts a model.

    Args:
        analysis: what is in the model.
        tolerances: for each kernel the fraction of its largest weight that is near zero.
    """
    kernels = [
        counts_of(values(kernel.variable), kernel.layout, tolerance)
        for kernel, tolerance in zip(analysis.kernels, tolerances, strict=True)
    ]
    return Reading(kernels, {id(v): values(v) != 0 for v in analysis.vectors})


def values(variable: Any) -> np.ndarray:
    """A variable's values, in a type that NumPy computes with."""
    array = on_host(variable)
    return array if array.dtype in ("float32", "float64") else array.astype("float32")


def counts_of(w: np.ndarray, layout: Layout, tolerance: float = 0.0) -> Counts:
    """Counts a kernel.

    Example:
        >>> w = np.array([[0.0, 0.0], [0.0, 1.0]], "float32")
        >>> counts = counts_of(w, Layout((2, 2), inputs=(0,), outputs=(1,)))
        >>> counts.alive, counts.inputs.tolist(), counts.figures
        (1, [False, True], {'largest': 1.0})
    """
    shared, inputs = layout.length(layout.shared), layout.length(layout.inputs)
    w = np.transpose(w, layout.order).reshape(shared, layout.length(layout.rest) * inputs, -1)
    figures = figures_of(w)
    invalid = 0
    if not np.isfinite(list(figures.values())).all():
        is_finite = np.isfinite(w)
        invalid = w.size - int(np.count_nonzero(is_finite))
        figures = figures_of(np.where(is_finite, w, 0))
    bound = w.dtype.type(tolerance) * w.dtype.type(figures["largest"])
    alive = near = 0
    by_row, by_output = np.zeros(w.shape[:2], bool), np.zeros((shared, w.shape[2]), bool)
    full = dict.fromkeys(patterns_of(layout), 0)
    for at in _blocks(w):
        flags = w[:, at] != 0
        alive += int(np.count_nonzero(flags))
        by_row[:, at] = flags.any(axis=2)
        by_output |= flags.any(axis=1)
        if bound > 0:
            near += int(np.count_nonzero(flags & (np.abs(w[:, at]) <= bound)))
        for n, m in full:
            full[n, m] += int(np.count_nonzero(_together(flags, m) > n))
    return Counts(
        alive,
        by_row.reshape(shared, -1, inputs).any(axis=1).ravel(),
        by_output.ravel(),
        near,
        {f"{n}:{m}": many for (n, m), many in full.items()},
        figures,
        invalid,
    )


def figures_of(w: np.ndarray) -> dict[str, float]:
    """The figures of `REDUCTIONS` of a kernel, (shared, rows, outputs).

    Example:
        >>> figures_of(np.array([[[1.0], [-2.0]]]))
        {'largest': 2.0}
    """
    found = {}
    for name, (by, function) in REDUCTIONS.items():
        reduce = getattr(np, by)
        found[name] = float(reduce([reduce(function(np, w[:, at])) for at in _blocks(w)]))
    return found


def patterns_of(layout: Layout) -> list[tuple[int, int]]:
    """The N:M patterns that can be counted: those whose m divides the inputs.

    Example:
        >>> patterns_of(Layout((4, 3), inputs=(0,), outputs=(1,)))
        [(1, 4), (2, 4)]
    """
    inputs = layout.length(layout.inputs)
    return [(n, m) for n, m in PATTERNS if inputs % m == 0]


def alive_units(units: Units, analysis: Analysis, reading: Reading) -> int:
    """How many units, or heads, live."""
    kernels = {id(kernel.variable): at for at, kernel in enumerate(analysis.kernels)}

    def flags(part: Any) -> np.ndarray:
        if part.side is None:
            return part.take(reading.vectors[id(part.variable)])
        return part.take(getattr(reading.kernels[kernels[id(part.variable)]], part.side))

    alive = np.any([flags(part) for part in units.made], axis=0)
    if units.read:
        alive = alive & np.any([flags(part) for part in units.read], axis=0)
    return int(np.count_nonzero(alive))


class Left(NamedTuple):
    """Entries of variables that are left.

    Args:
        entries: dict from the `id` of a variable to a number; all are left of one that is missing.
        unknown: str or None. Why it is not known.
        scores: int or None. Multiply-adds of attention besides those of weights; None: all.
    """

    entries: dict[int, int]
    unknown: str | None = None
    scores: int | None = None

    def of(self, variable: Any) -> int:
        """How many entries of a variable are left."""
        every = product(tuple(variable.shape)) or 0
        return self.entries.get(id(variable), every)


class Remainder:
    """Says what is left of a model, again and again; its graph is read at the first zero group.

    Args:
        model: a built model or layer.
        vectors: the variables that its units and heads read besides kernels.
    """

    def __init__(self, model: Any, vectors: list[Any]) -> None:
        self._model = model
        self._scales = {id(one) for one in vectors if one.name == "gamma"}
        self._wiring: Wiring | None = None
        self._unknown: str | None = None

    def left(self, reading: Reading) -> Left:
        """What is left of the weights as they are now."""
        if not self._has_zero_groups(reading):
            return Left({})
        if self._wiring is None and self._unknown is None:
            try:
                self._wiring = Wiring(self._model)
            except Exception as error:  # What the code of a user's model raises is not known here.
                self._unknown = f"{error}" or type(error).__name__
        if self._wiring is None:
            return Left({}, self._unknown)
        entries, scores = self._wiring.left(values)
        return Left(entries, scores=scores)

    def _has_zero_groups(self, reading: Reading) -> bool:
        """Whether any row, column or scale is zero; without one all channels do something."""
        sides = [side for one in reading.kernels for side in (one.inputs, one.outputs)]
        scales = [flags for key, flags in reading.vectors.items() if key in self._scales]
        return not all(flags.all() for flags in (*sides, *scales))


def _blocks(w: np.ndarray) -> Iterator[slice]:
    """Slices of the rows, each of a multiple of 8 rows, so that no N:M block is cut."""
    row = max(1, w.shape[0] * w.shape[2] * w.itemsize)
    step = max(8, _BLOCK // row // 8 * 8)
    return (slice(start, start + step) for start in range(0, w.shape[1], step))


def _together(flags: np.ndarray, m: int) -> np.ndarray:
    """How many of each m consecutive rows are set."""
    numbers = flags.view("uint8")
    return np.add.reduce([numbers[:, at::m] for at in range(m)], dtype="uint8")
