"""Layers: dropout with schedules, and what `compact` puts in the place of normalizations."""

from keras_reg.layers.monte_carlo import mc_dropout
from keras_reg.layers.partial_layer_normalization import PartialLayerNormalization
from keras_reg.layers.scheduled import Scheduled
from keras_reg.layers.scheduled_drop_connect import ScheduledDropConnect
from keras_reg.layers.scheduled_dropout import (
    ScheduledAlphaDropout,
    ScheduledDropout,
    ScheduledDropPath,
    ScheduledGaussianDropout,
)
from keras_reg.layers.scheduled_feature_maps import (
    ScheduledDropBlock2D,
    ScheduledSpatialDropout1D,
    ScheduledSpatialDropout2D,
    ScheduledSpatialDropout3D,
)
from keras_reg.structure import register

for _kind in (
    *(ScheduledAlphaDropout, ScheduledDropBlock2D, ScheduledDropPath, ScheduledDropout),
    *(ScheduledGaussianDropout, ScheduledSpatialDropout1D, ScheduledSpatialDropout2D),
    ScheduledSpatialDropout3D,
):
    # What is dropped stays in its channel.
    register(_kind, channels=lambda call: call.inputs[0])
register(
    ScheduledDropConnect,
    channels=lambda call: call.inner(call.operation.layer, call.inputs, call.outputs),
)

__all__ = [
    "PartialLayerNormalization",
    "Scheduled",
    "ScheduledAlphaDropout",
    "ScheduledDropBlock2D",
    "ScheduledDropConnect",
    "ScheduledDropPath",
    "ScheduledDropout",
    "ScheduledGaussianDropout",
    "ScheduledSpatialDropout1D",
    "ScheduledSpatialDropout2D",
    "ScheduledSpatialDropout3D",
    "mc_dropout",
]
