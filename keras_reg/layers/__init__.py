"""Layers: dropout with schedules."""

from keras_reg.layers.scheduled_dropout import ScheduledDropout

__all__ = ["ScheduledDropout"]
