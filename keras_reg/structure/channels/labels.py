"""Labels: one integer for every channel, which channels go together, and which must stay."""

from typing import Any

import numpy as np

Array = np.ndarray

# The label of an index that is no channel: of a literal, of an axis that no rule explains.
FIXED = 0


class Labels:
    """Gives labels, joins them and pins them.

    Example:
        >>> labels = Labels()
        >>> a, b = labels.fresh(2), labels.fresh(2)
        >>> labels.join(a, b, "an addition")
        >>> labels.pin(b[1:], "an output")
        >>> roots, reasons = labels.solve()
        >>> roots[a].tolist() == roots[b].tolist()
        True
        >>> reasons
        {2: 'an output'}
    """

    def __init__(self) -> None:
        self._count = 1
        self._pairs: list[tuple[Array, Array]] = []
        self._pins: list[tuple[Array, str]] = []

    def fresh(self, count: int) -> Array:
        """That many new labels."""
        start, self._count = self._count, self._count + count
        return np.arange(start, self._count)

    def join(self, first: Array, second: Array, why: str) -> None:
        """The channels of two arrays of one shape go together, index by index.

        A channel that is joined with an index that is none is pinned.
        """
        both = (first != FIXED) & (second != FIXED)
        self._pairs.append((first[both], second[both]))
        self.pin(np.where(both, FIXED, first + second), why)

    def pin(self, labels: Array, why: str) -> None:
        """Channels that cannot be removed, and the reason."""
        labels = labels[labels != FIXED]
        if labels.size:
            self._pins.append((labels, why))

    def solve(self) -> tuple[Array, dict[int, str]]:
        """The smallest label in each label's group, and for pinned groups the first reason."""
        roots = _components(self._count, self._pairs)
        reasons: dict[int, str] = {}
        for labels, why in self._pins:
            for root in np.unique(roots[labels]).tolist():
                reasons.setdefault(root, why)
        return roots, reasons


def _components(count: int, pairs: list[tuple[Array, Array]]) -> Array:
    """The connected components of a graph, each named by its smallest node."""
    roots = np.arange(count)
    if not pairs:
        return roots
    first, second = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    while True:
        a, b = roots[first], roots[second]
        apart = a != b
        if not apart.any():
            return roots
        first, second, a, b = first[apart], second[apart], a[apart], b[apart]
        np.minimum.at(roots, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(roots, roots[roots]):
            roots = roots[roots]


class Traced:
    """A tensor of the graph, or a variable: its shape, and the labels on the axes that have any.

    Args:
        shape: lengths, None where one is not known.
        axes: dict from axes to labels.
        is_constant: bool. Whether it depends on no input of the model, on variables alone.

    Example:
        >>> tensor = Traced((None, 2, 3), {-1: np.array([5, 6, 7])})
        >>> tensor.on(2).tolist(), tensor.on(1).tolist()
        ([5, 6, 7], [0, 0])
    """

    def __init__(
        self, shape: Any, axes: dict[int, Array] | None = None, is_constant: bool = False
    ) -> None:
        self.shape = tuple(shape)
        self.is_constant = is_constant
        self.axes = {axis % len(self.shape): labels for axis, labels in (axes or {}).items()}
        for axis, labels in self.axes.items():
            if self.shape[axis] != len(labels):
                raise ValueError(
                    f"Expected one label for each index of axis {axis} of {self.shape}. "
                    f"Received: {len(labels)} labels"
                )

    def __repr__(self) -> str:
        return f"Traced({self.shape}, axes={sorted(self.axes)})"

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def on(self, axis: int) -> Array:
        """The labels on an axis of known length, `FIXED` where there are none."""
        axis %= self.rank
        if axis in self.axes:
            return self.axes[axis]
        if self.shape[axis] is None:
            raise ValueError(f"Expected an axis of known length. Received: {axis} of {self.shape}")
        return np.full(self.shape[axis], FIXED)

    def others(self, *axes: int) -> dict[int, Array]:
        """The labels on all axes but these."""
        left_out = {axis % self.rank for axis in axes}
        return {axis: labels for axis, labels in self.axes.items() if axis not in left_out}
