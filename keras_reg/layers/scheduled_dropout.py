"""Dropout of elements, feature maps and samples, at a rate that follows a schedule."""

from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.layers.scheduled import Scheduled
from keras_reg.ops import noise


class Masked(Scheduled):
    """A scheduled layer whose mask has a shape of its own, `noise_shape`.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates.
        noise_shape: tuple of ints and Nones that broadcasts against the input, or None. The shape
            of the mask; a None is the input's length on that axis.
        seed: int, `keras.random.SeedGenerator` or None.
    """

    def __init__(
        self,
        rate: schedules.Value,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: Any = None,
        **kwargs: Any,
    ):
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = _check_noise_shape(noise_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        self._check_rank(inputs.shape)
        return super().call(inputs, training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._check_rank(input_shape)
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "noise_shape": self.noise_shape}

    def _mask_shape(self, inputs: Any) -> tuple | None:
        if self.noise_shape is None:
            return None
        return tuple(
            full if length is None else length
            for full, length in zip(ops.shape(inputs), self.noise_shape, strict=True)
        )

    def _check_rank(self, shape: Any) -> None:
        if self.noise_shape is not None and len(self.noise_shape) != len(shape):
            raise ValueError(
                f"Expected `noise_shape` of layer {self.name} to have as many axes as its input of "
                f"shape {tuple(shape)}. Received: noise_shape={self.noise_shape}"
            )


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledDropout(Masked):
    """Sets inputs to zero at random while training, at a rate that follows a schedule.

    Kept inputs are multiplied by 1 / (1 - rate), so that the expected output is the input. At
    inference it returns its input. With a float rate it stands in for `keras.layers.Dropout`. The
    rate is computed in the compiled step from a counter: it changes without a retrace.

    The seed and the count of training steps are the state of its `keras.random.SeedGenerator` and
    are saved with the model, which goes on where it stopped. The mask is a hash of both and of the
    element's position; it is not stored, but drawn again for the gradient.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates, whose values are
            clipped to that range. 0 and 1 are exact: the input itself, and zeros.
        noise_shape: tuple of ints and Nones that broadcasts against the input, or None. The shape
            of the mask; a None is the input's length on that axis.
        seed: int, `keras.random.SeedGenerator` or None. None takes one from Python's `random`,
            which `keras.utils.set_random_seed` makes repeatable.
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

    def _drop(self, inputs: Any, rate: Any, seed: Any, step: Any) -> Any:
        return noise.dropout(inputs, rate, seed, step, self._mask_shape(inputs))


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledAlphaDropout(Masked):
    """Sets inputs to SELU's saturation value at random; mean 0 and variance 1 stay as they are.

    For networks of `selu` units, which plain dropout would push off their fixed point. With a float
    rate it stands in for `keras.layers.AlphaDropout`. At rate 1 it gives zeros.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates.
        noise_shape: tuple of ints and Nones that broadcasts against the input, or None.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs: any. outputs: as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], or noise_shape or seed is not as above.
    Reference: Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017.

    Example:
        >>> x = keras.random.normal((10000,), seed=1)
        >>> y = ScheduledAlphaDropout(0.3, seed=1)(x, training=True)
        >>> round(float(ops.std(y)), 1)
        1.0
    """

    def _drop(self, inputs: Any, rate: Any, seed: Any, step: Any) -> Any:
        return noise.alpha(inputs, rate, seed, step, self._mask_shape(inputs))


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledGaussianDropout(Scheduled):
    """Multiplies inputs by normal noise of mean 1 and variance rate / (1 - rate) while training.

    The noise has the variance of dropout at the same rate, without zeros. With a float rate it
    stands in for `keras.layers.GaussianDropout`. A rate of 1 counts as 1 - 2**-24.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs: any. outputs: as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], or seed is not as above.
    Reference: Srivastava et al., JMLR 2014, section 10.

    Example:
        >>> y = ScheduledGaussianDropout(0.5, seed=1)(ops.ones((10000,)), training=True)
        >>> round(float(ops.mean(y)), 1), round(float(ops.std(y)), 1)
        (1.0, 1.0)
    """

    def _drop(self, inputs: Any, rate: Any, seed: Any, step: Any) -> Any:
        return noise.gaussian(inputs, rate, seed, step)


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledDropPath(Scheduled):
    """Sets whole samples to zero at random while training: stochastic depth.

    Put it at the end of a residual branch, before the addition, so that a sample skips the branch.
    Rates that grow with depth come from `keras_reg.schedules.by_depth`.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs: (batch, ...). outputs: as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], or seed is not as above.
    Reference: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.

    Example:
        >>> y = ScheduledDropPath(0.5, seed=1)(ops.ones((100, 3)), training=True)
        >>> sorted(set(ops.convert_to_numpy(ops.sum(y, axis=1)).tolist()))
        [0.0, 6.0]
    """

    def _drop(self, inputs: Any, rate: Any, seed: Any, step: Any) -> Any:
        shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        return noise.dropout(inputs, rate, seed, step, shape)


def _check_noise_shape(noise_shape: Any) -> tuple[int | None, ...] | None:
    if noise_shape is None:
        return None
    if not isinstance(noise_shape, (tuple, list)):
        wanted = "a tuple or list of integers"
    elif not all(n is None or type(n) is int for n in noise_shape):
        wanted = "all elements to be integers or None"
    elif not all(n is None or n > 0 for n in noise_shape):
        wanted = "all dimensions to be positive integers or None"
    else:
        return tuple(noise_shape)
    # In Keras's words, which tests may look for.
    raise ValueError(
        f"Invalid value received for argument `noise_shape`. Expected {wanted}. "
        f"Received: noise_shape={noise_shape!r}"
    )
