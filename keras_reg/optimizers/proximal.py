"""Proximal: any Keras optimizer, with a proximal step after each of its updates."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.ops.backend import compiled, read, update
from keras_reg.optimizers.rules import Rules
from keras_reg.regularizers.penalty import Penalty


class _Pair(NamedTuple):
    """A penalty, the variable it acts on, and the optimizer whose learning rate moves it."""

    penalty: Penalty
    variable: Any
    optimizer: Any


@keras.saving.register_keras_serializable("keras_reg")
class Proximal(keras.optimizers.Optimizer):
    """Wraps an optimizer so that its penalties make weights exactly zero.

    After each update of the wrapped optimizer, w <- prox(w, step). The step is the learning rate,
    for SGD and RMSprop with momentum learning_rate / (1 - momentum), which is how far their updates
    reach. The penalty takes no part in the loss or its gradient: adaptive optimizers do not rescale
    it, as with the decoupled weight decay of AdamW, and the loss in the logs is the model's alone.

    Args:
        optimizer: a `keras.optimizers.Optimizer`, or its name. A `LossScaleOptimizer` goes round
            `Proximal`, not inside (`model.compile` puts it there by itself).
        penalties: one `Penalty`, which acts on every kernel and embedding matrix and never on
            biases or normalization; or a dict from regular expressions to penalties. A pattern
            names a variable if it matches (`re.fullmatch`) the variable's path or its end after a
            slash: `"dense/kernel"` names `sequential/dense/kernel`.
        every: int >= 1. The proximal step comes after every k-th update and is k times as long; no
            time is spent on it in between, nor are weights kept at zero.
        name: str. The optimizer's name.
    Raises:
        TypeError: at construction if `optimizer` is no Keras optimizer or `penalties` no penalties.
        ValueError: at construction if `every` is no int >= 1; at build (`fit` does it) if a pattern
            matches nothing, if two match one variable, if a variable has a `kernel_regularizer` of
            this package too, or if a penalty does not fit a variable's shape;
            at the first update if a momentum is 1.
    Reference: Duchi & Singer, "Efficient Online and Batch Learning Using Forward Backward
        Splitting", JMLR 2009; Loshchilov & Hutter, ICLR 2019, for the decoupling.

    Example:
        >>> from keras_reg import regularizers
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> optimizer = Proximal(keras.optimizers.Adam(1e-3), regularizers.L1(1e-4))
        >>> model.compile(optimizer, loss="mse")
        >>> optimizer.inner_optimizer.name
        'adam'
    """

    def __init__(
        self,
        optimizer: Any,
        penalties: Penalty | dict[str, Penalty],
        every: int = 1,
        name: str | None = None,
    ):
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = _check_optimizer(optimizer)
        self.every = schedules.check_count(every, "every", at_least=1)
        self._rules = Rules(penalties)
        self._plan = _Plan(())

    @property
    def penalties(self) -> Penalty | dict[str, Penalty]:
        """The penalties, as they were given."""
        return self._rules.penalties

    def build(self, variables: Iterable[Any]) -> None:
        """Builds the wrapped optimizer and finds the variables of each penalty."""
        variables = list(variables)
        self.inner_optimizer.build(variables)
        super().build(variables)
        self._plan = _Plan(
            _Pair(penalty, variable, self._owner(variable))
            for penalty, variable in self._rules.resolve(variables)
        )

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates the variables, then applies the penalties to those that had a gradient."""
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            if not self.built:
                self.build(trainable_variables)
        variables = trainable_variables or self._trainable_variables
        updated = {self._var_key(v) for g, v in zip(grads, variables, strict=True) if g is not None}
        # A snapshot: the update advances the iterations, and with them a scheduled rate.
        clocks = {
            id(pair.optimizer): _Clock(pair.optimizer, self.every) for pair in self._plan.pairs
        }
        self.inner_optimizer.apply(grads, trainable_variables)
        steps = {key: clock.step() for key, clock in clocks.items()}
        prox_of = _prox_of if self.every == 1 else _prox_when_due
        for penalty, variable, owner in self._plan.pairs:
            if self._var_key(variable) in updated:
                iteration = clocks[id(owner)].iteration
                update(variable, prox_of(penalty), steps[id(owner)], iteration)

    def apply_gradients(self, grads_and_vars: Any) -> Any:
        """Calls `apply` and returns the number of updates, as every Keras optimizer does."""
        super().apply_gradients(grads_and_vars)
        return self.iterations

    @property
    def variables(self) -> list[Any]:
        """The wrapped optimizer's variables, which hold all state."""
        return self.inner_optimizer.variables

    def set_weights(self, weights: Any) -> None:
        """Sets the values of `variables`."""
        self.inner_optimizer.set_weights(weights)

    @property
    def iterations(self) -> Any:
        """Updates made so far by the wrapped optimizer."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The wrapped optimizer's learning rate, which is also the proximal step."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def loss_scale_factor(self) -> float | None:
        """The wrapped optimizer's factor. Keras sets it to None inside a LossScaleOptimizer."""
        return self.inner_optimizer.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        if hasattr(self, "inner_optimizer"):  # The base class sets it before there is one.
            self.inner_optimizer.loss_scale_factor = value

    def scale_loss(self, loss: Any) -> Any:
        """The loss as the wrapped optimizer scales it."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Any) -> None:
        """What the wrapped optimizer does to the variables when training ends."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def save_own_variables(self, store: Any) -> None:
        """Nothing: all state is the wrapped optimizer's, which Keras saves beside this one."""

    def load_own_variables(self, store: Any) -> None:
        """Nothing: see `save_own_variables`."""

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "penalties": keras.saving.serialize_keras_object(self.penalties),
            "every": self.every,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "Proximal":
        nested = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("optimizer", "penalties")
        }
        return cls(**{**config, **nested})

    def _owner(self, variable: Any) -> Any:
        """The optimizer that updates a variable: one of several in a `MultiOptimizer`."""
        for optimizer in getattr(self.inner_optimizer, "optimizers", ()):
            keys = {optimizer._var_key(v) for v in optimizer._trainable_variables}
            if optimizer._var_key(variable) in keys:
                return optimizer
        return self.inner_optimizer


class _Plan:
    """Holds the pairs out of sight of Keras's attribute tracking, which would wrap them."""

    def __init__(self, pairs: Iterable[_Pair]):
        self.pairs = tuple(pairs)


class _Clock:
    """The step size and iteration of an update that is about to happen."""

    def __init__(self, optimizer: Any, every: int):
        self._optimizer, self._every = optimizer, every
        self._step = ops.copy(read(optimizer.learning_rate)) * (_reach(optimizer) * every)
        self.iteration = ops.copy(read(optimizer.iterations))

    def step(self) -> Any:
        """The proximal step once the optimizer was called: 0 if it is not due.

        It is not due if the optimizer only accumulated gradients.
        """
        if not self._optimizer.gradient_accumulation_steps and self._every == 1:
            return self._step
        updates = read(self._optimizer.iterations)
        is_multiple = ops.equal(ops.mod(updates, self._every), 0)
        is_due = ops.logical_and(ops.greater(updates, self.iteration), is_multiple)
        return ops.where(is_due, self._step, ops.zeros_like(self._step))


_WITH_MOMENTUM = (keras.optimizers.SGD, keras.optimizers.RMSprop)


def _reach(optimizer: Any) -> float:
    """How far a lasting gradient of 1 moves a weight in each update, in learning rates.

    Keras's momentum adds up to 1 / (1 - momentum) learning rates where that of Adam averages to 1.
    The proximal step must be as long, or momentum would weaken the penalty by that factor.
    """
    momentum = optimizer.momentum if isinstance(optimizer, _WITH_MOMENTUM) else 0.0
    if momentum >= 1.0:
        raise ValueError(f"Expected a momentum below 1 in {optimizer.name}. Received: {momentum}")
    return 1.0 / (1.0 - momentum)


def _apply_prox(penalty: Penalty, w: Any, step: Any, iteration: Any) -> Any:
    return penalty.prox(ops.stop_gradient(w), step, iteration)


_prox = compiled(_apply_prox, static_argnums=(0,))


def _prox_of(penalty: Penalty) -> Any:
    apply = _prox if penalty.compilable else _apply_prox
    return lambda w, step, iteration: apply(penalty, w, step, iteration)


def _prox_when_due(penalty: Penalty) -> Any:
    prox = _prox_of(penalty)
    return lambda w, step, iteration: ops.cond(
        ops.greater(step, 0), lambda: prox(w, step, iteration), lambda: ops.copy(w)
    )


def _check_optimizer(optimizer: Any) -> Any:
    optimizer = keras.optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "Expected `optimizer` to be a keras.optimizers.Optimizer or its name. "
            f"Received: optimizer={optimizer!r}"
        )
    if isinstance(optimizer, (keras.optimizers.LossScaleOptimizer, Proximal)):
        raise TypeError(
            "Expected `optimizer` to be neither a LossScaleOptimizer, which goes round Proximal, "
            "nor a Proximal, which takes all penalties in one dict. "
            f"Received: optimizer={optimizer!r}"
        )
    return optimizer
