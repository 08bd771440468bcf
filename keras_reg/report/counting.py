"""Counts of one reading of a model's weights, in NumPy."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_reg.ops.backend import on_host
from keras_reg.report.analysis import Analysis
from keras_reg.report.rows import PATTERNS, REDUCTIONS
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
        kernels: dict from the `id` of a kernel to its `Counts`, in the order of the analysis.
        vectors: dict from the `id` of a variable to which of its entries are not zero.
    """

    kernels: dict[int, Counts]
    vectors: dict[int, np.ndarray]


def read_once(analysis: Analysis, tolerances: list[float]) -> Reading:
    """Counts a model.

    Args:
        analysis: what is in the model.
        tolerances: for each kernel the fraction of its largest weight that is near zero.
    """
    kernels = {
        id(kernel.variable): counts_of(values(kernel.variable), kernel.layout, tolerance)
        for kernel, tolerance in zip(analysis.kernels, tolerances, strict=True)
    }
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


def alive_units(units: Units, reading: Reading) -> int:
    """How many units, or heads, live."""

    def flags(part: Any) -> np.ndarray:
        key = id(part.variable)
        is_vector = part.side is None
        return part.take(
            reading.vectors[key] if is_vector else getattr(reading.kernels[key], part.side)
        )

    alive = np.any([flags(part) for part in units.made], axis=0)
    if units.read:
        alive = alive & np.any([flags(part) for part in units.read], axis=0)
    return int(np.count_nonzero(alive))


def _blocks(w: np.ndarray) -> Iterator[slice]:
    """Slices of the rows, each of a multiple of 8 rows, so that no N:M block is cut."""
    row = max(1, w.shape[0] * w.shape[2] * w.itemsize)
    step = max(8, _BLOCK // row // 8 * 8)
    return (slice(start, start + step) for start in range(0, w.shape[1], step))


def _together(flags: np.ndarray, m: int) -> np.ndarray:
    """How many of each m consecutive rows are set."""
    numbers = flags.view("uint8")
    return np.add.reduce([numbers[:, at::m] for at in range(m)], dtype="uint8")
