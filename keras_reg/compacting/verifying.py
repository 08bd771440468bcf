"""Holds a smaller model against the first one on random inputs, up to what rounding does."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_reg.compacting.weights import states_of
from keras_reg.ops.backend import compiled, compiles_each_operation
from keras_reg.structure.channels.graph import Graph, graph_of, graph_of_call, is_graph
from keras_reg.structure.channels.labels import Array
from keras_reg.structure.channels.opening import table_lengths

# Lengths that are tried where an input has none, before those of the tables in the model. Many
# convolutions need 32 pixels or more, those of sounds more still, and tables of positions are
# short.
_LENGTHS = (7, 32, 64, 128, 5, 1024)
_EXAMPLES = 4


class DifferentError(Exception):
    """Outputs differ by more than rounding explains."""


def check_same(
    model: Any, small: Any, x: Any = None, places: dict[int, int] | None = None
) -> dict[str, float]:
    """Compares the outputs of two models.

    Args:
        model: the model.
        small: the smaller model. Its weights are moved by rounding errors, and put back.
        x: inputs, or None for random ones.
        places: dict. By the ids of weights of the smaller model that stand for another up to more
            than a unit in the last place: up to how many.

    Returns:
        The largest difference of each output, by its name.

    Raises:
        DifferentError: if they differ by more than rounding explains.
    """
    inputs, expected = _run(model, x)
    forward = _Forward(small)
    try:
        found = forward.outputs(inputs)
    except Exception as error:  # What a backend or code of a layer raises for sizes.
        raise DifferentError(f"the smaller model fails: {error}") from error
    with _moved(small, places or {}):
        moved = forward.outputs(_jittered(inputs))
    differences: dict[str, float] = {}
    for name, one, other, nudged in zip(_names(model), expected, found, moved, strict=True):
        difference, allowed = _distance(one, other), _allowed(other, nudged)
        differences[name] = difference
        if not difference <= allowed:
            raise DifferentError(
                f"those of {name} by {difference:.3g} where rounding explains {allowed:.3g}"
            )
    return differences


def _names(model: Any) -> list[str]:
    """For each output the keys that lead to it, or the layer that makes it."""
    found: list[str] = []
    names = getattr(model, "output_names", [])
    if not is_graph(model):
        count = len(tree.flatten(graph_of_call(model).outputs))
        return [f"{model.name}/{number}" for number in range(count)]
    structure = getattr(model, "output", model.outputs[0])  # A Sequential model lacks it.
    pairs = tree.flatten_with_path(structure)
    for number, (path, _) in enumerate(pairs):
        keys = [str(key) for key in path]
        if not keys or len({*names}) == len(names) == len(pairs):
            keys = [names[number] if number < len(names) else model.layers[-1].name]
        found.append("/".join(keys))
    return found


def _allowed(found: Array, nudged: Array) -> float:
    """Ten times what a change in the last place of all weights and inputs does."""
    scale = float(np.max(np.abs(found), initial=0.0, where=np.isfinite(found)))
    floor = _distance(found, nudged)
    allowed = 10 * (floor if np.isfinite(floor) else 0.0) + 20 * _epsilon(found) * scale
    # Outputs that change more than this by rounding alone prove nothing.
    return min(allowed, 0.1 * scale) + 1e-30


def _epsilon(array: Array) -> float:
    compute = keras.config.dtype_policy().compute_dtype
    widths = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
    # On PyTorch Keras computes products of double precision in single precision.
    least = 2.0**-23 if keras.backend.backend() == "torch" else 0.0
    return max(widths.get(compute, 2.0**-23), widths.get(array.dtype.name, 0.0), least)


def _distance(first: Array, second: Array) -> float:
    """The largest difference; infinite where only one is a number."""
    first, second = np.asarray(first, "float64"), np.asarray(second, "float64")
    if first.shape != second.shape:
        return np.inf
    if not np.array_equal(np.isfinite(first), np.isfinite(second)):
        return np.inf
    with np.errstate(invalid="ignore"):
        apart = np.abs(first - second)
    return float(np.max(apart, initial=0.0, where=np.isfinite(first)))


def _run(model: Any, x: Any) -> tuple[Any, list[Array]]:
    """Inputs that the model takes, and its outputs."""
    forward = _Forward(model)
    if x is not None:
        return x, forward.outputs(x)
    failure: Exception | None = None
    graph = graph_of(model) if is_graph(model) else graph_of_call(model)
    is_open = any(None in one.shape[1:] for one in graph.inputs)
    for length in (*_LENGTHS, *table_lengths(model)) if is_open else _LENGTHS[:1]:
        inputs = _drawn(model, graph, length)
        try:
            return inputs, forward.outputs(inputs)
        except Exception as error:  # What a backend raises for sizes that are too small.
            failure = error
    raise ValueError(
        "Expected a model that takes random inputs. Give some in `verify`. "
        f"Received: {model.name}, which fails on them: {failure}"
    ) from failure


class _Forward:
    """Runs a model, as one program where the backend would compile each operation by itself."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._program = compiled(self._stateless) if compiles_each_operation() else None

    def outputs(self, inputs: Any) -> list[Array]:
        """What comes out, with the states of the model as they were."""
        with _states_kept(self._model):
            outputs = tree.flatten(self._called(inputs))
        return [np.asarray(keras.ops.convert_to_numpy(one)) for one in outputs]

    def _called(self, inputs: Any) -> Any:
        if self._program is not None:
            of = self._model.trainable_variables, self._model.non_trainable_variables
            # Code of a layer may need numbers. Where shapes do not fit, the model says so itself.
            with contextlib.suppress(Exception):
                return self._program(*([one.value for one in some] for some in of), inputs)
        return self._model(inputs, training=False)

    def _stateless(self, trainable: Any, others: Any, inputs: Any) -> Any:
        return self._model.stateless_call(trainable, others, inputs, training=False)[0]


@contextlib.contextmanager
def _states_kept(model: Any) -> Iterator[None]:
    """Puts back what a call changes: states of recurrent layers, seeds."""
    kept = [*(one for one in model.variables if not one.trainable), *states_of(model)]
    before = [np.array(keras.ops.convert_to_numpy(one)) for one in kept]
    try:
        yield
    finally:
        for variable, value in zip(kept, before, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def _moved(model: Any, places: dict[int, int]) -> Iterator[None]:
    """Moves every weight by about a unit in its last place, or by as many as are given for it."""
    kept = [one for one in model.weights if "float" in keras.backend.standardize_dtype(one.dtype)]
    before = [np.array(keras.ops.convert_to_numpy(one)) for one in kept]
    rng = np.random.default_rng(1)
    try:
        for variable, value in zip(kept, before, strict=True):
            variable.assign(_nudged(value, rng, places.get(id(variable), 1)))
        yield
    finally:
        for variable, value in zip(kept, before, strict=True):
            variable.assign(value)


def _jittered(inputs: Any) -> Any:
    rng = np.random.default_rng(2)

    def moved(one: Any) -> Any:
        is_tensor = keras.ops.is_tensor(one)
        array = keras.ops.convert_to_numpy(one) if is_tensor else np.asarray(one)
        if array.dtype.kind != "f":
            return one
        nudged = _nudged(array, rng)  # Keras wants inputs of a call to be tensors all, or none.
        return keras.ops.convert_to_tensor(nudged) if is_tensor else nudged

    return tree.map_structure(moved, inputs)


def _nudged(value: Array, rng: Any, places: int = 1) -> Array:
    epsilon = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10}
    step = places * epsilon.get(value.dtype.name, 2.0**-7)
    signs = rng.integers(-1, 2, value.shape).astype("int8")
    return (value * (1 + step * signs)).astype(value.dtype)


def _drawn(model: Any, graph: Graph, length: int) -> Any:
    """Random inputs, in the structure that the model takes."""
    rng = np.random.default_rng(0)
    pairs = zip(graph.inputs, _words(graph), strict=True)
    arrays = [_array(tensor, words, length, rng) for tensor, words in pairs]
    if len(arrays) == 1:
        return arrays[0]
    given = model.input if is_graph(model) else graph.nodes[0].args[0]
    return tree.pack_sequence_as(given, arrays)


def _array(tensor: Any, words: int | None, length: int, rng: Any) -> Array:
    lengths = [length if one is None else one for one in tensor.shape[1:]]
    shape = (tensor.shape[0] or _EXAMPLES, *lengths)
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "string":
        raise ValueError("Expected inputs in `verify` for a model that takes strings")
    if dtype == "bool":
        return rng.random(shape) < 0.7
    if "int" in dtype or words is not None:
        return rng.integers(0, words or 2, shape).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


def _words(graph: Graph) -> list[int | None]:
    """For each input the number of rows of the embedding that it chooses from."""
    found: dict[int, int] = {}
    for node in graph.nodes:
        tensors = tree.flatten((node.args, node.kwargs))
        if isinstance(node.operation, keras.layers.Embedding):
            rows: list[int | None] = [node.operation.input_dim]
        elif is_graph(node.operation):
            rows = _words(graph_of(node.operation))
        else:
            continue
        for tensor, count in zip(tensors, rows, strict=False):
            if count is not None:
                found[id(tensor)] = min(count, found.get(id(tensor), count))
    return [found.get(id(tensor)) for tensor in graph.inputs]
