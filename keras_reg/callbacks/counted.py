"""The weights, groups or multiply-adds whose share is steered, and what penalties can reach."""

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_reg import structure
from keras_reg.ops.backend import read
from keras_reg.ops.budgets import Budget, joined
from keras_reg.ops.grouping import Across, Grouping, Within
from keras_reg.optimizers import Proximal
from keras_reg.optimizers.ahead import (
    count_groups,
    groups_after,
    groups_ahead,
    is_alone,
    scalars,
    shrunk,
    weights_after,
)
from keras_reg.optimizers.rules import Entry
from keras_reg.optimizers.zeros import at_its_strongest, count_zeros, has_strength, most_zeros, size

OF = ("weights", "groups", "channels", "parameters", "macs")


class Counted(abc.ABC):
    """Abstract base: what is counted of a model, and which of it the strength decides.

    Args:
        optimizer: the `Proximal` that trains the model.
        entries: the penalties, and what they act on, by which weights become zero.
    """

    # Counts what is zero after a proximal step.
    _count_after: Callable

    def __init__(self, optimizer: Proximal, entries: Sequence[Entry]):
        self._optimizer, self._entries = optimizer, list(entries)
        self._penalties = tuple(entry.penalty for entry in entries)
        self._groupings = tuple(entry.grouping for entry in entries)

    @abc.abstractmethod
    def share(self) -> float:
        """The share of what is counted that is zero, or gone, now."""

    def _share_after(self, batches: float) -> float:
        """The share after one proximal step, as long as those of some batches."""
        iteration = read(self._optimizer.iterations)
        steps = [batches * length / number for length, number in self._each_step()]
        numbers = self._count_after(
            self._values(), scalars(steps), iteration, self._penalties, self._groupings
        )
        return self._share_of(ops.convert_to_numpy(numbers).tolist())

    def land(self, target: float) -> None:
        """Makes zero what the shortest proximal step that reaches a share makes zero.

        What that step only shrinks stays as it is, and so does all if no step reaches the share.
        """
        length = _least(lambda length: self._share_after(length) >= target)
        if length is None:
            return
        iteration = read(self._optimizer.iterations)
        steps = scalars([length * one / number for one, number in self._each_step()])
        for entry, ws, step in zip(self._entries, self._values(), steps, strict=True):
            if has_strength(entry.penalty):
                made = shrunk(ws, step, iteration, entry.penalty, entry.grouping)
                for variable, w in zip(entry.variables, made, strict=True):
                    self._optimizer.zero_out(variable, ops.equal(w, 0))

    def _each_step(self) -> list[tuple[float, int]]:
        """The length of each entry's proximal steps, and the batches for one."""
        return [self._optimizer.step_of(entry.variables[0]) for entry in self._entries]

    def _values(self) -> list[list[Any]]:
        return [[read(variable) for variable in entry.variables] for entry in self._entries]

    @abc.abstractmethod
    def _share_of(self, zeros: Sequence[int]) -> float:
        """The share, from what is counted."""

    @abc.abstractmethod
    def all_steered_are_zero(self) -> bool:
        """Whether nothing is left that the strength could make zero."""

    @abc.abstractmethod
    def check_reach(self, target: float) -> None:
        """Finds what the strength steers.

        Raises: ValueError if that is nothing, or too little for the target.
        """


def counted(model: Any, optimizer: Proximal, scope: str, of: str) -> Counted:
    """What `TargetSparsity` counts.

    Args:
        model: the built model.
        optimizer: the `Proximal` that trains it.
        scope: "all", or a regular expression over variable paths.
        of: one of `OF`.
    Raises: ValueError if the pattern names nothing, or there is nothing of that kind to count.
    """
    if of == "weights":
        return _Weights(model, optimizer, scope)
    entries = optimizer.entries(model.trainable_variables)
    if of == "groups":
        return Groups(optimizer, _named(_grouped(entries), model, scope), of)
    on_channels = [entry for entry in entries if isinstance(entry.grouping, Across)]
    if not on_channels:
        raise ValueError(
            f"Expected penalties on channels for `of={of!r}`, as in `Proximal(optimizer, "
            "{keras_reg.channels(model): GroupLasso(0.1)})`. Received: "
            f"{list(dict.fromkeys(entry.penalty for entry in entries))}"
        )
    kind = Groups if of == "channels" else _Costs
    return kind(optimizer, on_channels, of)


class _Weights(Counted):
    """Single weights of kernels and embedding matrices."""

    _count_after = staticmethod(weights_after)

    def __init__(self, model: Any, optimizer: Proximal, scope: str):
        kernels = structure.kernels_of(model)
        self._variables = kernels if scope == "all" else structure.match([scope], kernels)[scope]
        keys = {id(variable) for variable in self._variables}
        entries = optimizer.entries(model.trainable_variables)
        acting = [entry for entry in entries if any(id(v) in keys for v in entry.variables)]
        super().__init__(optimizer, [entry for entry in acting if has_strength(entry.penalty)])
        steered = [variable for entry in self._entries for variable in entry.variables]
        self._is_counted = [id(variable) in keys for variable in steered]
        others = keys - {id(variable) for variable in steered}
        self._others = [variable for variable in self._variables if id(variable) in others]
        self._penalty_of = {
            id(variable): penalty
            for penalty, variable in optimizer.resolve(model.trainable_variables)
        }
        self._total = sum(map(size, self._variables))
        self._steered: list[Any] = []

    def share(self) -> float:
        return int(count_zeros(self._variables).sum()) / self._total

    def _share_of(self, zeros: Sequence[int]) -> float:
        counted = [n for n, is_counted in zip(zeros, self._is_counted, strict=True) if is_counted]
        return (sum(counted) + int(count_zeros(self._others).sum())) / self._total

    def all_steered_are_zero(self) -> bool:
        steered = self._steered
        return bool(steered) and int(count_zeros(steered).sum()) == sum(map(size, steered))

    def check_reach(self, target: float) -> None:
        pairs = [
            (self._penalty_of[id(variable)], variable)
            for variable in self._variables
            if id(variable) in self._penalty_of
        ]
        reach = {id(v): most_zeros(penalty, v) for penalty, v in pairs}
        self._steered = [v for penalty, v in pairs if has_strength(penalty) and reach[id(v)]]
        _check_steered(self._steered, [(structure.path_of(v), penalty) for penalty, v in pairs])
        # What is frozen keeps the zeros that it has.
        found = [
            reach.get(id(variable), 0 if variable.trainable else int(now))
            for variable, now in zip(self._variables, count_zeros(self._variables), strict=True)
        ]
        share = sum(found) / self._total
        if target > share:
            short = [
                structure.path_of(variable)
                for variable, n in zip(self._variables, found, strict=True)
                if n < size(variable)
            ]
            raise ValueError(
                f"Expected `target` to be at most {_floor(share)}, the share of "
                "the counted weights that the penalties can make zero. Received: "
                f"target={target}. They cannot make all zero in {short}"
            )


class Groups(Counted):
    """The groups of penalties, of one variable or of several."""

    _count_after = staticmethod(groups_after)

    def __init__(self, optimizer: Proximal, entries: Sequence[Entry], of: str):
        super().__init__(optimizer, entries)
        self._of = of
        self._sizes = [count for entry in entries for count in _grouping(entry).counts]
        self._steered: list[bool] = []

    def share(self) -> float:
        return self._share_of(self._zeros())

    def share_ahead(self, batches: float, scale: float) -> float:
        """The share if the penalties alone act for some batches, and no gradient.

        Args:
            batches: float. How many.
            scale: float. The `strength_scale` with which they act.
        """
        each = self._each_step()
        steps = scalars([scale * length for length, _ in each])
        times = scalars([batches / number for _, number in each])
        iteration = read(self._optimizer.iterations)
        numbers = groups_ahead(
            self._values(), steps, times, iteration, self._penalties, self._groupings
        )
        return self._share_of(ops.convert_to_numpy(numbers).tolist())

    def all_steered_are_zero(self) -> bool:
        each = zip(self._zeros(), self._sizes, self._steered, strict=True)
        return any(self._steered) and all(n == most for n, most, is_steered in each if is_steered)

    def check_reach(self, target: float) -> None:
        reach = [n for entry in self._entries for n in _most_zero_groups(entry)]
        steers = [
            has_strength(entry.penalty) for entry in self._entries for _ in _grouping(entry).counts
        ]
        self._steered = [steer and n > 0 for steer, n in zip(steers, reach, strict=True)]
        _check_steered(
            self._steered if any(self._steered) else [],
            [(structure.path_of(entry.variables[0]), entry.penalty) for entry in self._entries],
        )
        share = self._share_of(reach)
        if target > share:
            raise ValueError(
                f"Expected `target` to be at most {_floor(share)}, the share of the "
                f"{self._of} that the penalties can remove. Received: target={target}"
            )

    def _share_of(self, zeros: Sequence[int]) -> float:
        return sum(zeros) / sum(self._sizes)

    def _zeros(self) -> list[int]:
        """How many groups of each set are zero now."""
        return ops.convert_to_numpy(count_groups(self._values(), self._groupings)).tolist()


class _Costs(Groups):
    """The parameters or multiply-adds of a model, of which those of zero channels are gone."""

    def __init__(self, optimizer: Proximal, entries: Sequence[Entry], of: str):
        super().__init__(optimizer, entries, of)
        groupings = [_grouping(entry) for entry in entries]
        if any(of not in grouping.budgets for grouping in groupings):
            raise ValueError(
                f"Expected a model whose multiply-adds are all known for `of={of!r}`: count "
                '`of="parameters"` or `of="channels"`'
            )
        budgets = [grouping.budgets[of] for grouping in groupings]
        self._budget: Budget = joined(budgets, [grouping.counts for grouping in groupings])

    def _share_of(self, zeros: Sequence[int]) -> float:
        # One channel of an axis stays, as it does in a compact model.
        left = [max(1, size - n) for size, n in zip(self._sizes, zeros, strict=True)]
        return 1.0 - self._budget.left(left) / self._budget.left(self._sizes)


def _grouping(entry: Entry) -> Grouping:
    assert entry.grouping is not None
    return entry.grouping


def _grouped(entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose penalties act on groups, these as groupings."""
    found = []
    for entry in entries:
        group_axis = getattr(entry.penalty, "group_axis", None)
        if entry.grouping is not None:
            found.append(entry)
        elif group_axis is not None:
            (variable,) = entry.variables
            found.append(entry._replace(grouping=Within([tuple(variable.shape)], [group_axis])))
    if not found:
        raise ValueError(
            'Expected penalties with a `group_axis`, or on channels, for `of="groups"`. Received: '
            f"{[entry.penalty for entry in entries]}"
        )
    return found


def _named(entries: list[Entry], model: Any, scope: str) -> list[Entry]:
    """The entries with a variable that a pattern names."""
    if scope == "all":
        return entries
    named = structure.match([scope], structure.kernels_of(model))[scope]
    keys = {id(variable) for variable in named}
    found = [entry for entry in entries if any(id(v) in keys for v in entry.variables)]
    if not found:
        raise ValueError(
            f"Expected groups in the variables that `scope` names. Received: scope={scope!r}, "
            f"which names {[structure.path_of(variable) for variable in named]}"
        )
    return found


def _most_zero_groups(entry: Entry) -> list[int]:
    """How many groups of each set the penalty makes zero, however strong it gets."""
    grouping = _grouping(entry)
    strongest = at_its_strongest(
        entry.penalty, entry.variables, None if is_alone(grouping) else grouping
    )
    return ops.convert_to_numpy(count_groups([strongest], (grouping,))).tolist()


def _least(is_enough: Callable[[float], bool]) -> float | None:
    """The least number, within a millionth, that is enough; None if none up to 1e12 is."""
    high = 1.0
    while not is_enough(high):
        high *= 8.0
        if high > 1e12:
            return None
    low = high / 8.0 if high > 1.0 else 0.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _check_steered(steered: list[Any], penalties: list[tuple[str, Any]]) -> None:
    if not steered:
        raise ValueError(
            "Expected a penalty on what is counted whose strength decides how much is zero: not "
            "TopK or NM, which have none, nor L2, which makes no zeros, nor a strength of 0. "
            f"Received: {penalties}"
        )


def _floor(share: float) -> str:
    return f"{math.floor(1e4 * share) / 1e4:g}"
