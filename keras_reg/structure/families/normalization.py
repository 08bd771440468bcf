"""Normalization, whose scale multiplies the channels of the layer before."""

from typing import Any

from keras import layers

from keras_reg.structure.registry import register


def _scale(layer: Any) -> Any:
    return layer.gamma if layer.scale and layer.built else None


register(layers.BatchNormalization, scale=_scale)
