"""Counts of a model that is read again and again: one compiled pass, a few numbers out.

One pass over the weights packs the supports into bits, a 32nd of their size, and all else reads
those. They stay on the device, so that the next reading can tell what changed.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_reg.ops import bits
from keras_reg.ops.backend import compiled, read
from keras_reg.report.analysis import Analysis
from keras_reg.report.counting import Counts, Reading, counts_of, patterns_of, values
from keras_reg.report.rows import REDUCTIONS
from keras_reg.structure.layout import Layout


class KernelKey(NamedTuple):
    """What the pass knows of a kernel. It is hashable: equal models share a compiled pass."""

    layout: Layout
    has_near: bool


class CompiledReader:
    """Reads a model, and each time again.

    Args:
        analysis: what is in the model.
        tolerances: for each kernel the fraction of its largest weight that is near zero.
    """

    def __init__(self, analysis: Analysis, tolerances: list[float]):
        self._analysis, self._tolerances = analysis, tolerances
        pairs = zip(analysis.kernels, tolerances, strict=True)
        self._kernels = tuple(
            KernelKey(kernel.layout, tolerance > 0) for kernel, tolerance in pairs
        )
        self._codes: list[Any] | None = None

    def read(self) -> Reading:
        """Counts the weights as they are now."""
        pack, count = _compiled(self._kernels)
        arrays = [read(kernel.variable) for kernel in self._analysis.kernels]
        vectors = [read(variable) for variable in self._analysis.vectors]
        codes, near, figures = pack(arrays, ops.convert_to_tensor(self._tolerances, "float32"))
        before = codes if self._codes is None else self._codes
        numbers, flags = count(codes, near, before, vectors)
        reading = self._unpacked(*(ops.convert_to_numpy(one) for one in (numbers, flags, figures)))
        self._codes = codes
        return reading

    def _unpacked(self, numbers: np.ndarray, flags: np.ndarray, figures: np.ndarray) -> Reading:
        left, bytes_left = iter(numbers.tolist()), iter(np.split(flags, self._ends()))
        counts = {}
        for at, (one, kernel) in enumerate(zip(self._kernels, self._analysis.kernels, strict=True)):
            alive, changed = next(left), next(left)
            near = next(left) if one.has_near else 0
            full = {f"{n}:{m}": next(left) for n, m in patterns_of(one.layout)}
            inputs, outputs = (next(bytes_left).astype(bool) for _ in range(2))
            found = dict(zip(REDUCTIONS, figures[at].tolist(), strict=True))
            made = Counts(alive, inputs, outputs, near, full, found)
            if not np.isfinite(figures[at]).all():
                made = counts_of(values(kernel.variable), one.layout, self._tolerances[at])
            is_first = self._codes is None
            counts[id(kernel.variable)] = made._replace(changed=None if is_first else changed)
        shapes = [(id(v), tuple(v.shape)) for v in self._analysis.vectors]
        entries = {key: next(bytes_left).astype(bool).reshape(shape) for key, shape in shapes}
        return Reading(counts, entries)

    def _ends(self) -> np.ndarray:
        layouts = [kernel.layout for kernel in self._kernels]
        sizes = [size for one in layouts for size in (one.input_groups, one.output_groups)]
        sizes += [int(np.prod(variable.shape)) for variable in self._analysis.vectors]
        return np.cumsum(sizes)[:-1]


@functools.lru_cache(maxsize=64)
def _compiled(kernels: tuple[KernelKey, ...]) -> tuple[Callable, Callable]:
    # Two programs: in one, compilers pack the bits anew for every count of them.
    pack, count = functools.partial(_pack, kernels), functools.partial(_count, kernels)
    return compiled(pack), compiled(count)


def _pack(kernels: tuple[KernelKey, ...], arrays: list[Any], tolerances: Any) -> tuple:
    codes, near, figures = [], [], []
    for at, (kernel, array) in enumerate(zip(kernels, arrays, strict=True)):
        array = _wide(array)
        figures.append([getattr(ops, by)(of(ops, array)) for by, of in REDUCTIONS.values()])
        codes.append(_packed_rows(ops.not_equal(array, 0), kernel.layout))
        if kernel.has_near:
            size = ops.abs(array)
            is_small = ops.less_equal(size, tolerances[at] * ops.max(size))
            is_near = ops.logical_and(is_small, ops.not_equal(array, 0))
            near.append(_packed_rows(is_near, kernel.layout))
    # A figure of float64 weights is rounded to float32.
    return codes, near, ops.stack([ops.stack([ops.cast(x, "float32") for x in f]) for f in figures])


def _wide(array: Any) -> Any:
    is_double = keras.backend.standardize_dtype(array.dtype) == "float64"
    return ops.stop_gradient(array if is_double else ops.cast(array, "float32"))


def _count(
    kernels: tuple[KernelKey, ...],
    codes: list[Any],
    near: list[Any],
    before: list[Any],
    vectors: list,
) -> tuple[Any, Any]:
    numbers: list[Any] = []
    flags: list[Any] = []
    remaining = iter(near)
    for kernel, code, last in zip(kernels, codes, before, strict=True):
        numbers += [bits.count(code), bits.count(ops.bitwise_xor(code, last))]
        if kernel.has_near:
            numbers.append(bits.count(next(remaining)))
        numbers += [bits.fuller_blocks(code, n, m) for n, m in patterns_of(kernel.layout)]
        flags += _alive_groups(code, kernel.layout)
    flags += [ops.not_equal(vector, 0) for vector in vectors]
    as_bytes = [ops.cast(ops.reshape(one, (-1,)), "uint8") for one in flags]
    return ops.stack(numbers), ops.concatenate(as_bytes)


def _packed_rows(flags: Any, layout: Layout) -> Any:
    """Booleans of a kernel's shape in bits: one matrix for each shared index, outputs last.

    The rest and the inputs lie along the packed axis, so that blocks of 4 inputs are half a byte.

    Shapes: result: (shared, ceil(rest * inputs / 8), outputs), uint8.
    """
    if layout.order != tuple(range(len(layout.shape))):
        flags = ops.transpose(flags, layout.order)
    return bits.pack(ops.reshape(flags, (layout.length(layout.shared), _rows(layout), -1)))


def _alive_groups(code: Any, layout: Layout) -> tuple[Any, Any]:
    """Which groups by input and by output have an entry that is set.

    Shapes: (shared, inputs) and (shared, outputs), bool.
    """
    shared, inputs = layout.length(layout.shared), layout.length(layout.inputs)
    rows = bits.unpack(bits.any_along(code, -1), _rows(layout))
    by_input = ops.any(ops.reshape(rows, (shared, -1, inputs)), axis=1)
    by_output = ops.not_equal(ops.max(code, axis=-2), 0)
    return by_input, ops.reshape(by_output, (shared, -1))


def _rows(layout: Layout) -> int:
    return layout.length(layout.rest) * layout.length(layout.inputs)
