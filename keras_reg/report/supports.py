"""The support of a kernel in bits, in the order of its layout, and its groups that are not zero."""

from typing import Any

from keras import ops

from keras_reg.ops import bits
from keras_reg.structure.layout import Layout


def packed_rows(flags: Any, layout: Layout) -> Any:
    """Booleans of a kernel's shape in bits: one matrix for each shared index, outputs last.

    The rest and the inputs lie along the packed axis, so that blocks of 4 inputs are half a byte.

    Shapes: result: (shared, ceil(rest * inputs / 8), outputs), uint8.
    """
    if layout.order != tuple(range(len(layout.shape))):
        flags = ops.transpose(flags, layout.order)
    return bits.pack(ops.reshape(flags, (layout.length(layout.shared), _rows(layout), -1)))


def alive_groups(code: Any, layout: Layout) -> tuple[Any, Any]:
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
