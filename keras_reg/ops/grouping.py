"""Groupings: which weights of several tensors form each group."""

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_reg.ops.norms import GroupAxis, group_norms, group_size


class Grouping(abc.ABC):
    """Abstract base: groups of the weights of several tensors, in sets of groups of one size.

    A penalty on groups needs no more than the two directions: tensors to the norms of groups, and
    a value for each group back to the weights of that group.

    Args:
        sizes: tuple of ints. For each set, the number of weights in one group.
        counts: tuple of ints. For each set, the number of its groups.
        fan_ins: tuple of ints or None. For each set, the number of weights that lead to one output.
    """

    sizes: tuple[int, ...]
    counts: tuple[int, ...]
    fan_ins: tuple[int, ...] | None = None

    @abc.abstractmethod
    def norms(self, ws: Sequence[Any]) -> list[Any]:
        """The Euclidean norm of every group, a tensor for each set.

        Args:
            ws: float tensors of one dtype.
        """

    @abc.abstractmethod
    def spread(self, values: Sequence[Any], combine: Callable = ops.multiply) -> list[Any]:
        """A value of every group as a tensor for each of `ws`, that broadcasts against it.

        Args:
            values: a tensor for each set, as `norms` gives them.
            combine: what becomes of the values of two groups that share a weight.
        """


class Within(Grouping):
    """Groups that lie within one tensor each; every tensor is a set.

    Args:
        shapes: the tensors' shapes.
        group_axes: for each tensor an int, a tuple of ints, or None: each weight a group by itself.
        fan_ins: for each tensor the number of weights that lead to one output, if that is known.

    Example:
        >>> import keras
        >>> ws = [keras.ops.array([[3.0, 0.0], [4.0, 1.0]]), keras.ops.array([2.0])]
        >>> [tuple(norms.shape) for norms in Within([(2, 2), (1,)], [-1, None]).norms(ws)]
        [(1, 2), (1,)]
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        group_axes: Sequence[GroupAxis],
        fan_ins: Sequence[int] | None = None,
    ):
        self.fan_ins = None if fan_ins is None else tuple(fan_ins)
        self._group_axes = tuple(group_axes)
        pairs = list(zip(shapes, group_axes, strict=True))
        self.sizes = tuple(group_size(tuple(shape), axes) for shape, axes in pairs)
        self.counts = tuple(
            math.prod(shape) // max(1, size) for shape, size in zip(shapes, self.sizes, strict=True)
        )

    def norms(self, ws: Sequence[Any]) -> list[Any]:
        pairs = zip(ws, self._group_axes, strict=True)
        return [group_norms(w, axes, keepdims=True) for w, axes in pairs]

    def spread(self, values: Sequence[Any], combine: Callable = ops.multiply) -> list[Any]:
        return list(values)
