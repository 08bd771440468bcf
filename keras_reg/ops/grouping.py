"""Groupings: which weights of several tensors form each group."""

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from keras_reg.ops import arrays as ops
from keras_reg.ops.budgets import Budget
from keras_reg.ops.norms import GroupAxis, group_norms, group_size
from keras_reg.ops.sums import sum_of_squares


class Grouping(abc.ABC):
    """Abstract base: groups of the weights of several tensors, in sets of groups of one size.

    A penalty on groups needs no more than the two directions: tensors to the norms of groups, and
    a value for each group back to the weights of that group.

    Args:
        sizes: tuple of ints. For each set, the number of weights in one group.
        counts: tuple of ints. For each set, the number of its groups.
        fan_ins: tuple of ints or None. For each set, the number of weights that lead to one output.
        costs: tuple of numbers or None. For each set, what one group costs: a penalty weighs groups
            by it in place of the root of their size.
        budgets: dict from "parameters" and "macs", where known, to `Budget`s over the sets.
    """

    sizes: tuple[int, ...]
    counts: tuple[int, ...]
    fan_ins: tuple[int, ...] | None = None
    costs: tuple[float, ...] | None = None
    budgets: Mapping[str, Budget] = MappingProxyType({})

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

    def zeros(self, ws: Sequence[Any]) -> list[Any]:
        """Which groups have no weight but zeros: a bool tensor for each set.

        Args:
            ws: tensors.
        """
        # The norms of the weights themselves may underflow.
        ones = [ops.cast(ops.not_equal(w, 0), "float32") for w in ws]
        return [ops.equal(norms, 0) for norms in self.norms(ones)]


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


class Place(NamedTuple):
    """The entries of one tensor that belong to the groups of a set.

    Args:
        tensor: int. Which of the tensors.
        axis: int. The axis on which the groups have indices.
        indices: array of ints, a row for each group.
    """

    tensor: int
    axis: int
    indices: np.ndarray


class Across(Grouping):
    """Groups that span tensors: each has one or several indices on an axis of every one.

    Where a weight belongs to two groups, of one set or of two, it counts in both.

    Args:
        shapes: the tensors' shapes.
        sets: for each set of groups its `Place`s.
        costs: for each set what one group costs, or None.
        budgets: what is left of a model by the groups that stay, or None.

    Example:
        >>> import keras
        >>> columns, bias = Place(0, 1, np.array([[0], [1]])), Place(1, 0, np.array([[0], [1]]))
        >>> groups = Across([(2, 2), (2,)], [[columns, bias]])
        >>> ws = [keras.ops.array([[2.0, 0.0], [1.0, 3.0]]), keras.ops.array([2.0, 4.0])]
        >>> keras.ops.convert_to_numpy(groups.norms(ws)[0]).tolist()
        [3.0, 5.0]
        >>> factors = groups.spread([keras.ops.array([0.0, 1.0])])
        >>> [keras.ops.convert_to_numpy(one).tolist() for one in factors]
        [[[0.0, 1.0]], [0.0, 1.0]]
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        sets: Sequence[Sequence[Place]],
        costs: Sequence[float] | None = None,
        budgets: dict[str, Budget] | None = None,
    ):
        self.budgets = budgets or {}
        self._shapes = [tuple(shape) for shape in shapes]
        self._sets = [list(places) for places in sets]
        self.counts = tuple(len(places[0].indices) for places in self._sets)
        self.sizes = tuple(sum(map(self._size, places)) for places in self._sets)
        self.costs = None if costs is None else tuple(costs)

    def norms(self, ws: Sequence[Any]) -> list[Any]:
        sums: dict[tuple[int, int], Any] = {}
        for place in (place for places in self._sets for place in places):
            key = (place.tensor, place.axis)
            if key not in sums:
                w, rank = ws[place.tensor], len(self._shapes[place.tensor])
                others = tuple(axis for axis in range(rank) if axis != place.axis)
                sums[key] = sum_of_squares(w, others)
        return [
            ops.sqrt(sum(self._gathered(sums[place[:2]], place) for place in places))
            for places in self._sets
        ]

    def spread(self, values: Sequence[Any], combine: Callable = ops.multiply) -> list[Any]:
        found: list[Any] = [None] * len(self._shapes)
        for (tensor, axis), places in self._by_axis().items():
            shape = [1] * len(self._shapes[tensor])
            shape[axis] = self._shapes[tensor][axis]
            one = ops.reshape(self._on_axis(values, places, shape[axis]), shape)
            found[tensor] = one if found[tensor] is None else combine(found[tensor], one)
        return found

    def _size(self, place: Place) -> int:
        """How many weights of a tensor one group has."""
        shape = self._shapes[place.tensor]
        return math.prod(shape) // max(1, shape[place.axis]) * place.indices.shape[1]

    def _by_axis(self) -> dict[tuple[int, int], list[tuple[int, np.ndarray]]]:
        """For each axis of a tensor the sets that have indices on it, and these."""
        found: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = {}
        for number, places in enumerate(self._sets):
            for tensor, axis, indices in places:
                found.setdefault((tensor, axis), []).append((number, indices))
        return found

    def _gathered(self, sums: Any, place: Place) -> Any:
        """The sum over each group's indices."""
        if _is_plain(place.indices, sums.shape[0]):
            return sums
        return ops.sum(ops.take(sums, place.indices.astype("int32")), axis=1)

    def _on_axis(
        self, values: Sequence[Any], places: list[tuple[int, np.ndarray]], length: int
    ) -> Any:
        """The value of the group that each index of an axis belongs to; 1 or True for none."""
        if len(places) == 1 and _is_plain(places[0][1], length):
            return values[places[0][0]]
        joined, start = [], 0
        order = np.full(length, sum(self.counts[number] for number, _ in places))
        for number, indices in places:
            order[indices] = start + np.arange(self.counts[number])[:, None]
            start += self.counts[number]
            joined.append(values[number])
        joined.append(ops.ones((1,), joined[0].dtype))
        return ops.take(ops.concatenate(joined), order.astype("int32"))


def _is_plain(indices: np.ndarray, length: int) -> bool:
    """Whether every index of an axis is that of the group with the same number."""
    return indices.shape == (length, 1) and np.array_equal(indices[:, 0], np.arange(length))
