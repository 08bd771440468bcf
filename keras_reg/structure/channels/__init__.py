"""The channels of a model, read from its graph: who makes them, who reads them, what goes along."""

from keras_reg.structure.channels.collection import Channels, channels
from keras_reg.structure.channels.groups import Group, Part
from keras_reg.structure.channels.labels import Traced
from keras_reg.structure.channels.reader import Call

__all__ = ["Call", "Channels", "Group", "Part", "Traced", "channels"]
