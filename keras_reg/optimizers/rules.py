"""The penalties given to an optimizer or to a model, and the variables they act on."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras

from keras_reg import structure
from keras_reg.ops.grouping import Grouping
from keras_reg.optimizers.channel_groups import ChannelGroups, groups_in, refuse_shared
from keras_reg.regularizers.penalty import Penalty
from keras_reg.structure.channels import Channels
from keras_reg.structure.layout import (
    Axes,
    Weight,
    ambiguous,
    layout_from_path,
    weights_alone,
    weights_in,
)

Pair = tuple[Penalty, Any]

# What may stand where a pattern does.
_CHANNELS = (Channels, ChannelGroups)


class Entry(NamedTuple):
    """A penalty and what it acts on.

    Args:
        penalty: `Penalty`.
        variables: tuple of variables. One, but for a penalty that spans several.
        grouping: which of their weights form each group; None: what the penalty itself says.
    """

    penalty: Penalty
    variables: tuple[Any, ...]
    grouping: Grouping | None = None


class Rules:
    """The penalties as given, checked, and how they are laid out over variables.

    Args:
        penalties: one `Penalty`, or a dict from patterns, or `Channels`, to penalties.
        model: the model that has the variables, or None. It may be built later.
        axes: what the method `axes` returned, in place of a model.
        names: what the method `names` returned. A model that is loaded has other paths: Keras
            leaves out the names of the Sequential models that its layers are in.
    Raises: TypeError if `penalties` are neither, or `model` is none; ValueError if a pattern is no
        regular expression, if channels cannot be removed, or if a penalty does not act on channels.
    """

    def __init__(
        self,
        penalties: Any,
        model: Any = None,
        axes: Axes | None = None,
        names: Iterable[str] | None = None,
    ):
        self.penalties = dict(penalties) if isinstance(penalties, dict) else penalties
        self.model = model
        self._axes = dict(axes or {})
        self._names = list(names or ())
        if not self.each or not all(isinstance(penalty, Penalty) for penalty in self.each):
            raise TypeError(
                "Expected `penalties` to be a penalty of keras_reg.regularizers or a non-empty "
                f"dict from patterns to penalties. Received: penalties={penalties!r}"
            )
        if model is not None and not isinstance(model, keras.layers.Layer):
            raise TypeError(
                "Expected `model` to be the keras.Model whose variables are trained. "
                f"Received: model={model!r}"
            )
        for pattern in self._patterns if isinstance(penalties, dict) else ():
            structure.check_pattern(pattern)
        for channels, penalty in self._on_channels:
            penalty.check_groupable()
            groups_in(channels)

    @property
    def each(self) -> list[Penalty]:
        """The penalties."""
        given = self.penalties
        return list(given.values()) if isinstance(given, dict) else [given]

    @property
    def _patterns(self) -> dict[str, Penalty]:
        return {key: p for key, p in self.penalties.items() if not isinstance(key, _CHANNELS)}

    @property
    def _on_channels(self) -> list[tuple[Any, Penalty]]:
        given = self.penalties if isinstance(self.penalties, dict) else {}
        return [(key, penalty) for key, penalty in given.items() if isinstance(key, _CHANNELS)]

    def resolve(self, variables: Iterable[Any]) -> list[Pair]:
        """The pairs for an optimizer: `assign`, where no layer has a penalty for the same variable.

        Raises: ValueError, as `assign`, and if a variable has a penalty in its layer too.
        """
        return _checked(self.assign(variables))

    def assign(self, variables: Iterable[Any]) -> list[Pair]:
        """The pairs of a penalty and a variable.

        Raises: ValueError if a pattern matches nothing, two match one variable, a penalty does not
            fit a variable's shape, axes that it names "outputs" or "inputs" are not clear, or none
            of the channels can become zero.
        """
        weights = self._weights(list(variables))
        pairs = [pair for _, pairs in self._placed(weights) for pair in pairs]
        on_channels = self._channel_entries(weights)
        taken = {id(variable) for _, variable in pairs}
        both = [v for entry in on_channels for v in entry.variables if id(v) in taken]
        if both:
            raise ValueError(
                "Expected one penalty on a variable. Received a pattern and channels that both "
                f"name {', '.join(map(structure.path_of, both))}"
            )
        return pairs + [(entry.penalty, v) for entry in on_channels for v in entry.variables]

    def entries(self, variables: Iterable[Any]) -> list[Entry]:
        """What `resolve` gives, with all variables of a rule in one where its penalty spans them.

        Raises: ValueError, as `resolve`, and if the groups do not suit the penalty.
        """
        variables = list(variables)
        _checked(self.assign(variables))
        weights = self._weights(variables)
        entries = []
        for penalty, pairs in self._placed(weights):
            if penalty.spans_variables and pairs:
                entries.append(_spanning(penalty, pairs))
            else:
                entries += [Entry(placed, (variable,)) for placed, variable in pairs]
        return entries + self._channel_entries(weights)

    def pruned(self, variables: Iterable[Any]) -> list[Any]:
        """The variables on which a pruning penalty acts; none where `entries` raises an error."""
        try:
            entries = self.entries(variables)
        except ValueError:
            return []
        return [v for entry in entries if entry.penalty.holds_zeros for v in entry.variables]

    def warn_of_frozen(self, variables: Iterable[Any]) -> None:
        """Warns of channels made by several kernels of which some are not among the variables."""
        for channels, _ in self._on_channels:
            groups_in(channels).warn_of_frozen(self._weights(list(variables)))

    def _placed(self, weights: list[Weight]) -> list[tuple[Penalty, list[Pair]]]:
        """For each rule but those on channels, the pairs of its penalty, placed, and a variable."""
        rules = self._named(weights)
        is_on_channels = bool(self._on_channels)
        if not any(named for _, named in rules) and not is_on_channels:
            raise ValueError(
                "Expected the model to have a trainable kernel or embedding matrix for the penalty "
                f"to act on. Received variables: {[weight.name for weight in weights]}"
            )
        return _placed(rules) if rules else []

    def _channel_entries(self, weights: list[Weight]) -> list[Entry]:
        entries = []
        chosen = [(groups_in(channels), penalty) for channels, penalty in self._on_channels]
        refuse_shared([groups for groups, _ in chosen])
        for groups, penalty in chosen:
            variables, grouping = groups.on(weights)
            penalty.check_grouping(grouping)
            entries.append(Entry(penalty, tuple(variables), grouping))
        return entries

    def left_out(self, variables: Iterable[Any]) -> list[str]:
        """The names of the weights of rank 2 or more on which no penalty acts."""
        weights = self._weights(list(variables))
        taken = {id(variable) for _, pairs in self._placed(weights) for _, variable in pairs}
        taken.update(id(v) for entry in self._channel_entries(weights) for v in entry.variables)
        return [
            weight.name
            for weight in weights
            if id(weight.variable) not in taken and len(weight.variable.shape) >= 2
        ]

    def axes(self) -> Axes:
        """What the path of a weight of the model does not tell, for a config: see `Axes`."""
        if self.model is None or not self.model.built:
            return self._axes
        axes: Axes = {}
        for variable, name, layout, is_kernel in weights_in(self.model, self.model.weights):
            if is_kernel != structure.is_kernel(variable):
                axes[name] = []
            elif layout and layout != layout_from_path(name, tuple(variable.shape)):
                axes[name] = [list(numbers) for numbers in layout[1:]]
        return axes

    def names(self, variables: Iterable[Any]) -> list[str]:
        """What patterns and axes call all variables of an optimizer, for a config."""
        is_by_name = isinstance(self.penalties, dict) or bool(self.axes())
        return self._names or (structure.names_once(variables) if is_by_name else [])

    def named(self) -> tuple[Any, dict[str, Any]]:
        """The penalties, with a name in the place of channels; and for a config what each names."""
        names = {key: f"channels#{1 + place}" for place, (key, _) in enumerate(self._on_channels)}
        if not names:
            return self.penalties, {}
        penalties = {names.get(key, key): penalty for key, penalty in self.penalties.items()}
        return penalties, {name: groups_in(key).to_config() for key, name in names.items()}

    def _weights(self, variables: list[Any]) -> list[Weight]:
        if self.model is not None:
            return weights_in(self.model, variables)
        names = _names_before(structure.names_once(variables), self._names)
        return weights_alone(variables, self._axes, names)

    def _named(self, weights: list[Weight]) -> list[tuple[Penalty, list[Weight]]]:
        """Each penalty with the weights that its pattern names; one alone with all kernels."""
        if not isinstance(self.penalties, dict):
            return [(self.penalties, [w for w in weights if w.is_kernel])]
        weight_of = {id(weight.variable): weight for weight in weights}
        found = structure.match(
            self._patterns, [w.variable for w in weights], [w.name for w in weights]
        )
        return [
            (self.penalties[pattern], [weight_of[id(variable)] for variable in variables])
            for pattern, variables in found.items()
        ]


def _names_before(found: list[str], saved: list[str]) -> list[str]:
    """What weights were called in a model that was saved: paths may have lost their beginnings."""
    if not saved or set(found) <= set(saved):
        return found
    names = []
    for name in found:
        path, _, number = name.partition("#")
        alike = [one for one in saved if f"/{one.partition('#')[0]}".endswith(f"/{path}")]
        place = int(number or 1) - 1
        names.append(alike[place] if place < len(alike) else name)
    return names


def _placed(rules: list[tuple[Penalty, list[Weight]]]) -> list[tuple[Penalty, list[Pair]]]:
    """Penalties with numbers for the axes of each weight.

    Raises: ValueError, with all weights concerned, if axes are not clear or shapes do not fit.
    """
    unclear = [
        w.name
        for penalty, named in rules
        for w in named
        if penalty.needs_layout and w.layout is None
    ]
    if unclear:
        raise ValueError(ambiguous(unclear))
    errors: list[str] = []
    skipped: list[str] = []
    placed_rules: list[tuple[Penalty, list[Pair]]] = []
    for penalty, named in rules:
        pairs: list[Pair] = []
        for variable, name, layout, _ in named:
            try:
                placed = penalty.placed(layout, name) if layout else penalty
                placed.check_shape(tuple(variable.shape), name)
            except ValueError as error:
                (skipped if penalty.skip_unfit else errors).append(str(error))
            else:
                pairs.append((placed, variable))
        placed_rules.append((penalty, pairs))
    if errors or not any(pairs for _, pairs in placed_rules):
        raise ValueError("\n".join(errors or skipped))
    return placed_rules


def _spanning(penalty: Any, pairs: list[Pair]) -> Entry:
    variables = tuple(variable for _, variable in pairs)
    shapes = [tuple(variable.shape) for variable in variables]
    grouping = penalty.together([placed for placed, _ in pairs], shapes)
    penalty.check_grouping(grouping)
    return Entry(penalty, variables, grouping)


def _checked(pairs: list[Pair]) -> list[Pair]:
    """Raises: ValueError if a variable has a penalty in its layer too."""
    for penalty, variable in pairs:
        if isinstance(getattr(variable, "regularizer", None), Penalty):
            raise ValueError(
                f"Expected one penalty on {structure.path_of(variable)}, in the loss or in "
                f"Proximal. Received two: its layer's {variable.regularizer!r} and the "
                f"optimizer's {penalty!r}"
            )
    return pairs


def with_channels(penalties: Any, channels: dict[str, Any]) -> Any:
    """The penalties that `Rules.named` gave two parts of.

    Example:
        >>> with_channels({"kernel": None}, {})
        {'kernel': None}
    """
    if not channels:
        return penalties
    keys = {name: ChannelGroups.from_config(config) for name, config in channels.items()}
    return {keys.get(key, key): penalty for key, penalty in penalties.items()}
