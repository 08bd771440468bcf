"""The dropout layers that take images, made from a rate alone."""

from keras_reg import layers

IMAGE_KINDS = [
    layers.ScheduledDropout,
    layers.ScheduledAlphaDropout,
    layers.ScheduledGaussianDropout,
    layers.ScheduledSpatialDropout2D,
    layers.ScheduledDropPath,
    layers.ScheduledDropBlock2D,
]
