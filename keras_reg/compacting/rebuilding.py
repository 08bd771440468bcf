"""Builds the smaller model: the same calls, on new layers of the sizes that stay."""

import collections
import functools
import inspect
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_reg.compacting.classes import composed, is_composed, own_variables
from keras_reg.compacting.contents.movements import moved
from keras_reg.compacting.in_place import build_config, is_resized, resized, scope_of
from keras_reg.compacting.low_rank import Pair, can_split, split
from keras_reg.compacting.resizing import Sizes, UnfitError, arguments_of, edits_of, rescaled
from keras_reg.compacting.survey import Run, Step, leaves_of
from keras_reg.compacting.unfilled import restore, unfilled
from keras_reg.compacting.weights import copy_files, states_of
from keras_reg.keras_private import layers_in
from keras_reg.layers import PartialLayerNormalization
from keras_reg.structure.channels.graph import functional_class, is_graph
from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.registry import channels_rule
from keras_reg.structure.channels.rules.movements import movement
from keras_reg.structure.weights import path_of


class Rebuilding:
    """New layers for those of a model.

    Args:
        sizes: the sizes that stay.
        splits: None, or an int: kernels of small rank become two, of a rank that is a multiple.

    Its `classes` are the models of classes of their own that became Functional ones, each with the
    error of their class, or None where what is between their layers changes.
    """

    def __init__(self, sizes: Sizes, splits: int | None = None) -> None:
        self._sizes, self._splits = sizes, splits
        self._new: dict[int, Any] = {}
        self._pairs: dict[int, tuple[Any, Any, Step]] = {}
        self._edits: dict[int, dict[str, Any]] = {}
        self.classes: dict[str, str | None] = {}

    def model(self, model: Any, run: Run) -> Any:
        """The smaller model, with its weights."""
        self._plan(run)
        every = [] if self._splits is None else [model, *layers_in(model)]
        own = (one for layer in every for one in own_variables(layer))
        self._owners = collections.Counter(map(id, own))
        small = self._model(model, run) if is_graph(model) else self._in_code(model, run)
        for old, new, step in self._pairs.values():
            self._fill(old, new, step)
        return small

    @property
    def variables(self) -> list[tuple[Any, Any]]:
        """Variables of the model, each with the one that it became."""
        found = []
        for old, new, _ in self._pairs.values():
            if isinstance(new, Pair):
                continue
            if isinstance(old, keras.layers.Layer):
                # A bias that a layer got is the last of its variables.
                found += list(zip(old.variables, new.variables, strict=False))
        return found

    @property
    def split(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """By the paths of kernels of which two were made, the shapes of these."""
        return {
            path_of(old.variables[0]): new.shapes
            for old, new, _ in self._pairs.values()
            if isinstance(new, Pair)
        }

    @property
    def places(self) -> dict[int, int]:
        """By the ids of new kernels that are exact to several units in the last place: how many."""
        pairs = [new for _, new, _ in self._pairs.values() if isinstance(new, Pair)]
        return {one: count for pair in pairs for one, count in pair.places.items()}

    def _plan(self, run: Run) -> None:
        """What changes in each config. Nothing is built if two calls want different sizes."""
        for step in run.steps:
            operation = step.node.operation
            if step.run is not None:
                self._agree(operation, step, {"inputs": [*map(self._sizes.shape, step.run.inputs)]})
                self._plan(step.run)
                continue
            edits = self._planned(operation, step)
            self._agree(operation, step, edits)
            self._check_order(step, edits)
            for inner in leaves_of(step.inside):
                try:
                    self._agree(
                        inner.node.operation, step, self._planned(inner.node.operation, inner)
                    )
                except UnfitError as unfit:
                    raise UnfitError(step, unfit.why) from None

    def _planned(self, operation: Any, step: Step) -> dict[str, Any]:
        if id(operation) not in self._edits:
            rescaled(operation, self._sizes)
        try:
            return edits_of(operation, step, self._sizes)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            why = f"{operation.name} has no size to change ({error})"
            raise UnfitError(step, why) from None

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
        small = self._of_its_class(model, run)
        if small is not None:
            return small
        inputs = [self._input(model, *one) for one in zip(model.inputs, run.inputs, strict=True)]
        if isinstance(model, keras.Sequential):
            # What else there is computes masks, as the new layers do by themselves.
            own = {id(layer) for layer in model.layers}
            made = [self._operation(one) for one in run.steps if id(one.node.operation) in own]
            pairs = [(one.first, one.second) if isinstance(one, Pair) else (one,) for one in made]
            new = [layer for pair in pairs for layer in pair]
            try:
                small = self._composed(model, [*inputs, *new])
            except Exception as error:  # What an initializer or a user's layer raises.
                self._outputs(run, inputs)  # Says which layer it is.
                raise UnfitError(run.steps[0], f"{model.name} does not fit ({error})") from None
        else:
            outputs = self._outputs(run, inputs)
            small = self._composed(
                model,
                tree.pack_sequence_as(model.input, inputs),
                tree.pack_sequence_as(model.output, outputs),
            )
        if not model.trainable:
            small.trainable = False
        return small

    def _of_its_class(self, model: Any, run: Run) -> Any:
        """A model of a class of its own that keeps it, or None: it becomes a Functional one."""
        if is_composed(model):
            return None
        why: Exception | None = None
        if self._is_changed_inside(run):
            try:
                small = resized(model, self._changes(model, run))
            except Exception as error:  # What a user's class raises is not known here.
                why = error
            else:
                self._pairs[id(model)] = model, small, run.steps[0]
                return small
        self._note(model, why)
        return None

    def _composed(self, model: Any, *parts: Any) -> Any:
        """A model of new parts, of its class if that is made of such parts."""
        plain = keras.Sequential if isinstance(model, keras.Sequential) else keras.Model
        if type(model) not in (plain, functional_class()) and is_composed(model):
            try:
                return composed(model, type(model), parts)
            except Exception as error:  # What a user's class raises is not known here.
                self._note(model, error)
        return plain(*parts, name=model.name)

    def _note(self, model: Any, error: Exception | None) -> None:
        """Notes that a model of a class of its own becomes one of Keras's."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        label = f"{model.name}, of class {type(model).__name__}"
        self.classes[label] = None if error is None else lines[0]

    def _in_code(self, model: Any, run: Run) -> Any:
        """A model that keeps no graph: its code stays."""
        (step,) = run.steps
        if step.inside is None:
            raise ValueError(
                "Expected a Sequential or Functional model, or one whose `call` can be read. "
                f"Received: {model.name}, of class {type(model).__name__}"
            )
        try:
            small = resized(model, self._changes(model, step.inside))
        except Exception as error:  # What a user's class raises is not known here.
            raise UnfitError(step, f"{model.name} has no config ({error})") from None
        self._pairs[id(model)] = model, small, step
        return small

    def _is_changed_inside(self, run: Run) -> bool:
        """Whether all that changes is inside the layers, not the tensors between them."""
        if self._splits is not None:
            return False
        if not all(step.run is None or self._is_changed_inside(step.run) for step in run.steps):
            return False
        flat = tree.flatten([(step.args, step.kwargs, step.results) for step in run.steps])
        tensors = [x for x in flat if isinstance(x, Traced)]
        return all(self._sizes.shape(x) == x.shape for x in tensors)

    def _changes(self, layer: Any, run: Run) -> list[dict[str, Any]]:
        """What `resized` is to change in a layer or model."""
        place_of = {id(one): place for place, one in enumerate(layers_in(layer))}
        found = {}
        for step in leaves_of(run):
            one = step.node.operation
            if self._is_changed(one):
                given = inspect.signature(one.call).bind(*step.args, **step.kwargs).arguments
                changes = {
                    name: functools.partial(self._resized_shape, x)
                    for name, x in given.items()
                    if isinstance(x, Traced)
                }
                found[place_of[id(one)]] = {
                    "place": place_of[id(one)],
                    "config": _unbuilt({**one.get_config(), **self._edits[id(one)]}),
                    "build": build_config(one, changes),
                }
        return list(found.values())

    def _resized_shape(self, traced: Traced, shape: Any) -> tuple[int | None, ...]:
        """A shape that a layer was built for, with the lengths that the axes with channels get."""
        new, more = list(shape), len(shape) - traced.rank  # It may be called on a flat batch.
        for axis in traced.axes:
            new[axis + more] = self._sizes.shape(traced)[axis]
        return tuple(new)

    def _is_changed(self, layer: Any) -> bool:
        """Whether a layer in another has to be made again."""
        if any(map(self._sizes.is_cut, layer.variables)):
            return True
        edits = self._edits[id(layer)]
        config = layer.get_config() if edits else {}  # Some that hold no sizes have none.
        return any(config.get(name) != value for name, value in edits.items())

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
                with scope_of(step.node.operation):
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
        edits = self._edits[id(operation)]
        try:
            cut = (
                one for inner in leaves_of(step.inside) for one in inner.node.operation.variables
            )
            if step.inside is not None and any(self._sizes.is_cut(one, "makes") for one in cut):
                return resized(operation, self._changes(operation, step.inside))
            pair = None if self._splits is None else self._pair(operation, edits)
            return unfilled(_remade(operation, edits)) if pair is None else pair
        except Exception as error:  # What a user's layer raises is not known here.
            raise UnfitError(step, f"{operation.name} has no config ({error})") from None

    def _pair(self, layer: Any, edits: dict[str, Any]) -> Pair | None:
        """Two layers for one, if its kernel is its own and has a small rank."""
        if not can_split(layer) or self._owners[id(layer.variables[0])] != 1:
            return None
        kernel = self._sizes.values.of(layer.variables[0])
        return split(layer, {**layer.get_config(), **edits}, kernel, self._splits or 1)

    def _fill(self, old: Any, new: Any, step: Step) -> None:
        """Gives a new layer its weights."""
        if not isinstance(old, keras.layers.Layer):
            return
        values = [self._sizes.values.of(variable) for variable in old.variables]
        if id(old) in self._sizes.values.new_biases:
            values.append(self._sizes.values.new_biases[id(old)])
        if isinstance(new, Pair):
            new.fill(values[1] if len(values) > 1 else None)
            return
        shapes = [tuple(variable.shape) for variable in new.variables]
        if shapes != [value.shape for value in values]:
            raise UnfitError(step, f"{old.name} has variables of shapes {shapes}")
        for variable, value in zip(new.variables, values, strict=True):
            variable.assign(value.astype(variable.dtype) if value.dtype == "float64" else value)
        for state, other in zip(states_of(old), states_of(new), strict=True):
            other.assign(self._sizes.values.of(state))
        for one, other in zip(layers_in(old), layers_in(new), strict=True):
            if one.trainable != other.trainable:  # What was frozen later is in no config.
                other.trainable = one.trainable
        try:
            copy_files(old, new)
        except Exception as error:  # What a user's layer raises is not known here.
            raise UnfitError(step, f"{old.name} cannot load what it saves ({error})") from None
        if hasattr(new, "finalize_state") and new.variables:  # The others are as in their config.
            new.finalize_state()
        restore(new, old)


def _numbered(traced: Traced, place: int) -> Array:
    """A tensor with another number in every entry."""
    shape = [1 if length is None else length for length in traced.shape]
    numbers = np.arange(np.prod(shape), dtype="int32") + (place << 24)
    return numbers.reshape(shape)


def _remade(operation: Any, edits: dict[str, Any]) -> Any:
    """A new layer or operation from the config of another and what changes in it."""
    if is_graph(operation):
        raise TypeError("a model whose graph was not read")
    if is_resized(operation):
        return type(operation).from_config(operation.get_config())
    config = _unbuilt({**operation.get_config(), **edits})
    kind = type(operation)
    if isinstance(operation, keras.layers.Lambda):
        new = kind.from_config(config, safe_mode=False)
        # What a config holds of a function lacks the names of the module that it is in.
        new.function, new.mask = operation.function, operation.mask
        return new
    if kind is keras.layers.LayerNormalization and edits:
        kind = PartialLayerNormalization
    return kind.from_config({**config, **_functions(operation)})


def _functions(layer: Any) -> dict[str, Any]:
    """Activations and the like that are a user's functions: no config can be made into these."""
    found = {name: getattr(layer, name, None) for name in layer.get_config()}
    return {
        name: value
        for name, value in found.items()
        if inspect.isfunction(value) and value.__module__.partition(".")[0] != "keras"
    }


def _unbuilt(config: Any) -> Any:
    """A config without the shapes that layers in it were built for."""
    if isinstance(config, dict):
        return {key: _unbuilt(one) for key, one in config.items() if key != "build_config"}
    return [_unbuilt(one) for one in config] if isinstance(config, list) else config
