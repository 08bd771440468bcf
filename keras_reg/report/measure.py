"""The compiled pass: weights in, a few numbers for each out, in one vector."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_reg.ops import bits
from keras_reg.ops.backend import compiled
from keras_reg.report.plan import Heads, Kernel, Spec
from keras_reg.report.rows import PATTERNS
from keras_reg.report.supports import alive_groups, packed_rows
from keras_reg.report.units import Part
from keras_reg.structure.layout import Layout


class State(NamedTuple):
    """What a report remembers on the device, for each kernel.

    Args:
        codes: the supports, in bits.
        first_inputs: the report in which each group by input was first zero; -1: in none so far.
        first_outputs: the same for groups by output.
    """

    codes: list[Any]
    first_inputs: list[Any]
    first_outputs: list[Any]


class Counts(NamedTuple):
    """What was counted in one kernel."""

    alive: int
    inputs: int
    outputs: int
    left: int
    near: int
    full: tuple[int | None, ...]
    changed: int


def numbers(
    spec: Spec, arrays: list[Any], tolerances: list[float], state: State | None, now: int
) -> tuple[Any, State]:
    """Counts on the device. `unpacked` reads the result.

    Two compiled calls: the first reads the weights and packs the supports, the second reads those.
    In one, compilers pack anew for every count.

    Args:
        spec: what to count.
        arrays: the values, kernels first.
        tolerances: for each kernel the fraction of its largest weight that is near zero.
        state: that of the last report, or None.
        now: int. The number of this report.
    """
    pack, count = _compiled(spec)
    count_kernels = len(spec.kernels)
    codes, near = pack(arrays[:count_kernels], ops.convert_to_tensor(tolerances, "float32"))
    if not spec.over_time:
        state = State([], [], [])
    elif state is None:
        state = State(codes, *_never(spec))
    return count(codes, near, arrays[count_kernels:], state, ops.convert_to_tensor(now, "int32"))


def unpacked(spec: Spec, vector: np.ndarray) -> tuple[list[Counts], list[int], list[int]]:
    """The counts of each kernel, the units of each layer that live, and its zero heads."""
    high, low = np.reshape(vector, (-1, 2)).astype("int64").T
    values = iter((high * _BASE + low).tolist())
    counts = []
    for kernel in spec.kernels:
        alive, inputs, outputs, left = (next(values) for _ in range(4))
        near = next(values) if kernel.near else 0
        full = tuple(next(values) if _is_divided(kernel.layout, m) else None for _, m in PATTERNS)
        changed = next(values) if spec.over_time else 0
        counts.append(Counts(alive, inputs, outputs, left, near, full, changed))
    return counts, [next(values) for _ in spec.units], [next(values) for _ in spec.heads]


# float32 holds integers up to its square exactly: a count goes as two of them.
_BASE = 1 << 16


@functools.lru_cache(maxsize=64)
def _compiled(spec: Spec) -> tuple[Callable, Callable]:
    pack = functools.partial(_pack, spec.kernels)
    count = functools.partial(_count, spec)
    return compiled(pack), compiled(count)


def _never(spec: Spec) -> tuple[list[Any], list[Any]]:
    layouts = [kernel.layout for kernel in spec.kernels]
    sizes = [[one.input_groups for one in layouts], [one.output_groups for one in layouts]]
    first, second = ([ops.full((size,), -1, "int32") for size in row] for row in sizes)
    return first, second


def _pack(kernels: tuple[Kernel, ...], arrays: list[Any], tolerances: Any) -> tuple:
    codes, near = [], []
    for at, (kernel, array) in enumerate(zip(kernels, arrays, strict=True)):
        codes.append(packed_rows(ops.not_equal(array, 0), kernel.layout))
        if kernel.near:
            size = ops.abs(_wide(array))
            bound = tolerances[at] * ops.max(size)
            is_near = ops.logical_and(ops.less_equal(size, bound), ops.not_equal(array, 0))
            near.append(packed_rows(is_near, kernel.layout))
    return codes, near


def _wide(array: Any) -> Any:
    is_double = keras.backend.standardize_dtype(array.dtype) == "float64"
    return ops.stop_gradient(array if is_double else ops.cast(array, "float32"))


def _count(
    spec: Spec, codes: list[Any], near: list[Any], vectors: list[Any], state: State, now: Any
) -> tuple[Any, State]:
    groups = [alive_groups(code, one.layout) for code, one in zip(codes, spec.kernels, strict=True)]
    found = []
    remaining = iter(near)
    for at, kernel in enumerate(spec.kernels):
        found += _of_kernel(kernel, codes[at], *groups[at])
        if kernel.near:
            found.append(bits.count(next(remaining)))
        found += _of_patterns(kernel.layout, codes[at])
        if spec.over_time:
            found.append(bits.count(ops.bitwise_xor(codes[at], state.codes[at])))
    found += [_alive_units(parts, groups, vectors) for parts in spec.units]
    found += [_zero_heads(heads, groups, vectors) for heads in spec.heads]
    if spec.over_time:
        both = zip((state.first_inputs, state.first_outputs), (0, 1), strict=True)
        state = State(codes, *(_first(known, groups, side, now) for known, side in both))
    return _vector(found), state


def _of_kernel(kernel: Kernel, code: Any, inputs: Any, outputs: Any) -> list[Any]:
    alive = [ops.sum(ops.cast(flags, "int32"), axis=1) for flags in (inputs, outputs)]
    rest = kernel.layout.length(kernel.layout.rest)
    left = rest * ops.sum(alive[0] * alive[1])
    return [bits.count(code), ops.sum(alive[0]), ops.sum(alive[1]), left]


def _of_patterns(layout: Layout, code: Any) -> list[Any]:
    return [bits.fuller_blocks(code, n, m) for n, m in PATTERNS if _is_divided(layout, m)]


def _is_divided(layout: Layout, m: int) -> bool:
    return not layout.shared and layout.length(layout.inputs) % m == 0


def _first(known: list[Any], groups: list[tuple], side: int, now: Any) -> list[Any]:
    result = []
    for first, flags in zip(known, groups, strict=True):
        is_new = ops.logical_and(
            ops.less(first, 0), ops.logical_not(ops.reshape(flags[side], (-1,)))
        )
        result.append(ops.where(is_new, now, first))
    return result


def _alive_units(parts: tuple[Part, ...], groups: list[tuple], vectors: list[Any]) -> Any:
    alive: Any = False
    for part in parts:
        if part.is_kernel:
            flags = ops.reshape(groups[part.array][1], (-1,))[part.start : part.stop]
        else:
            flags = _of_vector(part, vectors[part.array - len(groups)])
        alive = ops.logical_or(alive, flags)
    return ops.sum(ops.cast(alive, "int32"))


def _of_vector(part: Part, values: Any) -> Any:
    flags = ops.reshape(ops.not_equal(values[..., part.start : part.stop], 0), part.shape)
    others = tuple(axis for axis in range(len(part.shape)) if axis not in part.kept)
    order = sorted(part.kept)
    flags = ops.any(flags, axis=others) if others else flags
    flags = ops.transpose(flags, [order.index(axis) for axis in part.kept])
    return ops.reshape(ops.broadcast_to(ops.reshape(flags, part.grid), part.units), (-1,))


def _zero_heads(heads: Heads, groups: list[tuple], vectors: list[Any]) -> Any:
    value = ops.reshape(groups[heads.value][1], (heads.value_heads, -1))
    if heads.bias >= 0:
        bias = ops.not_equal(vectors[heads.bias - len(groups)], 0)
        value = ops.logical_or(value, ops.reshape(bias, (heads.value_heads, -1)))
    read = ops.repeat(ops.any(value, axis=1), heads.heads // heads.value_heads)
    written = ops.any(ops.reshape(groups[heads.output][0], (heads.heads, -1)), axis=1)
    return heads.heads - ops.sum(ops.cast(ops.logical_and(read, written), "int32"))


def _vector(counts: list[Any]) -> Any:
    stacked = ops.stack(counts)
    parts = [ops.floor_divide(stacked, _BASE), ops.mod(stacked, _BASE)]
    return ops.reshape(ops.cast(ops.stack(parts, axis=1), "float32"), (-1,))
