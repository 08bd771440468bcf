"""regularize(model, rules): penalties for a model that exists already."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from keras_reg import structure
from keras_reg.keras_private import forget_traces
from keras_reg.optimizers import Proximal
from keras_reg.optimizers.rules import Rules
from keras_reg.regularizers import Penalty
from keras_reg.structure import KeptRegularizer, RegularizerAttribute, path_of
from keras_reg.structure.channels import Channels

Penalties = Penalty | Mapping[str, Penalty] | None


class Attached(NamedTuple):
    """What `regularize` did to one variable.

    Args:
        path: str. The variable's path.
        penalty: the penalty it has now, or None.
        replaced: the regularizer it had before, of this package or of Keras, or None.
    """

    path: str
    penalty: Penalty | None
    replaced: Any


class _Change(NamedTuple):
    """A variable, the penalty it gets and the attributes that keep it."""

    variable: Any
    penalty: Penalty | None
    attributes: tuple[RegularizerAttribute, ...]


def regularize(model: keras.Model, rules: Penalties, strict: bool = False) -> list[Attached]:
    """Puts penalties in the loss of a model that is built, pretrained or loaded.

    Each acts at once, in `model.losses` and in the next `fit`, without another `compile`. In a
    model whose config holds those of its layers, as Sequential and Functional ones do, it stays
    through saving, loading and `keras.models.clone_model`, as if the layers had been made with it.
    The configs of other models, those of KerasHub and subclassed ones, hold the arguments of a
    constructor: a warning counts the weights whose penalty a saved file will not have, and says
    why. Call `regularize` again on the loaded model. A regularizer that was there, of Keras too, is
    replaced and reported. Weights that the rules do not name keep what they have.

    A frozen weight has no penalty in Keras, so a single penalty leaves frozen kernels out. In a
    layer with LoRA that leaves its two factors, as with Keras's own `kernel_regularizer`. The
    config of attention has one regularizer for all its kernels: a saved file has it if all of them
    have one penalty. If `model` is part of another model that is compiled, compile that one again.

    Args:
        model: a built `keras.Model`.
        rules: one `Penalty`, for every trainable kernel and embedding matrix; a dict from patterns
            to penalties, matched with variable paths as in `Proximal`; or None, which removes all
            penalties of this package, those that layers were made with too.
        strict: bool. Raises where the default warns: if a saved file would not have a penalty.

    Returns:
        A list of `Attached`: path, penalty and replaced, for each variable concerned.

    Raises:
        TypeError: if `model` is no model or `rules` are no penalties.
        ValueError: before anything is changed, if the model is not built; if a pattern matches
            nothing or frozen weights alone, or two match one variable; if a penalty has no useful
            gradient, a schedule, or does not fit a variable's shape; if the model's optimizer is a
            `Proximal` with a penalty on the same variable; or if `strict` and no config can carry
            the penalty.

    Example:
        >>> from keras_reg import regularizers
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="hidden")])
        >>> [row] = regularize(model, {"hidden/kernel": regularizers.L2(0.1)})
        >>> row.penalty, row.replaced, len(model.losses)
        (L2(strength=0.1, group_axis=None, size_scaling=True), None, 1)
        >>> len(regularize(model, None)), len(model.losses)
        (1, 0)
    """
    _check_model(model, rules)
    _check_rules(rules)
    if not isinstance(strict, bool):
        raise ValueError(f"Expected `strict` to be True or False. Received: strict={strict!r}")
    named: list[tuple[Any, Any]] = [] if rules is None else _named(model, rules)
    for variable, penalty in named:
        _check_penalty(penalty, variable)
    _check_optimizer(model, [variable for variable, _ in named])
    places = structure.regularizer_attributes(model)
    if rules is None:
        named = [(v, None) for v in model.weights if _had(places[id(v)], Penalty) is not None]
    changes, reasons = _changes(model, named, places)
    rows = [Attached(path_of(v), penalty, _had(places[id(v)])) for v, penalty in named]
    if reasons and strict:
        raise ValueError(
            f"Expected {model.name} to be saved with its penalties. Received: "
            + _lost(rules, reasons, len(named))
        )
    if reasons:
        warnings.warn(_lost(rules, reasons, len(named)) + _AGAIN, stacklevel=2)
    for variable, penalty, attributes in changes:
        variable.regularizer = penalty
        for attribute in attributes:
            setattr(attribute.layer, attribute.name, penalty)
    forget_traces(model)
    return rows


def _check_model(model: Any, rules: Any) -> None:
    if not isinstance(model, keras.layers.Layer):
        hint = ", in the other order" if isinstance(rules, keras.layers.Layer) else ""
        raise TypeError(
            "Expected `model` to be a keras.Model and `rules` penalties of keras_reg.regularizers"
            f"{hint}. Received: model={model!r:.200}, rules={rules!r:.200}"
        )
    if not model.built or not model.weights:
        raise ValueError(
            f"Expected a built model: call it on data, or `build` it. Received: {model.name}, "
            "which has no weights yet"
        )


def _check_rules(rules: Any) -> None:
    values = list(rules.values()) if isinstance(rules, dict) else [rules]
    if rules is not None and not (values and all(isinstance(value, Penalty) for value in values)):
        raise TypeError(
            "Expected `rules` to be a penalty of keras_reg.regularizers, a non-empty dict from "
            f"patterns to penalties, or None. Received: rules={rules!r}"
        )
    for pattern in rules if isinstance(rules, dict) else ():
        if isinstance(pattern, Channels):
            raise ValueError(
                "Expected patterns of variable paths: channels span variables, of which each keeps "
                "its own regularizer. Give them to `keras_reg.optimizers.Proximal`. Received: "
                f"{pattern}"
            )
        structure.check_pattern(pattern)


def _named(model: keras.Model, rules: Penalty | Mapping[str, Penalty]) -> list[tuple[Any, Penalty]]:
    """The trainable variables that the rules name, each with its penalty."""
    trainable = {id(variable) for variable in model.trainable_weights}
    if isinstance(rules, Penalty):
        pairs = Rules(rules, model).assign(model.trainable_weights)
        return [(variable, penalty) for penalty, variable in pairs]
    for pattern, variables in structure.match(rules, model.weights).items():
        if variables and not any(id(variable) in trainable for variable in variables):
            raise ValueError(
                f"Expected the pattern {pattern!r} to match a trainable variable. It matches "
                f"frozen ones alone, on which no penalty acts: {[path_of(v) for v in variables]}"
            )
    pairs = Rules(rules, model).assign(model.weights)
    return [(variable, penalty) for penalty, variable in pairs if id(variable) in trainable]


def _check_penalty(penalty: Penalty, variable: Any) -> None:
    path = path_of(variable)
    if not penalty.differentiable:
        raise ValueError(
            f"Expected a penalty with a useful gradient on {path}. Received: {penalty}, which acts "
            "through its proximal operator alone: give it to `keras_reg.optimizers.Proximal`"
        )
    if isinstance(penalty.strength, keras.optimizers.schedules.LearningRateSchedule):
        raise ValueError(
            f"Expected a float `strength` on {path}: only `keras_reg.optimizers.Proximal` knows "
            f"the iteration that a schedule needs. Received: {penalty}"
        )


def _check_optimizer(model: keras.Model, variables: list[Any]) -> None:
    """Refuses a second penalty. A `Proximal` that is built does not look at regularizers again."""
    if not variables:
        return
    taken = {
        id(variable)
        for optimizer in Proximal.all_of(model)
        for _, variable in optimizer.resolve(model.trainable_weights)
    }
    twice = [path_of(variable) for variable in variables if id(variable) in taken]
    if twice:
        raise ValueError(
            "Expected one penalty on a variable, in the loss or in Proximal. The model's optimizer "
            f"has one on {', '.join(twice)}: compile the model with another optimizer first"
        )


def _had(kept: KeptRegularizer, kind: type = object) -> Any:
    """The regularizer, of a kind, that a variable or a layer has for it, or None."""
    held = [kept.variable.regularizer, *(getattr(*place) for place in kept.attributes)]
    return next((found for found in held if found is not None and isinstance(found, kind)), None)


def _changes(
    model: keras.Model, named: list[tuple[Any, Any]], places: dict[int, KeptRegularizer]
) -> tuple[list[_Change], dict[str, list[Any]]]:
    """What to set, and the variables whose penalty no config will carry, by the reason.

    A regularizer that one attribute keeps for several variables is set for the frozen ones too,
    and kept by the attribute only if all of them have the same.
    """
    wanted = {id(variable): penalty for variable, penalty in named}
    trainable = {id(variable) for variable in model.trainable_weights}
    sharers: dict[RegularizerAttribute, list[Any]] = {}
    for kept in places.values():
        for attribute in kept.attributes[-1:]:
            sharers.setdefault(attribute, []).append(kept.variable)
    changes: list[_Change] = []
    lost: list[KeptRegularizer] = []
    reasons: dict[str, list[Any]] = {}
    for variable, penalty in named:
        kept = places[id(variable)]
        others = [other for place in kept.attributes[-1:] for other in sharers[place]]
        agree = all(
            _same(penalty, wanted.get(id(other), other.regularizer))
            for other in others
            if id(other) in trainable
        )
        changes.append(_Change(variable, penalty, kept.attributes if agree else ()))
        if agree:
            changes += [_Change(other, penalty, ()) for other in others if id(other) not in wanted]
        if not kept.carried:
            lost.append(kept)
        elif not agree:
            reasons.setdefault(_shared(kept.attributes[-1]), []).append(variable)
    return changes, {**structure.why_lost(lost), **reasons}


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return type(one) is type(other) and one.get_config() == other.get_config()


def _shared(attribute: RegularizerAttribute) -> str:
    layer, name = attribute
    return (
        f"the config of {type(layer).__name__} {layer.name!r} has one {name.lstrip('_')!r} for "
        "all of its kernels, which have different penalties"
    )


def _lost(rules: Penalties, reasons: dict[str, list[Any]], count: int) -> str:
    """What a saved file will not have, and why."""
    number = sum(map(len, reasons.values()))
    fate = "come back in" if rules is None else "be missing from"
    shown = [f"{reason} ({_some(found)})" for reason, found in list(reasons.items())[:3]]
    if len(reasons) > 3:
        shown.append(f"and {len(reasons) - 3} other reasons")
    return (
        f"The penalties of {number} of {count} weights will {fate} a saved, loaded or cloned "
        f"model: {'; '.join(shown)}"
    )


def _some(variables: list[Any]) -> str:
    others = f" and {len(variables) - 1} others" if len(variables) > 1 else ""
    return path_of(variables[0]) + others


_AGAIN = (
    ". They change at once in this model. On a loaded one call `regularize` again with the same "
    "rules; or give the penalties to `keras_reg.optimizers.Proximal`, which is saved with a "
    "compiled model. `strict=True` makes this an error"
)
