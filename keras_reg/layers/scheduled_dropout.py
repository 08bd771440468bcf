"""ScheduledDropout: dropout whose rate follows a schedule inside the compiled step."""

import random
from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.ops.backend import compiled, read, replica_id
from keras_reg.ops.random import dropout, replica_seed

_dropout = compiled(dropout, static_argnums=(4,))


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledDropout(keras.layers.Layer):
    """Sets inputs to zero at random while training, at a rate that follows a schedule.

    Kept inputs are multiplied by 1 / (1 - rate), so that the expected output is the input. At
    inference it returns its input. With a float rate it stands in for `keras.layers.Dropout`. The
    rate is computed in the compiled step from a counter: it changes without a retrace.

    Two non-trainable weights hold all state, so a saved model goes on where it stopped: `step`, the
    training calls so far, and `seed`. The mask is a hash of both and of the element's position.

    Args:
        rate: float from 0 to 1, or a schedule from training calls to rates, whose values are
            clipped to that range. 0 and 1 are exact: the input itself, and zeros.
        noise_shape: tuple of ints and Nones that broadcasts against the input, or None. The shape
            of the mask; a None is the input's length on that axis.
        seed: int or None. None takes one from Python's `random`, which
            `keras.utils.set_random_seed` makes repeatable.
    Shapes: inputs: any. outputs: as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], or noise_shape or seed is not as above.
    Reference: Srivastava et al., JMLR 2014; Morerio et al., "Curriculum Dropout", ICCV 2017, for
        rates that grow.

    Example:
        >>> layer = ScheduledDropout(schedules.Linear(0.0, 1.0, steps=1), seed=1)
        >>> x = ops.ones((2, 2))
        >>> [float(ops.sum(layer(x, training=True))) for call in range(2)]
        [4.0, 0.0]
        >>> float(ops.sum(layer(x, training=False)))
        4.0
    """

    def __init__(
        self,
        rate: schedules.Value,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.rate = schedules.check_value(rate, "rate", at_least=0, at_most=1)
        self.noise_shape = _check_noise_shape(noise_shape)
        self.seed = _check_seed(seed)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if self.noise_shape is not None and len(self.noise_shape) != len(input_shape):
            raise ValueError(
                f"Expected `noise_shape` of layer {self.name} to have as many axes as its input of "
                f"shape {tuple(input_shape)}. Received: noise_shape={self.noise_shape}"
            )
        seed = random.randint(1, 10**9) if self.seed is None else self.seed
        self.step = self._add_state("step", 0)
        self._seed_weight = self._add_state("seed", seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        step = ops.copy(read(self.step))
        self.step.assign_add(1)
        rate = ops.clip(schedules.evaluate(self.rate, step), 0.0, 1.0)
        seed = replica_seed(read(self._seed_weight), replica_id())
        return _dropout(inputs, rate, seed, step, self._mask_shape(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "rate": schedules.serialize(self.rate),
            "noise_shape": self.noise_shape,
            "seed": self.seed,
        }

    def _add_state(self, name: str, value: int) -> Any:
        return self.add_weight(
            name=name,
            shape=(),
            dtype="int32",
            initializer=keras.initializers.Constant(value),
            trainable=False,
            aggregation="only_first_replica",
        )

    def _mask_shape(self, inputs: Any) -> tuple | None:
        if self.noise_shape is None:
            return None
        return tuple(
            full if length is None else length
            for full, length in zip(ops.shape(inputs), self.noise_shape, strict=True)
        )


def _check_noise_shape(noise_shape: Any) -> tuple[int | None, ...] | None:
    if noise_shape is None:
        return None
    is_sequence = isinstance(noise_shape, (tuple, list))
    lengths = noise_shape if is_sequence else [noise_shape]
    if not is_sequence or not all(n is None or (type(n) is int and n > 0) for n in lengths):
        raise ValueError(
            "Expected `noise_shape` to be None or a tuple of positive ints and Nones. "
            f"Received: noise_shape={noise_shape!r}"
        )
    return tuple(noise_shape)


def _check_seed(seed: Any) -> int | None:
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**31):
        raise ValueError(
            f"Expected `seed` to be None or an int from 0 to 2**31 - 1. Received: seed={seed!r}"
        )
    return seed
