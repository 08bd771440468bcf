"""The network that is trained along a path: built once, its state put in and taken out."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_reg import schedules
from keras_reg.ops.backend import on_host
from keras_reg.optimizers import FixedSupport, Proximal
from keras_reg.optimizers.zeros import has_strength, most_zeros
from keras_reg.regularizers import Penalty
from keras_reg.selection.examples import Batches
from keras_reg.structure.layout import kernels_of, weights_in


class State(NamedTuple):
    """The values of a model's and its optimizer's variables."""

    trainable: list[Any]
    non_trainable: list[Any]
    optimizer: list[Any]


class Network:
    """A model whose optimizer is wrapped in `Proximal`, and where it starts from for each seed.

    One model is compiled and traced, whatever the number of members: each brings its own state.

    Args:
        build: function without arguments that returns a compiled `keras.Model`.
        penalty: as `Proximal` takes it, or a function of the model to that.
        seeds: list of ints.
        sample: a few inputs, to build a model that does not know its inputs' shape.
        metric: as `Proximal` takes it.
    Raises: TypeError or ValueError if `build` returns anything but a new compiled model of the same
        architecture each time, or if penalties have no strength or do not fit.
    """

    def __init__(self, build: Callable, penalty: Any, seeds: list[int], sample: Any, metric: str):
        self._build, self._sample = build, sample
        self._first: tuple[Any, Any] = (None, None)
        self.model = self.fresh(seeds[0])
        if callable(penalty) and not isinstance(penalty, Penalty):
            penalty = penalty(self.model)
        self.unit = _unit(penalty)
        self.optimizer = self.model.optimizer = _wrapped(self.model, penalty, metric)
        self.proximal = Proximal.of(self.model)
        self.optimizer.build(self.model.trainable_variables)
        pairs = self.proximal.resolve(self.model.trainable_variables)
        self.pairs = [(one, variable) for one, variable in pairs if has_strength(one)]
        self.penalized = list({id(v): v for _, v in self.pairs}.values())
        starts = {seeds[0]: self.state()}
        for seed in seeds[1:]:
            starts[seed] = self._start(self.fresh(seed), starts[seeds[0]])
        self.starts = starts

    def fresh(self, seed: int) -> keras.Model:
        """Another model, as `build` makes it.

        Raises: TypeError or ValueError if that is no compiled model, or the one made before.
        """
        if isinstance(self._build, keras.Model) or not callable(self._build):
            raise TypeError(
                "Expected `build` to be a function without arguments that makes a compiled model. "
                f"Received: build={self._build!r}"
            )
        keras.utils.set_random_seed(seed)
        model = self._build()
        if not isinstance(model, keras.Model):
            raise TypeError(f"Expected build() to return a keras.Model. Received: {model!r}")
        if getattr(model, "optimizer", None) is None or not model.compiled:
            raise ValueError(
                "Expected build() to return a compiled model. Received one that is not"
            )
        known, optimizer = self._first
        if known is not None and (model is known or model.optimizer is optimizer):
            raise ValueError(
                "Expected build() to make a new model and a new optimizer each time. Received "
                "those of an earlier call"
            )
        if known is None:
            self._first = model, model.optimizer
        if not model.built:
            model(self._sample)
        if known is not None and _architecture(model) != _architecture(known):
            raise ValueError(
                "Expected build() to return the same architecture each time. Received variables "
                f"{_architecture(known)}, then {_architecture(model)}"
            )
        return model

    def state(self) -> State:
        """The values of all variables, as NumPy arrays."""
        return State(*([_array(v) for v in part] for part in self.variables))

    def load(self, state: State) -> None:
        """Sets all variables."""
        for variables, values in zip(self.variables, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    @property
    def variables(self) -> tuple[list[Any], list[Any], list[Any]]:
        """The variables whose values a `State` holds."""
        model = self.model
        return model.trainable_variables, model.non_trainable_variables, self.optimizer.variables

    @property
    def bytes(self) -> int:
        """Bytes of the state of a member: weights, what the optimizer keeps of them, counters."""
        return sum(value.nbytes for part in self.state() for value in part)

    def scale(self, strength: float) -> float:
        """The `strength_scale` that makes the strongest penalty as strong as that."""
        return strength / self.unit

    def values(self, state: State) -> list[np.ndarray]:
        """The penalized weights in a state."""
        place = {id(v): i for i, v in enumerate(self.model.trainable_variables)}
        return [np.asarray(state.trainable[place[id(v)]]) for v in self.penalized]

    def reach(self) -> int:
        """How many of the penalized weights the penalties can make zero."""
        return sum(most_zeros(penalty, variable) for penalty, variable in self.pairs)

    def is_linear(self) -> bool:
        """Whether the model has no kernel but the penalized one."""
        kernels = kernels_of(self.model)
        return len(kernels) == 1 and [id(v) for v in self.penalized] == [id(kernels[0])]

    def inputs_axes(self) -> tuple[int, tuple[int, ...]] | None:
        """The first penalized weight that has inputs, and the axes that index them."""
        for number, weight in enumerate(weights_in(self.model, self.penalized)):
            if weight.layout is not None and weight.layout.axes("inputs"):
                return number, weight.layout.axes("inputs")
        return None

    def channels(self, state: State) -> float:
        """How many outputs of the penalized weights have a weight that is not zero."""
        found = zip(weights_in(self.model, self.penalized), self.values(state), strict=True)
        made = [(one.layout.axes("outputs"), w) for one, w in found if one.layout is not None]
        return float(sum(_used(w, axes) for axes, w in made if axes))

    def with_weights(self, weights: list[np.ndarray]) -> keras.Model:
        """A model as `build` makes it, with these weights."""
        model = self.fresh(next(iter(self.starts)))
        model.set_weights(weights)
        return model

    def weights(self, state: State) -> list[np.ndarray]:
        """The weights in a state, in the order of `model.weights`."""
        known = {
            id(variable): value
            for variables, values in zip(self.variables, state, strict=True)
            for variable, value in zip(variables, values, strict=True)
        }
        return [np.asarray(known[id(variable)]) for variable in self.model.weights]

    def _start(self, model: keras.Model, first: State) -> State:
        own = (
            [_array(v) for v in model.trainable_variables],
            [_array(v) for v in model.non_trainable_variables],
        )
        return State(*own, first.optimizer)


@dataclasses.dataclass(frozen=True)
class Refit:
    """Makes models from weights of a path.

    Args:
        network: the network.
        examples: `Examples` or `Batches` to train on.
        batch_size: int.
        epochs: int. Where none are given.
    """

    network: Network
    examples: Any
    batch_size: int
    epochs: int

    def model(self, weights: list[np.ndarray]) -> keras.Model:
        """A model as `build` makes it, with these weights."""
        return self.network.with_weights(weights)

    def relaxed(self, weights: list[np.ndarray], epochs: int | None = None) -> keras.Model:
        """The same after some epochs in which what is zero stays zero."""
        epochs = self.epochs if epochs is None else epochs
        schedules.check_count(epochs, "epochs", at_least=1)
        trained = self.model(weights)
        fixed_support(trained)
        if isinstance(self.examples, Batches):
            data = self.examples
            trained.fit(data.x, epochs=epochs, shuffle=data.shuffles, verbose=0)
        else:
            part = self.examples
            trained.fit(
                part.x, part.y, self.batch_size, epochs, sample_weight=part.weights, verbose=0
            )
        return self.model(trained.get_weights())


def _used(w: np.ndarray, axes: tuple[int, ...]) -> int:
    """How many indices of some axes have a weight that is not zero."""
    kept = {axis % w.ndim for axis in axes}
    others = tuple(axis for axis in range(w.ndim) if axis not in kept)
    return int(np.count_nonzero(np.any(w != 0, axis=others)))


def _array(variable: Any) -> np.ndarray:
    # A copy: what is on the host may be the variable's own memory.
    return np.array(on_host(variable))


def fixed_support(model: keras.Model) -> None:
    """Puts `FixedSupport` round the optimizer of a model.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> fixed_support(model)
        >>> type(model.optimizer).__name__
        'FixedSupport'
    """
    model.optimizer = _around(model.optimizer, FixedSupport)


def _wrapped(model: keras.Model, penalty: Any, metric: str) -> Any:
    if Proximal.all_of(model) or FixedSupport.all_of(model):
        raise ValueError(
            "Expected build() to compile with a plain optimizer: it is wrapped in Proximal here. "
            f"Received: {model.optimizer!r}"
        )
    return _around(model.optimizer, lambda o: Proximal(o, penalty, metric=metric, model=model))


def _around(optimizer: Any, wrap: Callable) -> Any:
    """The wrapper, inside of a `LossScaleOptimizer` if there is one."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return wrap(optimizer)
    return keras.optimizers.LossScaleOptimizer(
        wrap(optimizer.inner_optimizer),
        initial_scale=optimizer.initial_scale,
        dynamic_growth_steps=optimizer.dynamic_growth_steps,
    )


def _unit(penalty: Any) -> float:
    """The strength of the strongest penalty: a path's strengths are those of this one."""
    each = penalty.values() if isinstance(penalty, dict) else [penalty]
    found = [one.strength for one in each if isinstance(one, Penalty) and has_strength(one)]
    if not found or any(not isinstance(one, int | float) for one in found) or max(found) == 0:
        raise ValueError(
            "Expected a penalty with a float strength > 0, which the path multiplies. Received: "
            f"penalty={penalty!r}"
        )
    return float(max(found))


def _architecture(model: keras.Model) -> list[tuple[str, tuple]]:
    return [(variable.name, tuple(variable.shape)) for variable in model.weights]
