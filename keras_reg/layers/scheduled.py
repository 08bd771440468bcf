"""What all scheduled layers share: a rate that may be a schedule, a step and a seed."""

import random
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.ops.backend import next_step, read, replica_id
from keras_reg.ops.random import hash32, replica_seed


class Scheduled(keras.layers.Layer):
    """A layer that drops something while it trains. A subclass writes `_drop` and nothing else.

    Two non-trainable weights hold all state, so a saved model goes on where it stopped: `step`, the
    training calls so far, and `seed`. What is dropped is a hash of both and of the element's
    position. At inference the layer returns its input and counts nothing.

    Inside `keras.remat` the second run, in the backward pass, draws what the first one drew if the
    layer was called once in between. Under a `keras.RematScope` it runs once: it stores nothing
    that would be worth another run. On JAX, `keras.remat` and a recurrent cell in its loop
    want a compiled step, which is the default; all times of such a loop share a mask.

    Args:
        rate: float from 0 to 1, or a schedule from training calls to rates, whose values are
            clipped to that range.
        seed: int, `keras.random.SeedGenerator` or None. A generator is asked once, at construction.
            None takes a seed from Python's `random`, which `keras.utils.set_random_seed` makes
            repeatable.
    Shapes: inputs: any. outputs: as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], or seed is not as above.
    """

    def __init__(self, rate: schedules.Value, seed: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = schedules.check_value(rate, "rate", at_least=0, at_most=1)
        self.seed = _check_seed(seed)
        self.supports_masking = True
        first = random.randint(1, 10**9) if self.seed is None else self.seed
        self.step = self._add_state("step", 0)
        self._seed_weight = self._add_state("seed", first)
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self._drop(inputs, *self._draw()) if training else inputs

    def current_rate(self) -> float:
        """The rate of the next training call.

        Example:
            >>> from keras_reg.layers import ScheduledDropout
            >>> ScheduledDropout(0.25).current_rate()
            0.25
        """
        return float(self._rate_at(read(self.step)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def rematerialized_call(self, layer_call: Callable, *args: Any, **kwargs: Any) -> Callable:
        """The call itself: see the class."""
        return layer_call

    def get_config(self) -> dict:
        rate = schedules.serialize(self.rate)
        return {**super().get_config(), "rate": rate, "seed": self.seed}

    def _drop(self, inputs: Any, rate: Any, seed: Any, step: Any) -> Any:
        raise NotImplementedError

    def _draw(self) -> tuple[Any, Any, Any]:
        """Rate, seed and step of this training call, which is counted."""
        step = next_step(self.step)
        seed = replica_seed(read(self._seed_weight), replica_id())
        return self._rate_at(step), seed, step

    def _rate_at(self, step: Any) -> Any:
        return ops.clip(schedules.evaluate(self.rate, step), 0.0, 1.0)

    def _add_state(self, name: str, value: int) -> Any:
        return self.add_weight(
            name=name,
            shape=(),
            dtype="int32",
            initializer=keras.initializers.Constant(value),
            trainable=False,
            aggregation="only_first_replica",
        )


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
