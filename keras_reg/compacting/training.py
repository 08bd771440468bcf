"""A smaller model trains on: compiled as the other, with what is left of its optimizer's state."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_reg.compacting.weights import Values
from keras_reg.keras_private import compile_arguments, variables_of
from keras_reg.optimizers.moved import moved
from keras_reg.optimizers.wrapper import Wrapper
from keras_reg.structure.channels.labels import Array

Pairs = Sequence[tuple[Any, Any]]
# The methods of optimizers that make a variable like a weight: Keras's, and `Wrapper`'s own.
_MAKERS = ("add_variable_from_reference", "add_like")


def check_compiled(model: Any) -> None:
    """Raises ValueError for a model whose compiled state cannot be taken over."""
    if not model.compiled:
        raise ValueError(
            f"Expected a compiled model with `keep_optimizer=True`. Received: {model.name}"
        )
    if type(model).compile is not keras.Model.compile:
        raise ValueError(
            "Expected a model with the `compile` of keras.Model with `keep_optimizer=True`. "
            f"Received: {model.name}, of class {type(model).__name__}"
        )


def carry_over(model: Any, small: Any, values: Values, pairs: Pairs) -> None:
    """Compiles a smaller model as another is, with the state of its optimizer.

    Args:
        model: a compiled model.
        small: the smaller model.
        values: what is kept of the model's variables.
        pairs: variables of the model, each with the one that it became.

    Raises:
        ValueError: if the optimizer's state cannot be cut.
    """
    optimizer = moved(model.optimizer, model, small, _image(values, pairs))
    arguments = {**compile_arguments(model), "optimizer": optimizer}
    for name in ("metrics", "weighted_metrics"):
        arguments[name] = _fresh(arguments[name])
    if model.optimizer.built:
        _take_state(optimizer, model.optimizer, small, values, pairs)
    small.compile(**arguments)


def _fresh(metrics: Any) -> Any:
    """The same metrics; those with state made anew."""
    return tree.map_structure(
        lambda one: (
            type(one).from_config(one.get_config()) if isinstance(one, keras.Metric) else one
        ),
        metrics,
    )


def _image(values: Values, pairs: Pairs) -> Callable[..., Any]:
    new_of = {id(old): new for old, new in pairs}

    def image(variable: Any, axis: int, indices: Array) -> tuple[Any, Array] | None:
        if id(variable) not in new_of:
            return None
        kept = values.kept(variable).get(axis, np.arange(variable.shape[axis]))
        return new_of[id(variable)], np.flatnonzero(np.isin(kept, indices))

    return image


def _take_state(optimizer: Any, old: Any, small: Any, values: Values, pairs: Pairs) -> None:
    """Builds an optimizer for a smaller model, with what is left of the state of another."""
    old_of = {id(new): variable for variable, new in pairs}
    # How another is laid out shows when one like it is built.
    probe = type(old).from_config(old.get_config())
    before = _weights_of_state(probe, variables_of(old))
    after = _weights_of_state(optimizer, small.trainable_variables)
    states = _by_weight(before, old.variables)
    for weight, news in _by_weight(after, optimizer.variables).items():
        owner = weight if weight is None else old_of.get(weight)
        olds = states.get(None if owner is None else id(owner), [])
        if owner is None and weight is not None:
            continue  # A bias that is new.
        if olds and len(olds) != len(news):
            raise ValueError(
                "Expected an optimizer that keeps as much of each weight of the smaller model. "
                f"Received: {old.name}. Compile the smaller model anew"
            )
        for state, new in zip(olds, news, strict=False):  # What was frozen has none.
            new.assign(_left(owner, state, new, values, old))
    for wrapper in Wrapper.within(optimizer):  # What it knows of its state without reading it.
        wrapper.set_weights([keras.ops.convert_to_numpy(one) for one in wrapper.variables])


def _by_weight(weights: Sequence[Any], states: Sequence[Any]) -> dict[int | None, list[Any]]:
    """The variables of an optimizer by the `id` of the weight that they are of."""
    found: dict[int | None, list[Any]] = {}
    for weight, state in zip(weights, states, strict=True):
        found.setdefault(None if weight is None else id(weight), []).append(state)
    return found


def _left(weight: Any, state: Any, new: Any, values: Values, optimizer: Any) -> Array:
    """What is left of a variable of the optimizer."""
    array = np.array(keras.ops.convert_to_numpy(state))
    if weight is not None and array.shape == tuple(weight.shape):
        array = values.cut(weight, array)
    if array.shape != tuple(new.shape):
        raise ValueError(
            "Expected an optimizer whose state has the shapes of the weights. Received: "
            f"{optimizer.name}, whose {state.path} of shape {tuple(state.shape)} would become "
            f"{tuple(new.shape)}. Compile the smaller model anew"
        )
    return array


def _weights_of_state(optimizer: Any, variables: Sequence[Any]) -> list[Any]:
    """Builds an optimizer. For each of its variables the weight that it is of, or None."""
    weight_of: dict[int, Any] = {}
    makers = [(one, name) for one in _within(optimizer) for name in _MAKERS if hasattr(one, name)]
    for one, name in makers:
        vars(one)[name] = _noting(getattr(one, name), weight_of)
    optimizer.build(list(variables))
    for one, name in makers:
        del vars(one)[name]
    return [weight_of.get(id(state)) for state in optimizer.variables]


def _noting(make: Callable, weight_of: dict[int, Any]) -> Callable:
    """A method that makes a variable like another, which notes of what weight it is."""

    def noted(reference_variable: Any, *args: Any, **kwargs: Any) -> Any:
        state = make(reference_variable, *args, **kwargs)
        weight_of[id(state)] = reference_variable
        return state

    return noted


def _within(optimizer: Any) -> list[Any]:
    """An optimizer and those in it."""
    inner = getattr(optimizer, "inner_optimizer", None)
    members = [inner] if inner is not None else list(getattr(optimizer, "optimizers", ()))
    return [optimizer, *(found for member in members for found in _within(member))]
