"""Running combinations along rows, in parallel."""

import functools
from collections.abc import Callable
from typing import Any

from keras_reg.ops import arrays as ops


def scan_rows(
    combine: Callable[[Any, Any], Any],
    elements: tuple[Any, ...],
    settled: Callable[..., Any] | None,
    backwards: bool = False,
) -> tuple[Any, ...]:
    """Running combination of the elements of each row: e1, e1*e2, e1*e2*e3, ... for any product.

    Takes log2(n) steps of O(n) work, or fewer: no more than it takes until every element is
    settled. It is a loop of one body, which compiles in a moment at every length;
    `keras.ops.associative_scan` is unrolled, and takes seconds.

    Args:
        combine: an associative function of two tuples like `elements`, the earlier one first, that
            is elementwise.
        elements: tensors of one shape, which together hold one element at each place.
        settled: takes `elements`, one by one, to a bool tensor: where no earlier element changes
            this one any more. None, where an element combined with itself is itself, as in a
            minimum: until a step changes nothing, after which none does.
        backwards: bool. From the last element of each row to the first.
    Shapes: elements: (rows, n). result: as `elements`.
    Reference: Hillis & Steele, "Data parallel algorithms", CACM 1986.

    Example:
        >>> import keras
        >>> (total,) = scan_rows(lambda a, b: (a[0] + b[0],), (keras.ops.ones((1, 4)),), ops.isnan)
        >>> keras.ops.convert_to_numpy(total).tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    shape = tuple(elements[0].shape)
    if shape[1] == 1:
        return elements
    place = ops.arange(shape[1], dtype="int32")
    distance = shape[1] - 1 - place if backwards else place

    def joined(reach: Any, before: tuple[Any, ...], elements: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = zip(elements, combine(before, elements), strict=True)
        return tuple(ops.where(distance < reach, x, y) for x, y in pairs)

    def neighbours(x: Any) -> Any:
        inner = x[:, 1:] if backwards else x[:, :-1]
        return ops.pad(inner, [[0, 0], [0, 1] if backwards else [1, 0]])

    def double(_, reach: Any, *elements: Any) -> tuple[Any, ...]:
        start = ops.stack([ops.zeros_like(reach), reach if backwards else shape[1] - reach])
        room = [[0, 0], [0, shape[1]] if backwards else [shape[1], 0]]
        before = tuple(ops.slice(ops.pad(x, room), start, shape) for x in elements)
        after = joined(reach, before, elements)
        return (goes_on(after, elements), 2 * reach, *after)

    def goes_on(after: tuple[Any, ...], before: tuple[Any, ...]) -> Any:
        if settled is not None:
            return ops.logical_not(ops.all(settled(*after)))
        changes = [ops.any(ops.not_equal(x, y)) for x, y in zip(after, before, strict=True)]
        return functools.reduce(ops.logical_or, changes)

    def is_unfinished(goes_on: Any, reach: Any, *elements: Any) -> Any:
        return ops.logical_and(reach < shape[1], goes_on)

    # A known shift is faster, and of short pieces the first settles nearly all.
    first = joined(1, tuple(map(neighbours, elements)), elements)
    start = (goes_on(first, elements), ops.convert_to_tensor(2, "int32"), *first)
    return tuple(ops.while_loop(is_unfinished, double, start)[2:])
