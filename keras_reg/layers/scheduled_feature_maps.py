"""Dropout of feature maps and of blocks of them, at a rate that follows a schedule."""

from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.layers.scheduled import Scheduled
from keras_reg.ops import noise


class _FeatureMaps(Scheduled):
    """A scheduled layer over inputs of (batch, *positions, channels), or channels first."""

    rank: int

    def __init__(
        self, rate: schedules.Value, data_format: str | None = None, seed: Any = None, **kwargs: Any
    ):
        super().__init__(rate, seed, **kwargs)
        self.data_format = _check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=self.rank)

    def get_config(self) -> dict:
        return {**super().get_config(), "data_format": self.data_format}

    @property
    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"


class _SpatialDropout(_FeatureMaps):
    """Drops whole maps: one draw for a sample and channel."""

    def _drop(self, inputs: Any, rate: Any, seed: Any, step: Any) -> Any:
        shape = ops.shape(inputs)
        ones = [1] * (self.rank - 2)
        noise_shape = (*shape[:2], *ones) if self._channels_first else (shape[0], *ones, shape[-1])
        return noise.dropout(inputs, rate, seed, step, noise_shape)


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledSpatialDropout1D(_SpatialDropout):
    """Sets whole channels of sequences to zero at random while training.

    For convolutions, whose neighbouring steps are so alike that dropping single elements does
    little. With a float rate it stands in for `keras.layers.SpatialDropout1D`.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs: (batch, steps, channels). outputs: as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], or seed is not as above.
    Reference: Tompson et al., "Efficient Object Localization Using Convolutional Networks", CVPR
        2015.

    Example:
        >>> y = ScheduledSpatialDropout1D(0.5, seed=1)(ops.ones((4, 5, 8)), training=True)
        >>> sorted(set(ops.convert_to_numpy(ops.sum(y, axis=1)).ravel().tolist()))
        [0.0, 10.0]
    """

    rank = 3

    def __init__(self, rate: schedules.Value, seed: Any = None, **kwargs: Any):
        super().__init__(rate, "channels_last", seed, **kwargs)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["data_format"]
        return config


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledSpatialDropout2D(_SpatialDropout):
    """Sets whole maps of images to zero at random while training.

    For convolutions, whose neighbouring pixels are so alike that dropping single elements does
    little. With a float rate it stands in for `keras.layers.SpatialDropout2D`.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates.
        data_format: "channels_last", "channels_first" or None, Keras's setting.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs: (batch, rows, columns, channels) or (batch, channels, rows, columns). outputs:
        as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], or another argument is not as above.
    Reference: Tompson et al., "Efficient Object Localization Using Convolutional Networks", CVPR
        2015.

    Example:
        >>> layer = ScheduledSpatialDropout2D(0.5, data_format="channels_first", seed=1)
        >>> y = layer(ops.ones((4, 8, 2, 3)), training=True)
        >>> sorted(set(ops.convert_to_numpy(ops.sum(y, axis=(2, 3))).ravel().tolist()))
        [0.0, 12.0]
    """

    rank = 4


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledSpatialDropout3D(_SpatialDropout):
    """Sets whole maps of volumes to zero at random while training.

    For convolutions, whose neighbouring voxels are so alike that dropping single elements does
    little. With a float rate it stands in for `keras.layers.SpatialDropout3D`.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates.
        data_format: "channels_last", "channels_first" or None, Keras's setting.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs: (batch, 3 axes, channels) or (batch, channels, 3 axes). outputs: as inputs, same
        dtype.
    Raises: ValueError if rate is outside [0, 1], or another argument is not as above.
    Reference: Tompson et al., "Efficient Object Localization Using Convolutional Networks", CVPR
        2015.

    Example:
        >>> layer = ScheduledSpatialDropout3D(0.5, data_format="channels_last", seed=1)
        >>> y = layer(ops.ones((4, 2, 2, 2, 8)), training=True)
        >>> sorted(set(ops.convert_to_numpy(ops.sum(y, axis=(1, 2, 3))).ravel().tolist()))
        [0.0, 16.0]
    """

    rank = 5


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledDropBlock2D(_FeatureMaps):
    """Sets square blocks of maps to zero at random while training, each channel its own.

    Convolutions see round a single missing pixel, but not round a block. What is left is scaled to
    the same sum of ones. A block starts at a place with the probability of the paper, so that about
    `rate` of a map is dropped; at high rates blocks overlap and it is less. The paper raises the
    rate from 0 over the whole training: `keras_reg.schedules.Linear`.

    Args:
        rate: float from 0 to 1, or a schedule from training steps to rates.
        block_size: int >= 1. Height and width of a block, cut to those of the map.
        data_format: "channels_last", "channels_first" or None, Keras's setting.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs: (batch, rows, columns, channels) or (batch, channels, rows, columns), with rows
        and columns known and not necessarily equal. outputs: as inputs, same dtype.
    Raises: ValueError if rate is outside [0, 1], another argument is not as above, or the size of
        the maps is not known.
    Reference: Ghiasi, Lin & Le, "DropBlock", NeurIPS 2018.

    Example:
        >>> layer = ScheduledDropBlock2D(0.1, block_size=3, data_format="channels_last", seed=1)
        >>> y = layer(ops.ones((4, 12, 8, 2)), training=True)
        >>> round(float(ops.mean(y)), 4)
        1.0
    """

    rank = 4

    def __init__(
        self,
        rate: schedules.Value,
        block_size: int = 7,
        data_format: str | None = None,
        seed: Any = None,
        **kwargs: Any,
    ):
        super().__init__(rate, data_format, seed, **kwargs)
        self.block_size = schedules.check_count(block_size, "block_size", at_least=1)

    def get_config(self) -> dict:
        return {**super().get_config(), "block_size": self.block_size}

    def _drop(self, inputs: Any, rate: Any, seed: Any, step: Any) -> Any:
        size = inputs.shape[2:] if self._channels_first else inputs.shape[1:3]
        if None in size:
            raise ValueError(
                f"Expected layer {self.name} to know the height and width of its input. "
                f"Received: an input of shape {tuple(inputs.shape)}"
            )
        return noise.drop_block(inputs, rate, seed, step, self.block_size, self._channels_first)


def _check_data_format(data_format: Any) -> str:
    if data_format is None:
        return keras.config.image_data_format()
    if data_format not in ("channels_first", "channels_last"):
        raise ValueError(
            'Expected `data_format` to be "channels_first", "channels_last" or None. '
            f"Received: data_format={data_format!r}"
        )
    return data_format
