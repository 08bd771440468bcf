"""Layers: dropout with schedules."""

from keras_reg.layers.scheduled import Scheduled
from keras_reg.layers.scheduled_drop_connect import ScheduledDropConnect
from keras_reg.layers.scheduled_dropout import (
    ScheduledAlphaDropout,
    ScheduledDropout,
    ScheduledDropPath,
    ScheduledGaussianDropout,
)
from keras_reg.layers.scheduled_maps import (
    ScheduledDropBlock2D,
    ScheduledSpatialDropout1D,
    ScheduledSpatialDropout2D,
    ScheduledSpatialDropout3D,
)

__all__ = [
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
]
