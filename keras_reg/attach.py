"""regularize(model, rules): penalties for a model that exists already."""

from typing import Any, NamedTuple

import keras

from keras_reg import structure
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import Penalty
from keras_reg.structure import Slot, is_kernel, path_of

Rules = Penalty | dict[str, Penalty] | None


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


def regularize(model: keras.Model, rules: Rules) -> list[Attached]:
    """Puts penalties in the loss of a model that is built, pretrained or loaded.

    Each acts at once, in `model.losses` and in the next `fit`, without another `compile`, and
    stays with the model through saving, loading and `keras.models.clone_model`, as if its layers
    had been made with it. A regularizer that was there, of Keras too, is replaced and reported.
    Weights that the rules do not name keep what they have.

    A frozen weight has no penalty in Keras, so a single penalty leaves frozen kernels out. In a
    layer with LoRA that leaves its two factors, as with Keras's own `kernel_regularizer`. In
    attention, whose config holds one regularizer for all its kernels, give all of them one penalty.
    If `model` is part of another model that is compiled, compile that one again.

    Args:
        model: a built `keras.Model`.
        rules: one `Penalty`, for every trainable kernel and embedding matrix; a dict from patterns
            to penalties, matched with variable paths as in `Proximal`; or None, which removes all
            penalties of this package, those that layers were made with too.

    Returns:
        A list of `Attached`: path, penalty and replaced, for each variable concerned.

    Raises:
        TypeError: if `rules` are no penalties.
        ValueError: before anything is changed, if the model is not built; if a pattern matches
            nothing or frozen weights alone, or two match one variable; if a penalty has no useful
            gradient, a schedule, or does not fit a variable's shape; if the model's optimizer is a
            `Proximal` with a penalty on the same variable; or if no config can carry the penalty.

    Example:
        >>> from keras_reg import regularizers
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="hidden")])
        >>> [row] = regularize(model, {"hidden/kernel": regularizers.L2(0.1)})
        >>> row.penalty, row.replaced, len(model.losses)
        (L2(strength=0.1, group_axis=None, size_scaling=True), None, 1)
        >>> len(regularize(model, None)), len(model.losses)
        (1, 0)
    """
    if not model.built:
        raise ValueError(
            f"Expected a built model: call it on data, or `build` it. Received: {model.name}, "
            "which has no weights yet"
        )
    _check_rules(rules)
    named: list[tuple[Any, Any]] = [] if rules is None else _named(model, rules)
    for variable, penalty in named:
        _check_penalty(penalty, variable)
    _check_optimizer(model, [variable for variable, _ in named])
    slots = structure.regularizer_slots(model)
    if rules is None:
        named = [(v, None) for v in model.weights if _had(v, slots, Penalty) is not None]
    changes = _with_companions(model, named, slots)
    rows = [Attached(path_of(v), penalty, _had(v, slots)) for v, penalty in named]
    for variable, penalty in changes:
        variable.regularizer = penalty
        for slot in slots[id(variable)]:
            setattr(slot.layer, slot.attribute, penalty)
    _forget_traces(model)
    return rows


def _check_rules(rules: Any) -> None:
    values = list(rules.values()) if isinstance(rules, dict) else [rules]
    if rules is not None and not (values and all(isinstance(value, Penalty) for value in values)):
        raise TypeError(
            "Expected `rules` to be a penalty of keras_reg.regularizers, a non-empty dict from "
            f"patterns to penalties, or None. Received: rules={rules!r}"
        )
    for pattern in rules if isinstance(rules, dict) else ():
        structure.check_pattern(pattern)


def _named(model: keras.Model, rules: Penalty | dict[str, Penalty]) -> list[tuple[Any, Penalty]]:
    """The trainable variables that the rules name, each with its penalty."""
    trainable = {id(variable) for variable in model.trainable_weights}
    if isinstance(rules, Penalty):
        kernels = [variable for variable in model.trainable_weights if is_kernel(variable)]
        if not kernels:
            raise ValueError(
                f"Expected {model.name} to have a trainable kernel or embedding matrix. Received "
                f"trainable variables: {[path_of(v) for v in model.trainable_weights]}"
            )
        return [(variable, rules) for variable in kernels]
    named = []
    for pattern, variables in structure.match(rules, model.weights).items():
        active = [variable for variable in variables if id(variable) in trainable]
        if variables and not active:
            raise ValueError(
                f"Expected the pattern {pattern!r} to match a trainable variable. It matches "
                f"frozen ones alone, on which no penalty acts: {[path_of(v) for v in variables]}"
            )
        named += [(variable, rules[pattern]) for variable in active]
    return named


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
    penalty.check_shape(tuple(variable.shape), path)


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


def _had(variable: Any, slots: dict[int, list[Slot]], kind: type = object) -> Any:
    """The regularizer, of a kind, that a variable or a config has for it, or None."""
    places = [getattr(*slot) for slot in slots.get(id(variable), [])]
    held = [place for place in [variable.regularizer, *places] if place is not None]
    return next((regularizer for regularizer in held if isinstance(regularizer, kind)), None)


def _with_companions(model: keras.Model, named: list, slots: dict[int, list[Slot]]) -> list:
    """The changes, with those to frozen variables whose regularizer is kept in the same place."""
    wanted = {id(variable): penalty for variable, penalty in named}
    trainable = {id(variable) for variable in model.trainable_weights}
    sharers: dict[Slot, list[Any]] = {}
    for variable in model.weights:
        if id(variable) in slots:
            sharers.setdefault(slots[id(variable)][-1], []).append(variable)
    changes = list(named)
    for variable, penalty in named:
        if id(variable) not in slots:
            raise ValueError(_no_slot(variable, penalty))
        for other in sharers[slots[id(variable)][-1]]:
            if id(other) in trainable and not _same(
                penalty, wanted.get(id(other), other.regularizer)
            ):
                raise ValueError(_conflict(variable, penalty, other, slots[id(variable)][-1]))
            if id(other) not in wanted:
                changes.append((other, penalty))
    return changes


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return type(one) is type(other) and one.get_config() == other.get_config()


def _no_slot(variable: Any, penalty: Penalty | None) -> str:
    undone = "come back in" if penalty is None else "be lost from"
    return (
        f"Expected a layer whose config holds the regularizer of {path_of(variable)}: without one "
        f"the penalty would {undone} a saved or cloned model. Give the layer an argument such as "
        f"`{variable.name}_regularizer` that `get_config` returns and `add_weight` receives, leave "
        "the variable out with a dict of patterns, or use `keras_reg.optimizers.Proximal`"
    )


def _conflict(variable: Any, penalty: Penalty | None, other: Any, slot: Slot) -> str:
    return (
        f"Expected one penalty for {path_of(variable)} and {path_of(other)}: the config of the "
        f"layer {slot.layer.name} has one {slot.attribute.lstrip('_')!r} for both. Name both in "
        f"one pattern, or neither. Received: {penalty} for the first"
    )


def _forget_traces(model: keras.Model) -> None:
    """Makes Keras trace its steps again: those it has hold the losses of before."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.Model):
            layer.train_function = None
            layer.test_function = None
