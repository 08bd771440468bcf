"""What all scheduled layers share: a rate that may be a schedule, a step and a seed."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reg import schedules
from keras_reg.keras_private import is_stateless, notes_of_step, training_around
from keras_reg.ops.backend import read, replica_id
from keras_reg.ops.random import hash32, replica_seed
from keras_reg.ops.updates import latest_state, next_state, records_gradients

_STATE = "seed_generator_state"
_SIGN = 2**31


class Scheduled(keras.layers.Layer):
    """A layer that drops something while it trains. A subclass writes `_drop` and nothing else.

    All state is that of `seed_generator`, a `keras.random.SeedGenerator` as in Keras's own layers:
    the seed and a count, which is the step of the schedule. What is dropped is a hash of both and
    of the element's position. Unlike Keras's, the state is saved with the weights, so that a saved
    model goes on where it stopped; weights that were saved without it leave it as it is. At
    inference the layer returns its input and counts nothing.

    A step is a training call of the outermost model or layer. A layer that a model uses more than
    once counts one step, at one rate, and draws another mask for each of its uses. A step that
    calls the model twice counts two. For training calls that are no steps there is
    `keras_reg.layers.mc_dropout`: nothing in the call itself tells. Where it is clear that a call
    is none, a warning says so, once: with `training=True` in a model that is called with False, as
    by `predict`, or after training where no gradient can be taken of it. JAX's `predict` does not
    tell.

    Inside `keras.remat` the second run, in the backward pass, draws what the first one drew if the
    model uses the layer once and was called once in between. Under a `keras.RematScope` it runs
    once: it stores nothing that would be worth another run. On JAX, `keras.remat` and a recurrent
    cell in its loop want a compiled step, which is the default. All times of a compiled loop share
    a mask.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates, whose values are
            clipped to that range.
        seed: int, `keras.random.SeedGenerator` or None. A generator is asked once, at construction.
            None takes a seed from Python's `random`, which `keras.utils.set_random_seed` makes
            repeatable.
    Shapes: inputs: any. outputs: as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], or seed is not as above.
    """

    def __init__(self, rate: schedules.Value, seed: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self._rate = _check_rate(rate)
        self.seed = _check_seed(seed)
        self.supports_masking = True
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._has_trained = self._is_sampled = self._has_warned = False
        # As Keras's own: nothing is left to build, unless a subclass says how.
        self.built = type(self).build is keras.layers.Layer.build

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if named.get("training") is True and training_around(self) is False:
            self._warn_of_samples("the model round it does not train")
        return super().__call__(*arguments, **named)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self._drop(inputs, *self._draw()) if training else inputs

    @property
    def rate(self) -> schedules.Checked:
        """The rate: a float, or a schedule. As in Keras's layers, compiled steps keep the old."""
        return self._rate

    @rate.setter
    def rate(self, rate: schedules.Value) -> None:
        self._rate = _check_rate(rate)

    @property
    def step(self) -> int:
        """The training steps so far, an int. Assign to it to go elsewhere in the schedule."""
        seed, count = (int(word) for word in ops.cast(read(self.seed_generator.state), "int32"))
        return seed + _SIGN if seed < 0 else count

    @step.setter
    def step(self, step: int) -> None:
        step = schedules.check_count(step, "step", at_least=0)
        seed = int(read(self.seed_generator.state)[0])
        self.seed_generator.state.assign([seed, step])

    def current_rate(self) -> float:
        """The rate of the next training step.

        Example:
            >>> from keras_reg.layers import ScheduledDropout
            >>> ScheduledDropout(0.25).current_rate()
            0.25
        """
        return float(self._rate_at(ops.cast(self.step, "int32")))

    @contextlib.contextmanager
    def sampling(self, seed: int) -> Iterator[None]:
        """A context in which the rate stands still; see `keras_reg.layers.mc_dropout`.

        Seeds are never negative. In the context the first word of the state is: the step, with a
        sign. The second word counts the calls, from a place that depends on the seeds and the step.
        """
        state = self.seed_generator.state
        before = ops.convert_to_numpy(state).copy()
        step, start = self.step, 0
        for word in (*before.tolist(), seed):
            start = hash32(start, word)
        state.assign(np.array([step - _SIGN, start % _SIGN], "int32").astype(before.dtype))
        self._is_sampled = True
        try:
            yield
        finally:
            self._is_sampled = False
            state.assign(before)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def rematerialized_call(self, layer_call: Callable, *args: Any, **kwargs: Any) -> Callable:
        """The call itself: see the class."""
        return layer_call

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store[_STATE] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store: Any) -> None:
        if _STATE in store:
            self.seed_generator.state.assign(store[_STATE])
        others = set(store.keys()) - {_STATE}
        super().load_own_variables({key: store[key] for key in others})

    def get_config(self) -> dict:
        rate = schedules.serialize(self.rate)
        return {**super().get_config(), "rate": rate, "seed": self.seed}

    def _drop(self, inputs: Any, rate: Any, seed: Any, step: Any) -> Any:
        raise NotImplementedError

    def _draw(self) -> tuple[Any, Any, Any]:
        """Rate, seed and step of this training call, which is counted if it begins a step."""
        self._notice_training()
        counted, number = self._count()
        state = ops.cast(counted, "int32")
        seed, step = state[0], state[1]
        rate = self._rate_at(ops.where(seed < 0, seed ^ -_SIGN, step))  # See `sampling`.
        if number > 0:
            seed = hash32(ops.array(number, "int32"), seed)
        return rate, replica_seed(seed, replica_id()), step

    def _notice_training(self) -> None:
        if is_stateless() or records_gradients():
            self._has_trained = True
        elif self._has_trained:
            self._warn_of_samples("no gradient can be taken of it")

    def _warn_of_samples(self, why: str) -> None:
        """Warns, once, of a call that moves a schedule and is no training step."""
        if callable(self.rate) and not self._is_sampled | self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"The schedule of {self.name} follows training steps, and a call with "
                f"`training=True` counts as one, though {why}. For samples at inference use "
                "`with keras_reg.layers.mc_dropout(model):`; `layer.step` can be set",
                stacklevel=2,
            )

    def _count(self) -> tuple[Any, int]:
        """The state of the step under way, and how many calls of this layer it has seen."""
        notes = notes_of_step(self)
        number = notes.get(id(self), 0)
        notes[id(self)] = number + 1
        generator = self.seed_generator
        return (latest_state(generator) if number else next_state(generator)), number

    def _rate_at(self, step: Any) -> Any:
        return schedules.evaluate(self.rate, step, at_least=0.0, at_most=1.0)


def _check_rate(rate: Any) -> schedules.Checked:
    try:
        return schedules.check_value(rate, "rate", at_least=0, at_most=1)
    except ValueError as error:
        # The first two sentences are Keras's, which tests may look for.
        raise ValueError(
            "Invalid value received for argument `rate`. Expected a float value between 0 and 1. "
            f"A schedule (`keras_reg.schedules`) is accepted too. Received: rate={rate!r}"
        ) from error


def _check_seed(seed: Any) -> int | None:
    if isinstance(seed, keras.random.SeedGenerator):
        # Two words, of which the second counts: each layer that asks gets a seed of its own.
        state = ops.cast(seed.next(), "int32")
        return int(hash32(state[1], state[0])) % 2**31
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**31):
        raise ValueError(
            "Expected `seed` to be None, an int from 0 to 2**31 - 1 or a "
            f"keras.random.SeedGenerator. Received: seed={seed!r}"
        )
    return seed
