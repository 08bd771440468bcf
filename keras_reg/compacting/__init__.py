"""A smaller model with the same outputs: channels that change nothing are removed."""

from keras_reg.compacting.smaller import compact

__all__ = ["compact"]
