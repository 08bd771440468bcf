"""Constants that a padded convolution reads: several of them become one."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_reg.compacting.reads import Read
from keras_reg.structure.channels.labels import FIXED, Array

# For a channel, the weights that read it, each with the rows that do.
Uses = dict[int, list[int]]


def merge(survey: Any) -> None:
    """Lets one constant channel stand for others that are read by the same weights.

    A convolution that pads sees a constant channel as its constant times a pattern, 1 inside and 0
    at the edges, which is the same for all. So a channel of the constant a whose weights are
    w + b / a v gives what it and one of the constant b with the weights v gave. The rows of the
    other become zero: nothing reads it any more. Constants that can be added to biases are left.

    Args:
        survey: what was read of a model. Its reads get the new values.
    """
    roots, reasons = survey.labels.solve()
    uses = {
        root: own
        for root, own in _uses(survey, roots).items()
        if root not in reasons and _is_constant(survey, own)
    }
    alike: dict[Any, list[int]] = {}
    for root, own in uses.items():
        key = tuple(sorted((kernel, len(rows)) for kernel, rows in own.items()))
        alike.setdefault(key, []).append(root)
    for group in alike.values():
        first = max(group, key=lambda root: _least(survey, uses[root]))
        if _least(survey, uses[first]) > 0:
            for root in group:
                if root != first:
                    _move(survey, uses[root], uses[first])


def _uses(survey: Any, roots: Array) -> dict[int, Uses]:
    """What reads each channel, of those that single axes of weights read and nothing else."""
    found: dict[int, Uses] = {}
    others = {FIXED, *(root for need in survey.needs for root in roots[need.labels].tolist())}
    for slot, is_plain in _reading(survey):
        for row, root in enumerate(roots[slot.labels].tolist()):
            if is_plain:
                found.setdefault(root, {}).setdefault(id(slot.variable), []).append(row)
            else:
                others.add(root)
    return {root: own for root, own in found.items() if root not in others}


def _reading(survey: Any) -> Iterator[tuple[Any, bool]]:
    """The axes that read channels, and whether a weight's sum over it is all that it does."""
    for (key, axis), slot in survey.slots.items():
        if "reads" in slot.roles:
            read = survey.reads.get(key)
            is_plain = read is not None and list(read.rows) == [axis] and slot.roles == {"reads"}
            yield slot, is_plain


def _is_constant(survey: Any, uses: Uses) -> bool:
    """Whether a channel is constant to all that read it, and not so at the edges of some."""
    reads = [(survey.reads[kernel], rows) for kernel, rows in uses.items()]
    is_known = not any(np.isnan(read.inside[rows]).any() for read, rows in reads)
    return is_known and any(np.isnan(read.constant[rows]).any() for read, rows in reads)


def _least(survey: Any, uses: Uses) -> float:
    """The smallest size of a channel's constants. Others are divided by them."""
    return min(np.abs(survey.reads[kernel].inside[rows]).min() for kernel, rows in uses.items())


def _move(survey: Any, uses: Uses, to: Uses) -> None:
    """Adds the weights that read a channel to those of another, in proportion."""
    for kernel, rows in uses.items():
        read: Read = survey.reads[kernel]
        (axis,) = read.rows
        values = np.array(read.numbers(), "float64")
        moved = np.moveaxis(values, axis, 0)
        ratio = read.inside[rows] / read.inside[to[kernel]]
        moved[to[kernel]] += ratio.reshape(-1, *[1] * (values.ndim - 1)) * moved[rows]
        moved[rows] = 0.0
        survey.reads[kernel] = read._replace(values=values)
