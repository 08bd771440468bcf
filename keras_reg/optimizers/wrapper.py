"""Wrapper: an optimizer round another one, which Keras takes for the one inside."""

import abc
import warnings
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_reg.keras_private import (
    AveragesOfInner,
    average_of,
    keys_of,
    layout_of,
    variables_of,
)
from keras_reg.ops.backend import read
from keras_reg.ops.updates import outside_of_graph
from keras_reg.optimizers.averages import Averages

# What every optimizer has an attribute for; that of a wrapper is the one inside's.
_SETTINGS = (
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "gradient_accumulation_steps",
)


class Wrapper(AveragesOfInner, keras.optimizers.Optimizer, abc.ABC):
    """Abstract base: the optimizer inside updates the weights and holds nearly all state.

    Every attribute that a wrapper lacks, from `clipnorm` to Adam's `beta_1`, is read from the
    optimizer inside and set there.

    A subclass writes `_find`, `_update`, which calls the optimizer inside and corrects what it did,
    and `get_config`. Moving averages of the weights (`use_ema`) are those of the corrected weights.

    Args:
        optimizer: a `keras.optimizers.Optimizer`, or its name.
        name: str. The optimizer's name.
    Raises: TypeError if `optimizer` is no Keras optimizer, or another wrapper.
    """

    def __init__(self, optimizer: Any, name: str | None = None):
        super().__init__(learning_rate=0.0, name=name)
        for setting in _SETTINGS:
            self.__dict__.pop(setting)
        self.inner_optimizer = check_optimizer(optimizer)
        self._averages = Averages(self.inner_optimizer, ())
        self._is_resolved = self._is_from_config = False

    def __getattr__(self, name: str) -> Any:
        # Python asks only for what the wrapper itself does not have.
        if name.startswith("_") or "inner_optimizer" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._check_setting(name)
        return getattr(self.inner_optimizer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        is_own = name.startswith("_") or name in self.__dict__ or hasattr(type(self), name)
        inner = self.__dict__.get("inner_optimizer")
        if is_own or inner is None or not hasattr(inner, name):
            super().__setattr__(name, value)
        else:
            self._check_setting(name)
            setattr(inner, name, value)

    def _check_setting(self, name: str) -> None:
        """Refuses what a `MultiOptimizer` keeps for itself and does not use."""
        if name in _SETTINGS and hasattr(self.inner_optimizer, "optimizers"):
            raise AttributeError(
                f"Expected `{name}` of one optimizer. Received: a {type(self).__name__} round a "
                "MultiOptimizer, whose members have one each: see its `optimizers`"
            )

    @classmethod
    def all_of(cls, model: Any) -> list[Any]:
        """The optimizers of this class that a compiled model trains with, in order.

        Those inside a `LossScaleOptimizer` or another wrapper, and every member of a
        `MultiOptimizer`.
        """
        return cls.within(getattr(model, "optimizer", None))

    @classmethod
    def within(cls, optimizer: Any) -> list[Any]:
        """The optimizers of this class in an optimizer, itself included, as `all_of` finds them."""
        return [found for found in _nested(optimizer) if isinstance(found, cls)]

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
        """The variables whose value `_update` corrects, once the optimizer inside is built.

        Raises: ValueError if what this optimizer should do does not fit the variables.
        """

    def build(self, variables: Iterable[Any]) -> None:
        """Builds the wrapped optimizer and finds the variables to act on.

        In the first update that has gradients instead, if there are none yet, or if the optimizer
        comes from a config: a model that is loaded may have frozen those that are named. Otherwise
        errors come here, since one in the first update would cost JAX's `fit` the model's weights.
        """
        variables = list(variables)
        self.inner_optimizer.build(variables)
        _refuse_wrapped(self.inner_optimizer)  # A MultiOptimizer may choose members when built.
        # Averages and accumulators are the one inside's: the base class is to make none.
        self.__dict__.update(use_ema=False, gradient_accumulation_steps=None)
        super().build(variables)
        for setting in ("use_ema", "gradient_accumulation_steps"):
            self.__dict__.pop(setting)
        self._is_resolved = False
        if variables and not self._is_from_config:
            self._resolve()

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        nested = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("optimizer", "penalties")
            if key in config
        }
        optimizer = cls(**{**config, **nested})
        optimizer._is_from_config = True
        return optimizer

    def _resolve(self) -> None:
        """Finds the variables to act on, once."""
        if not self._is_resolved:
            corrected = [(v, self._owner(v)) for v in self._find(variables_of(self))]
            self._averages = Averages(self.inner_optimizer, corrected)
            self._is_resolved = True

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates the variables."""
        grads = list(grads)
        if not grads:  # Keras takes that for no update.
            return
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            if not self.built:
                with outside_of_graph(trainable_variables):
                    self.build(trainable_variables)
        # Where there are no variables, the optimizer inside says what is wrong.
        if variables_of(self) and any(gradient is not None for gradient in grads):
            self._resolve()
        before = self._averages.before_update()
        with self._averages.not_overwriting():
            self._update(grads, trainable_variables or variables_of(self))
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

    def add_variable(self, *arguments: Any, **named: Any) -> Any:
        """Adds a variable to the wrapped optimizer."""
        return self.inner_optimizer.add_variable(*arguments, **named)

    def add_variable_from_reference(self, *arguments: Any, **named: Any) -> Any:
        """Adds a variable to the wrapped optimizer."""
        return self.inner_optimizer.add_variable_from_reference(*arguments, **named)

    def add_optimizer_variables(self, *arguments: Any, **named: Any) -> Any:
        """Adds variables to the wrapped optimizer."""
        return self.inner_optimizer.add_optimizer_variables(*arguments, **named)

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Excludes variables from the weight decay of the wrapped optimizer."""
        members = self._members()
        if not members:
            raise ValueError(
                "Expected a MultiOptimizer whose members are known. Received one that chooses them "
                "by a function when it is built: exclude variables from the weight decay of each"
            )
        for member in members:
            member.exclude_from_weight_decay(var_list, var_names)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Raises: NotImplementedError. `apply` updates variables and corrects them."""
        raise NotImplementedError(
            f"{type(self).__name__} updates variables in `apply` alone: `update_step` of the "
            "optimizer inside would leave them uncorrected."
        )

    def _add_scalar(self, name: str, value: float) -> Any:
        """A variable of this optimizer itself."""
        return super().add_variable(
            shape=(),
            initializer=keras.initializers.Constant(value),
            dtype="float32",
            aggregation="only_first_replica",
            name=name,
        )

    def add_like(self, variable: Any, name: str) -> Any:
        """A variable of this optimizer itself, of another's shape, dtype and layout, all zeros."""
        return super().add_variable(
            shape=variable.shape,
            initializer="zeros",
            dtype=variable.dtype,
            name=name,
            layout=layout_of(variable),
        )

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

    def _members(self) -> list[Any]:
        """The optimizers that make the updates: those of a `MultiOptimizer`, or the one inside."""
        return list(getattr(self.inner_optimizer, "optimizers", [self.inner_optimizer]))

    def zero_out(self, variable: Any, flags: Any) -> None:
        """Sets weights to zero, and their moving averages, if there are any.

        Args:
            variable: a variable of this optimizer.
            flags: boolean tensor of its shape.
        """
        owner = self._owner(variable)
        average = average_of(owner, variable) if owner.use_ema else None
        for one in (variable,) if average is None else (variable, average):
            one.assign(ops.where(flags, ops.zeros_like(read(one)), read(one)))

    def _owner(self, variable: Any) -> Any:
        """The optimizer that updates a variable: one of several in a `MultiOptimizer`."""
        for optimizer in self._members():
            [key] = keys_of(optimizer, [variable])
            if key in keys_of(optimizer, variables_of(optimizer)):
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
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise TypeError(
            "Expected `optimizer` to be no LossScaleOptimizer, which goes round this one. "
            f"Received: optimizer={optimizer!r}"
        )
    _refuse_wrapped(optimizer)
    return optimizer


def _refuse_wrapped(optimizer: Any) -> None:
    """Raises TypeError if an optimizer, or a known member of it, is a wrapper already."""
    wrapped = [inside for inside in _nested(optimizer) if isinstance(inside, Wrapper)]
    if wrapped:
        raise TypeError(
            "Expected `optimizer` to be, and to hold, no other wrapper: Proximal takes all "
            "penalties in one dict, and of the members of a MultiOptimizer either each is wrapped "
            f"or all are at once. Received: {wrapped[0]!r}"
        )
