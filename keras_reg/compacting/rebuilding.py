"""Builds the smaller model: the same calls, on new layers of the sizes that stay."""

from typing import Any

import keras
import numpy as np
from keras import tree

from keras_reg.compacting.contents.movements import moved
from keras_reg.compacting.resizing import Sizes, UnfitError, arguments_of, edits_of, rescaled
from keras_reg.compacting.survey import Run, Step
from keras_reg.compacting.weights import states_of
from keras_reg.structure.channels.graph import is_graph
from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.registry import channels_rule
from keras_reg.structure.channels.rules.movements import movement


class Rebuilding:
    """New layers for those of a model.

    Args:
        sizes: the sizes that stay.
    """

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._new: dict[int, Any] = {}
        self._pairs: dict[int, tuple[Any, Any, Step]] = {}
        self._edits: dict[int, dict[str, Any]] = {}

    def model(self, model: Any, run: Run) -> Any:
        """The smaller model, with its weights."""
        self._plan(run)
        small = self._model(model, run)
        for old, new, step in self._pairs.values():
            self._fill(old, new, step)
        return small

    @property
    def variables(self) -> list[tuple[Any, Any]]:
        """Variables of the model, each with the one that it became."""
        found = []
        for old, new, _ in self._pairs.values():
            if isinstance(old, keras.layers.Layer):
                # A bias that a layer got is the last of its variables.
                found += list(zip(old.variables, new.variables, strict=False))
        return found

    def _plan(self, run: Run) -> None:
        """What changes in each config. Nothing is built if two calls want different sizes."""
        for step in run.steps:
            operation = step.node.operation
            if step.run is not None:
                self._agree(operation, step, {"inputs": [*map(self._sizes.shape, step.run.inputs)]})
                self._plan(step.run)
                continue
            if id(operation) not in self._edits:
                rescaled(operation, self._sizes)
            try:
                edits = edits_of(operation, step, self._sizes)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UnfitError(
                    step, f"{operation.name} has no size to change ({error})"
                ) from None
            self._agree(operation, step, edits)
            self._check_order(step, edits)

    def _agree(self, operation: Any, step: Step, edits: dict[str, Any]) -> None:
        if self._edits.setdefault(id(operation), edits) != edits:
            raise UnfitError(step, f"{operation.name} is used with different sizes")

    def _check_order(self, step: Step, edits: dict[str, Any]) -> None:
        """What moves entries must bring those that stay to their places."""
        operation = step.node.operation
        if channels_rule(operation) is not movement:
            return
        inputs = [x for x in tree.flatten((step.args, step.kwargs)) if isinstance(x, Traced)]
        if not any(self._sizes.removal.gone(one).any() for x in inputs for one in x.axes.values()):
            return
        try:
            before = {id(x): _numbered(x, place) for place, x in enumerate(inputs)}
            expected = moved(operation, step.args, step.kwargs, before)
            expected = [self._kept(*one) for one in zip(expected, step.results, strict=True)]
            small = {id(x): self._kept(before[id(x)], x) for x in inputs}
            args = (step.args[0], *arguments_of(step, self._sizes)[1:])
            found = moved(_remade(operation, edits), args, step.kwargs, small)
            is_right = all(map(np.array_equal, found, expected))
        except Exception as error:  # What a backend raises for shapes that do not fit.
            raise UnfitError(step, f"{operation.name} holds lengths ({error})") from None
        if not is_right:
            raise UnfitError(step, f"{operation.name} would move other channels")

    def _kept(self, array: Array, traced: Traced) -> Array:
        for axis, labels in traced.axes.items():
            array = array.take(self._sizes.removal.kept(labels), axis)
        return array

    def _model(self, model: Any, run: Run) -> Any:
        inputs = [self._input(model, *one) for one in zip(model.inputs, run.inputs, strict=True)]
        if isinstance(model, keras.Sequential):
            # What else there is computes masks, as the new layers do by themselves.
            own = {id(layer) for layer in model.layers}
            new = [self._operation(one) for one in run.steps if id(one.node.operation) in own]
            try:
                small = keras.Sequential([*inputs, *new], name=model.name)
            except Exception as error:  # What an initializer or a user's layer raises.
                self._outputs(run, inputs)  # Says which layer it is.
                raise UnfitError(run.steps[0], f"{model.name} does not fit ({error})") from None
        else:
            outputs = self._outputs(run, inputs)
            small = keras.Model(
                tree.pack_sequence_as(model.input, inputs),
                tree.pack_sequence_as(model.output, outputs),
                name=model.name,
            )
        if not model.trainable:
            small.trainable = False
        return small

    def _input(self, model: Any, tensor: Any, traced: Traced) -> Any:
        given = [one for one in model.layers if isinstance(one, keras.layers.InputLayer)]
        layer = next((one for one in given if one.output is tensor), None)
        return keras.Input(
            batch_shape=self._sizes.shape(traced),
            dtype=tensor.dtype,
            sparse=tensor.sparse,
            name=tensor.name if layer is None else layer.name,
            optional=getattr(layer, "optional", False),
        )

    def _outputs(self, run: Run, inputs: list[Any]) -> list[Any]:
        found = {id(x): new for x, new in zip(run.graph.inputs, inputs, strict=True)}
        for step in run.steps:
            args, kwargs = tree.map_structure(
                lambda value: found.get(id(value), value),
                (arguments_of(step, self._sizes), step.node.kwargs),
            )
            operation = self._operation(step)
            try:
                results = tree.flatten(operation(*args, **kwargs))
            except Exception as error:  # What a user's layer raises is not known here.
                raise UnfitError(step, f"{operation.name} does not fit ({error})") from None
            for x, result, traced in zip(step.node.outputs, results, step.results, strict=True):
                if tuple(result.shape) != self._sizes.shape(traced):
                    raise UnfitError(step, f"{operation.name} gives {result.shape}")
                found[id(x)] = result
        return [found[id(x)] for x in tree.flatten(run.graph.outputs)]

    def _operation(self, step: Step) -> Any:
        """The new layer or operation of a call, made once."""
        operation = step.node.operation
        if id(operation) not in self._new:
            if step.run is not None:
                new = self._model(operation, step.run)
            else:
                new = self._layer(operation, step)
                self._pairs[id(operation)] = operation, new, step
            self._new[id(operation)] = new
        return self._new[id(operation)]

    def _layer(self, operation: Any, step: Step) -> Any:
        try:
            return _remade(operation, self._edits[id(operation)])
        except Exception as error:  # What a user's layer raises is not known here.
            raise UnfitError(step, f"{operation.name} has no config ({error})") from None

    def _fill(self, old: Any, new: Any, step: Step) -> None:
        """Gives a new layer its weights."""
        if not isinstance(old, keras.layers.Layer):
            return
        values = [self._sizes.values.of(variable) for variable in old.variables]
        if id(old) in self._sizes.values.new_biases:
            values.append(self._sizes.values.new_biases[id(old)])
        shapes = [tuple(variable.shape) for variable in new.variables]
        if shapes != [value.shape for value in values]:
            raise UnfitError(step, f"{old.name} has variables of shapes {shapes}")
        for variable, value in zip(new.variables, values, strict=True):
            variable.assign(value.astype(variable.dtype) if value.dtype == "float64" else value)
        for state, other in zip(states_of(old), states_of(new), strict=True):
            other.assign(self._sizes.values.of(state))
        if hasattr(new, "finalize_state"):
            new.finalize_state()


def _numbered(traced: Traced, place: int) -> Array:
    """A tensor with another number in every entry."""
    shape = [1 if length is None else length for length in traced.shape]
    numbers = np.arange(np.prod(shape), dtype="int32") + (place << 24)
    return numbers.reshape(shape)


def _remade(operation: Any, edits: dict[str, Any]) -> Any:
    """A new layer or operation from the config of another and what changes in it."""
    if is_graph(operation):
        raise TypeError("a model whose graph was not read")
    config = _unbuilt({**operation.get_config(), **edits})
    return type(operation).from_config(config)


def _unbuilt(config: Any) -> Any:
    """A config without the shapes that layers in it were built for."""
    if isinstance(config, dict):
        return {key: _unbuilt(one) for key, one in config.items() if key != "build_config"}
    return [_unbuilt(one) for one in config] if isinstance(config, list) else config
