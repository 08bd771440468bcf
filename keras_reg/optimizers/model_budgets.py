"""The parameters and multiply-adds of a model as budgets over its channels."""

from collections.abc import Sequence
from typing import Any

from keras_reg.ops.budgets import Axis, Budget, Term
from keras_reg.structure import is_kernel
from keras_reg.structure.channels import Channels, Group


def budgets_of(channels: Channels, groups: Sequence[Group]) -> dict[str, Budget]:
    """What is left of a model by the channels that stay of some of its groups.

    Args:
        channels: those of the model.
        groups: the sets of channels of the budgets, in order.
    Returns: a `Budget` for "parameters" and, if the use of every kernel is known, for "macs".
    """
    axes: Sets = {id(v): {} for v in channels.variables}
    for number, group in enumerate(groups):
        for part in group.parts:
            on_axis = axes.get(id(part.variable), {}).setdefault(part.axis, [])
            on_axis.append((number, part.indices.shape[1]))
    sizes = [group.size for group in groups]
    terms = {id(v): _term(tuple(v.shape), axes[id(v)], sizes) for v in channels.variables}
    equal = _equal(channels, axes)
    budgets = {"parameters": Budget(list(terms.values()), equal)}
    kernels = [variable for variable in channels.variables if is_kernel(variable)]
    times = [channels.times.get(id(kernel), 0) for kernel in kernels]
    if None not in times and all(one.uses is not None for one in channels.scores):
        pairs = zip(kernels, times, strict=True)
        used = [(terms[id(kernel)], uses) for kernel, uses in pairs if uses]
        of_kernels = [Term(term.factor * uses, term.axes) for term, uses in used]
        budgets["macs"] = Budget([*of_kernels, *_of_scores(channels, axes, sizes)], equal)
    every = {number: number for number in range(len(groups))}
    return {name: budget.without(every, sizes) for name, budget in budgets.items()}


def to_lists(budget: Budget) -> list[Any]:
    """A budget in plain Python values.

    Example:
        >>> to_lists(Budget([Term(2, [Axis(0, [(0, 1)])])]))
        [[[2, [[0, [[0, 1]]]]]], []]
    """
    terms = [
        [factor, [[fixed, [list(one) for one in sets]] for fixed, sets in axes]]
        for factor, axes in budget.terms
    ]
    return [terms, budget.equal]


def from_lists(lists: list[Any]) -> Budget:
    """The budget that `to_lists` returned.

    Example:
        >>> from_lists([[[2, [[0, [[0, 1]]]]]], []]).left([3])
        6
    """

    def axis(fixed: int, sets: list[Any]) -> Axis:
        return Axis(fixed, [(number, width) for number, width in sets])

    terms, equal = lists
    return Budget([Term(factor, [axis(*one) for one in axes]) for factor, axes in terms], equal)


Sets = dict[int, dict[int, list[tuple[int, int]]]]


def _equal(channels: Channels, axes: Sets) -> list[list[int]]:
    """The sets of which as many stay. One that cannot shrink, as -1, holds the others of its list.

    Axes with the channels of several groups are taken as they are.
    """
    found = []
    for places in channels.equal:
        each = [axes.get(variable, {}).get(axis, []) for variable, axis in places]
        if all(len(sets) < 2 for sets in each):
            numbers = dict.fromkeys(sets[0][0] if sets else -1 for sets in each)
            found.append(list(numbers))
    return [own for own in found if len(own) > 1]


def _of_scores(channels: Channels, axes: Sets, sizes: Sequence[int]) -> list[Term]:
    shapes = {id(v): tuple(v.shape) for v in channels.variables}
    terms = []
    for uses, places in channels.scores:
        (variable, *_), indexed = zip(*places, strict=True)
        whole = _term(shapes[variable], axes[variable], sizes)
        terms.append(Term(uses or 0, [whole.axes[axis] for axis in indexed]))
    return terms


def _term(
    shape: tuple[int, ...], axes: dict[int, list[tuple[int, int]]], sizes: Sequence[int]
) -> Term:
    found = []
    for axis, length in enumerate(shape):
        sets = axes.get(axis, [])
        indexed = sum(width * sizes[number] for number, width in sets)
        found.append(Axis(length - indexed, sets))
    return Term(1, found)
