"""What a penalty on channels acts on: entries of variables, by names that can be saved."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_reg.ops.budgets import Budget
from keras_reg.ops.grouping import Across, Place
from keras_reg.optimizers.model_budgets import budgets_of, from_lists, to_lists
from keras_reg.structure import is_kernel
from keras_reg.structure.channels import Channels
from keras_reg.structure.layout import Weight
from keras_reg.structure.weights import names_once

# What no optimizer trains: a channel whose weights are zero is zero whatever they are.
_STATISTICS = ("moving_mean", "moving_variance")


class Entries(NamedTuple):
    """The entries of one variable that belong to the channels of a group.

    Args:
        name: str. The variable's path, with a number if it is not the first of that path.
        axis: int. The axis that the channels index.
        indices: array of ints, a row for each channel.
        is_maker: bool. Whether it is a kernel: channels whose kernel is frozen cannot become zero.
    """

    name: str
    axis: int
    indices: np.ndarray
    is_maker: bool


class ChannelGroup(NamedTuple):
    """The channels of one kind, on which a penalty acts.

    Args:
        name: str. The layer that makes them.
        cost: float or None. What a penalty on one of them is multiplied with.
        parts: list of `Entries`.
    """

    name: str
    cost: float | None
    parts: list[Entries]


class ChannelGroups:
    """Channels as paths, axes and indices: what is left of `Channels` in a saved optimizer.

    Args:
        groups: the groups.
        order: the paths of all the model's trainable variables, in order. A model that is loaded
            may have others: a Sequential one does not begin them with its name.
        names: for the `id` of the variables of a live model their paths, or None.
        budgets: what is left of the model by the channels that stay, as `Across` takes them.

    Example:
        >>> columns = Entries("dense/kernel", 1, np.array([[0], [1]]), True)
        >>> groups = ChannelGroups([ChannelGroup("dense", None, [columns])])
        >>> groups
        ChannelGroups(dense: 2)
        >>> groups.to_config()["groups"][0]["parts"]
        [['dense/kernel', 1, [0, 1, 2, 0, 1], True]]
    """

    def __init__(
        self,
        groups: Sequence[ChannelGroup],
        order: Sequence[str] = (),
        names: dict[int, str] | None = None,
        budgets: dict[str, Budget] | None = None,
    ):
        self.groups, self.order, self._names = list(groups), list(order), names
        self.budgets = budgets or {}

    def __repr__(self) -> str:
        sizes = [f"{group.name}: {len(group.parts[0].indices)}" for group in self.groups]
        more = f", and {len(sizes) - 4} more" if len(sizes) > 4 else ""
        return f"ChannelGroups({', '.join(sizes[:4])}{more})"

    @classmethod
    def of(cls, channels: Channels) -> "ChannelGroups":
        """Those that can be removed.

        Args:
            channels: `Channels` of a model.
        Raises: ValueError if all are pinned.
        """
        free = [group for group in channels if group.pinned is None]
        if not free:
            reasons = "; ".join(f"{group.name}: {group.pinned}" for group in channels)
            raise ValueError(f"Expected channels that can be removed. Received: {reasons}")
        paths = names_once(channels.variables)
        names = {id(v): path for v, path in zip(channels.variables, paths, strict=True)}
        groups = []
        for group, cost in zip(free, channels.costs(free), strict=True):
            chosen = [
                part
                for part in group.parts
                if id(part.variable) in names and (channels.readers or "reads" not in part.roles)
            ]
            parts = [
                Entries(
                    names[id(part.variable)],
                    part.axis,
                    part.indices,
                    is_kernel(part.variable) and "reads" not in part.roles,
                )
                for part in chosen
            ]
            groups.append(ChannelGroup(group.name, cost, parts))
        order = [names[id(v)] for v in channels.variables if v.trainable]
        return cls(groups, order, names, budgets_of(channels, free))

    def on(self, weights: Sequence[Weight]) -> tuple[list[Any], Across]:
        """The variables that an optimizer trains, and how the channels group their weights.

        Channels of which it does not train all kernels are left out: they cannot become zero.

        Args:
            weights: those of the optimizer.
        Raises: ValueError if no channels are left.
        """
        found = self.found(weights)
        chosen = [n for n, group in enumerate(self.groups) if _trained(group, found) == 1.0]
        groups = [self.groups[n] for n in chosen]
        if not groups:
            raise ValueError(
                "Expected channels made by kernels that the optimizer trains. Received: "
                f"{self}, and the variables {[weight.name for weight in weights][:8]}"
            )
        sizes = [len(group.parts[0].indices) for group in self.groups]
        kept = {place: one for one, place in enumerate(chosen)}
        budgets = {name: budget.without(kept, sizes) for name, budget in self.budgets.items()}
        return _grouped(groups, found, budgets)

    def warn_of_frozen(self, weights: Sequence[Weight]) -> None:
        """Warns of channels of which an optimizer trains a part alone."""
        found = self.found(weights)
        halves = [group.name for group in self.groups if 0.0 < _trained(group, found) < 1.0]
        if halves:
            warnings.warn(
                "Expected the kernels that make channels to be trained together. Some are frozen "
                f"for these channels, which the penalty leaves as they are: {', '.join(halves)}",
                stacklevel=2,
            )
        low_rank = [name for name in self._frozen(found, 0.0) if _has_lora(name, weights)]
        if low_rank:
            warnings.warn(
                "Expected channels of layers without LoRA weights: merge them first. The penalty "
                f"leaves those of these kernels as they are: {', '.join(low_rank)}",
                stacklevel=2,
            )
        offsets = [name for name in self._frozen(found, 1.0) if _last(name) not in _STATISTICS]
        if offsets:
            warnings.warn(
                "Expected biases, scales and offsets to be trained with the kernels of their "
                "channels. These are not, so that the penalty makes the channels constant where "
                f"it would make them zero: {', '.join(offsets)}",
                stacklevel=2,
            )

    def _frozen(self, found: dict[str, Any], trained: float) -> list[str]:
        """What is not trained of the groups of which this share of the kernels is.

        Of groups whose kernels are all trained, that is what goes along with channels.
        """
        parts = [
            part
            for group in self.groups
            if _trained(group, found) == trained
            for part in group.parts
        ]
        names = [part.name for part in parts if part.is_maker or not _is_kernel(part.name)]
        return [name for name in dict.fromkeys(names) if name not in found]

    def found(self, weights: Sequence[Weight]) -> dict[str, Any]:
        """The variables of an optimizer by the names that they have here."""
        if self._names is not None:
            names = self._names
            return {names[id(w.variable)]: w.variable for w in weights if id(w.variable) in names}
        now = {weight.name: weight.variable for weight in weights}
        last = [name.rpartition("/")[2] for name in self.order]
        if last == [weight.variable.name for weight in weights]:
            return dict(zip(self.order, now.values(), strict=True))
        return {name: now[one] for name, one in same_paths(self.order, now).items()}

    def to_config(self) -> dict[str, Any]:
        """The groups in plain Python values."""
        return {
            "order": self.order,
            "budgets": {name: to_lists(budget) for name, budget in self.budgets.items()},
            "groups": [
                {
                    "name": group.name,
                    "cost": group.cost,
                    "parts": [
                        [part.name, part.axis, _packed(part.indices), part.is_maker]
                        for part in group.parts
                    ],
                }
                for group in self.groups
            ],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ChannelGroups":
        """The groups that `to_config` returned."""
        return cls(
            [
                ChannelGroup(
                    group["name"],
                    group["cost"],
                    [
                        Entries(name, axis, _unpacked(indices), is_maker)
                        for name, axis, indices, is_maker in group["parts"]
                    ],
                )
                for group in config["groups"]
            ],
            config["order"],
            budgets={name: from_lists(terms) for name, terms in config["budgets"].items()},
        )


def groups_in(channels: Any) -> ChannelGroups:
    """`Channels`, or what is left of them, as the latter.

    Raises: ValueError if none of them can be removed.

    Example:
        >>> groups_in(ChannelGroups([])).groups
        []
    """
    return channels if isinstance(channels, ChannelGroups) else ChannelGroups.of(channels)


def refuse_shared(rules: Sequence[ChannelGroups]) -> None:
    """Raises ValueError if several rules act on the same channels.

    Example:
        >>> refuse_shared([ChannelGroups([])])
    """
    taken: set[tuple[str, int, int]] = set()
    for rule in rules:
        own: set[tuple[str, int, int]] = set()
        for group in rule.groups:
            of_group = {
                (part.name, part.axis, index)
                for part in group.parts
                if part.is_maker
                for index in part.indices.ravel().tolist()
            }
            if of_group & taken:
                raise ValueError(
                    f"Expected one penalty on a channel. Received two on those of {group.name}"
                )
            own |= of_group
        taken |= own


def same_paths(paths: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """For paths the one of others that is the same, or begins later or earlier and is alone in it.

    Example:
        >>> same_paths(["net/a/kernel", "net/b/bias"], ["a/kernel", "c/bias"])
        {'net/a/kernel': 'a/kernel'}
    """
    paths, others = list(paths), list(others)

    def fits(one: str, other: str) -> bool:
        return one == other or one.endswith(f"/{other}") or other.endswith(f"/{one}")

    found = {}
    for path in paths:
        fitting = [path] if path in others else [other for other in others if fits(path, other)]
        if len(fitting) == 1 and sum(fits(one, fitting[0]) for one in paths) == 1:
            found[path] = fitting[0]
    return found


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _is_kernel(name: str) -> bool:
    return _last(name).endswith(("kernel", "embeddings"))


def _has_lora(name: str, weights: Sequence[Weight]) -> bool:
    """Whether the layer of a kernel trains LoRA weights in its place."""
    layer = name.rpartition("/")[0]
    return any(weight.name.startswith(f"{layer}/lora_") for weight in weights)


def _trained(group: ChannelGroup, found: dict[str, Any]) -> float:
    """The share of the kernels that make the channels which an optimizer trains."""
    made = [part.name in found for part in group.parts if part.is_maker]
    return sum(made) / max(1, len(made))


def _grouped(
    groups: list[ChannelGroup], found: dict[str, Any], budgets: dict[str, Budget]
) -> tuple[list[Any], Across]:
    names = dict.fromkeys(part.name for group in groups for part in group.parts)
    tensor = {name: place for place, name in enumerate(name for name in names if name in found)}
    sets = [
        [Place(tensor[p.name], p.axis, p.indices) for p in group.parts if p.name in tensor]
        for group in groups
    ]
    variables = [found[name] for name in tensor]
    costs = [group.cost for group in groups if group.cost is not None]
    shapes = [tuple(variable.shape) for variable in variables]
    return variables, Across(shapes, sets, costs or None, budgets)


def _packed(indices: np.ndarray) -> list[Any]:
    """Indices as start, step, count, step and count within a channel, if they are even."""
    rows, columns = indices.shape
    step = int(indices[1, 0] - indices[0, 0]) if rows > 1 else 1
    inner = int(indices[0, 1] - indices[0, 0]) if columns > 1 else 0
    even = [int(indices[0, 0]), step, rows, inner, columns]
    return even if np.array_equal(_unpacked(even), indices) else indices.tolist()


def _unpacked(packed: list[Any]) -> np.ndarray:
    if isinstance(packed[0], list):
        return np.array(packed)
    start, step, rows, inner, columns = packed
    return start + step * np.arange(rows)[:, None] + inner * np.arange(columns)
