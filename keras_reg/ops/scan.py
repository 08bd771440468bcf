"""Running combinations along rows, in parallel."""

from collections.abc import Callable
from typing import Any

from keras_reg.ops import arrays as ops


def scan_rows(
    combine: Callable[[Any, Any], Any],
    elements: tuple[Any, ...],
    settled: Callable[..., Any],
) -> tuple[Any, ...]:
    """Running combination of the elements of each row: e1, e1*e2, e1*e2*e3, ... for any product.

    Takes log2(n) steps of O(n) work, or fewer: no more than it takes until every element is
    settled. It is a loop of one body, which compiles in a moment at
    every length; `keras.ops.associative_scan` is unrolled, and takes seconds.

    Args:
        combine: an associative function of two tuples like `elements`, the earlier one first, that
            is elementwise.
        elements: tensors of one shape, which together hold one element at each place.
        settled: takes `elements`, one by one, to a bool tensor: where no earlier element changes
            this one any more.
    Shapes: elements: (rows, n). result: as `elements`.
    Reference: Hillis & Steele, "Data parallel algorithms", CACM 1986.

    Example:
        >>> import keras
        >>> (total,) = scan_rows(lambda a, b: (a[0] + b[0],), (keras.ops.ones((1, 4)),), ops.isnan)
        >>> keras.ops.convert_to_numpy(total).tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    shape = tuple(elements[0].shape)
    place = ops.arange(shape[1], dtype="int32")

    def double(reach, *elements):
        start = ops.stack([ops.zeros_like(reach), shape[1] - reach])
        doubled = [ops.concatenate([x, x], axis=1) for x in elements]
        earlier = tuple(ops.slice(x, start, shape) for x in doubled)
        combined = combine(earlier, elements)
        is_whole = place < reach
        kept = [ops.where(is_whole, x, y) for x, y in zip(elements, combined, strict=True)]
        return (2 * reach, *kept)

    start = (ops.ones((), "int32"), *elements)

    def is_unfinished(reach, *elements):
        return ops.logical_and(reach < shape[1], ops.logical_not(ops.all(settled(*elements))))

    return tuple(ops.while_loop(is_unfinished, double, start)[1:])
