"""A smaller model with the same outputs: channels that change nothing are removed."""

from keras_reg.compacting.smaller import compact
from keras_reg.compacting.summary import Compaction, Resized, Stays, removable

__all__ = ["Compaction", "Resized", "Stays", "compact", "removable"]
