"""Wrapper: an optimizer round another one, which Keras takes for the one inside."""

import abc
import warnings
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_reg.ops.backend import read
from keras_reg.optimizers.averages import Averages

# Names of Keras objects that begin with an underscore, used here and in the files beside this one
# because nothing public says the same: `_var_key`, what identifies a variable also where each
# replica sees a copy of its own, and `_trainable_variables`, those an optimizer was built with.


class Wrapper(keras.optimizers.Optimizer, abc.ABC):
    """Abstract base: the optimizer inside updates the weights and holds nearly all state.

    A subclass writes `_update`, which calls the optimizer inside and corrects what it did, and
    `get_config`. Moving averages of the weights (`use_ema`) are those of the corrected weights.

    Args:
        optimizer: a `keras.optimizers.Optimizer`, or its name.
        name: str. The optimizer's name.
    Raises: TypeError if `optimizer` is no Keras optimizer, or another wrapper.
    """

    def __init__(self, optimizer: Any, name: str | None = None):
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = check_optimizer(optimizer)
        self._averages = Averages(self.inner_optimizer, ())

    @classmethod
    def all_of(cls, model: Any) -> list[Any]:
        """The optimizers of this class that a compiled model trains with, in order.

        Those inside a `LossScaleOptimizer` or another wrapper, and every member of a
        `MultiOptimizer`.
        """
        return [
            found for found in _nested(getattr(model, "optimizer", None)) if isinstance(found, cls)
        ]

    @classmethod
    def of(cls, model: Any) -> Any:
        """The optimizer of this class that a compiled model trains with, None if there is none.

        It is found inside a `LossScaleOptimizer`, another wrapper or a `MultiOptimizer`.

        Raises: ValueError if several members of a `MultiOptimizer` are of this class: see `all_of`.

        Example:
            >>> from keras_reg.optimizers import FixedSupport
            >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
            >>> model.compile(keras.optimizers.LossScaleOptimizer(FixedSupport("sgd")))
            >>> type(FixedSupport.of(model)).__name__
            'FixedSupport'
        """
        found = cls.all_of(model)
        if len(found) > 1:
            raise ValueError(
                f"Expected one {cls.__name__} in the model's optimizer. Received {len(found)}, as "
                f"members of a MultiOptimizer: {[optimizer.name for optimizer in found]}. Put one "
                f"round the MultiOptimizer, or use `{cls.__name__}.all_of(model)`"
            )
        return found[0] if found else None

    @abc.abstractmethod
    def _update(self, grads: list[Any], variables: list[Any]) -> None:
        """Updates the variables by the optimizer inside and corrects the result."""

    @abc.abstractmethod
    def _find(self, variables: list[Any]) -> list[Any]:
        """The variables whose value `_update` corrects, once the optimizer inside is built."""

    def build(self, variables: Iterable[Any]) -> None:
        """Builds the wrapped optimizer and finds the variables to act on."""
        variables = list(variables)
        self.inner_optimizer.build(variables)
        super().build(variables)
        corrected = [(variable, self._owner(variable)) for variable in self._find(variables)]
        self._averages = Averages(self.inner_optimizer, corrected)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates the variables."""
        grads = list(grads)
        if not grads:  # Keras takes that for no update.
            return
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            if not self.built:
                self.build(trainable_variables)
        before = self._averages.before_update()
        with self._averages.not_overwriting():
            self._update(grads, trainable_variables or self._trainable_variables)
        self._averages.after_update(before)

    def apply_gradients(self, grads_and_vars: Any) -> Any:
        """Calls `apply` and returns the number of updates, as every Keras optimizer does."""
        super().apply_gradients(grads_and_vars)
        return self.iterations

    @property
    def variables(self) -> list[Any]:
        """The wrapped optimizer's variables, then this one's own."""
        return [*self.inner_optimizer.variables, *self._own_variables().values()]

    def _own_variables(self) -> dict[str, Any]:
        """State of this optimizer itself, by the names it is saved under."""
        return {}

    def set_weights(self, weights: Any) -> None:
        """Sets the values of `variables`."""
        inside = len(self.inner_optimizer.variables)
        self.inner_optimizer.set_weights(weights[:inside])
        for variable, value in zip(self._own_variables().values(), weights[inside:], strict=True):
            variable.assign(value)

    @property
    def iterations(self) -> Any:
        """Updates made so far by the wrapped optimizer."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The wrapped optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def optimizers(self) -> list[Any]:
        """Those of a wrapped `MultiOptimizer`, where Keras's callbacks look for them."""
        return self.inner_optimizer.optimizers

    @property
    def _model_variables_moving_average(self) -> list[Any]:
        # SwapEMAWeights looks for it here if a LossScaleOptimizer is round this one.
        return self.inner_optimizer._model_variables_moving_average

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
        if self._averages:
            for variable in var_list:
                # On JAX a weight and its average are now one array, and the next `fit` would fail:
                # an array can be given away once.
                variable.assign(ops.copy(read(variable)))

    def save_own_variables(self, store: Any) -> None:
        """This optimizer's own state; Keras saves the wrapped optimizer's beside it."""
        for name, variable in self._own_variables().items():
            store[name] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        """Sets this optimizer's own state, or warns that the file is another optimizer's."""
        own = self._own_variables()
        if set(store.keys()) != set(own):
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has {len(own)} "
                f"variables of its own, {list(own)}, whereas the saved optimizer has "
                f"{len(store.keys())} variables.",
                stacklevel=2,
            )
            return
        for name, variable in own.items():
            variable.assign(store[name])

    def _owner(self, variable: Any) -> Any:
        """The optimizer that updates a variable: one of several in a `MultiOptimizer`."""
        for optimizer in getattr(self.inner_optimizer, "optimizers", ()):
            keys = {optimizer._var_key(v) for v in optimizer._trainable_variables}
            if optimizer._var_key(variable) in keys:
                return optimizer
        return self.inner_optimizer


def _nested(optimizer: Any) -> list[Any]:
    """An optimizer and all optimizers inside it, from the outside in."""
    if optimizer is None:
        return []
    inner = getattr(optimizer, "inner_optimizer", None)
    # A wrapper's `optimizers` are those of the one inside.
    members = [inner] if inner is not None else getattr(optimizer, "optimizers", ())
    return [optimizer, *(found for member in members for found in _nested(member))]


def check_optimizer(optimizer: Any) -> Any:
    """Returns the optimizer to wrap.

    Raises: TypeError if it is no Keras optimizer, or if it does not go inside.

    Example:
        >>> type(check_optimizer("sgd")).__name__
        'SGD'
    """
    optimizer = keras.optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "Expected `optimizer` to be a keras.optimizers.Optimizer or its name. "
            f"Received: optimizer={optimizer!r}"
        )
    if isinstance(optimizer, (keras.optimizers.LossScaleOptimizer, Wrapper)):
        raise TypeError(
            "Expected `optimizer` to be neither a LossScaleOptimizer, which goes round this one, "
            "nor another wrapper such as Proximal, which takes all penalties in one dict. "
            f"Received: optimizer={optimizer!r}"
        )
    return optimizer
