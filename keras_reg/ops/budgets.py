"""Budgets: what is left of a model's parameters and multiply-adds when channels go."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops


class Axis(NamedTuple):
    """An axis of a variable, on which channels have indices.

    Args:
        fixed: int. The number of indices that stay.
        sets: list of pairs: a set of channels, and how many indices each of them has.
    """

    fixed: int
    sets: list[tuple[int, int]]


class Term(NamedTuple):
    """A variable in a budget.

    Args:
        factor: number. What each weight costs.
        axes: list of `Axis`, one for each axis of the variable.
    """

    factor: float
    axes: list[Axis]


class Budget:
    """A number that falls as channels go: a sum over variables of products of lengths.

    Args:
        terms: list of `Term`.
        equal: list of lists of sets. As many channels stay of each of a list as of that of which
            most stay.

    Example:
        >>> kernel = Term(1, [Axis(3, []), Axis(0, [(0, 1)])])
        >>> bias = Term(1, [Axis(0, [(0, 1)])])
        >>> Budget([kernel, bias]).left([5]), Budget([kernel, bias]).left([2])
        (20, 8)
        >>> table = Term(1, [Axis(0, [(0, 1)]), Axis(0, [(1, 1)])])
        >>> Budget([table]).left([2, 3]), Budget([table], equal=[[0, 1]]).left([2, 3])
        (6, 9)
    """

    def __init__(self, terms: Sequence[Term], equal: Sequence[list[int]] = ()):
        self.terms, self.equal = list(terms), list(equal)

    def left(self, counts: Sequence[Any]) -> Any:
        """What is left of it.

        Args:
            counts: numbers, or float scalars. How many channels of each set are left.
        """
        counts, total = self._level(counts), 0
        for factor, axes in self.terms:
            product: Any = factor * math.prod(fixed for fixed, sets in axes if not sets)
            for fixed, sets in axes:
                if sets:
                    product = product * (fixed + sum(width * counts[one] for one, width in sets))
            total = total + product
        return total

    def _level(self, counts: Sequence[Any]) -> list[Any]:
        found = list(counts)
        for sets in self.equal:
            most = functools.reduce(_larger, [found[one] for one in sets])
            found = [most if one in sets else count for one, count in enumerate(found)]
        return found

    def without(self, sets: dict[int, int], sizes: Sequence[int]) -> "Budget":
        """The same over some sets of channels, where the others stay whole.

        Args:
            sets: dict from a set to its new number.
            sizes: how many channels each set has.
        """
        equal = [own for own in self.equal if sets.keys() >= set(own)]
        held = {one for own in self.equal if own not in equal for one in own}
        sets = {one: number for one, number in sets.items() if one not in held}
        terms = []
        for factor, axes in self.terms:
            changed = []
            for fixed, members in axes:
                whole = sum(width * sizes[one] for one, width in members if one not in sets)
                kept = [(sets[one], width) for one, width in members if one in sets]
                changed.append(Axis(fixed + whole, kept))
            terms.append(Term(factor, changed))
        return Budget(terms, [[sets[one] for one in own] for own in equal])

    def share(self, counts: Sequence[Any], all_counts: Sequence[int]) -> Any:
        """What is left, as a share of the whole.

        Args:
            counts: as `left` takes them.
            all_counts: how many channels each set has.
        """
        whole = max(1, self.left(all_counts))
        shares = [Term(factor / whole, axes) for factor, axes in self.terms]
        return Budget(shares, self.equal).left(counts)


def _larger(first: Any, second: Any) -> Any:
    is_plain = isinstance(first, (int, float)) and isinstance(second, (int, float))
    return max(first, second) if is_plain else ops.maximum(first, second)


def joined(budgets: Sequence[Budget], sizes: Sequence[Sequence[int]]) -> Budget:
    """Budgets over sets of channels of their own as one over all these sets, in order.

    Args:
        budgets: of one number of one model.
        sizes: for each budget how many channels each of its sets has.

    Example:
        >>> rows = Budget([Term(1, [Axis(0, [(0, 1)]), Axis(5, [])])])
        >>> columns = Budget([Term(1, [Axis(3, []), Axis(1, [(0, 2)])])])
        >>> joined([rows, columns], [[3], [2]]).left([2, 1])
        6
    """
    starts = list(itertools.accumulate(map(len, sizes), initial=0))
    every = [size for own in sizes for size in own]

    def axis(each: Sequence[Axis]) -> Axis:
        sets = [
            (start + one, width)
            for start, (_, own) in zip(starts[:-1], each, strict=True)
            for one, width in own
        ]
        first, of_first = each[0].fixed, len(each[0].sets)
        return Axis(first - sum(width * every[one] for one, width in sets[of_first:]), sets)

    terms = zip(*(budget.terms for budget in budgets), strict=True)
    return Budget(
        [
            Term(each[0].factor, [axis(one) for one in zip(*(t.axes for t in each), strict=True)])
            for each in terms
        ],
        [
            [start + one for one in own]
            for start, budget in zip(starts[:-1], budgets, strict=True)
            for own in budget.equal
        ],
    )


def within_budget(ranks: Sequence[Any], budget: Budget, share: Any, least: int) -> Any:
    """How many of the best channels can stay so that no more than a share of a budget is left.

    Args:
        ranks: for each set of channels their places among all, from 0: int32 tensors.
        budget: `Budget`.
        share: float scalar from 0 to 1.
        least: int. As many stay in any case.
    Shapes: result: (), int32.

    Example:
        >>> budget = Budget([Term(1, [Axis(0, [(0, 1)]), Axis(0, [(1, 1)])])])
        >>> ranks = [ops.array([0, 3], "int32"), ops.array([2, 1], "int32")]
        >>> int(within_budget(ranks, budget, 0.5, 0))
        3
    """
    sizes = [rank.shape[0] for rank in ranks]
    size = sum(sizes)
    # In float32 the whole may not be exactly 1.
    limit = ops.cast(share, "float32") + 1e-6

    def fits(count: Any) -> Any:
        counts = [ops.sum(ops.cast(ops.less(rank, count), "float32")) for rank in ranks]
        return ops.less_equal(budget.share(counts, sizes), limit)

    def halve(step: Any, kept: Any) -> tuple[Any, Any]:
        more = kept + step
        is_more = ops.logical_and(ops.less_equal(more, size), fits(more))
        return ops.right_shift(step, 1), ops.where(is_more, more, kept)

    start = ops.convert_to_tensor(1 << max(0, size.bit_length() - 1), "int32")
    state = (start, ops.zeros((), "int32"))
    kept = ops.while_loop(lambda step, kept: ops.greater(step, 0), halve, state)[1]
    return ops.maximum(kept, least)
