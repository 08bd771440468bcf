"""Normalizations over channels some of which go: what is constant is counted, not computed."""

import math
from typing import Any

import keras
import numpy as np

from keras_reg.compacting.constants import along, placed
from keras_reg.compacting.contents.elementwise import numbers
from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.reader import Call

layers = keras.layers


def can_be_exact(layer: Any) -> bool:
    """Whether a layer normalizes over one axis, in a way that is known.

    Example:
        >>> can_be_exact(layers.LayerNormalization()), can_be_exact(layers.BatchNormalization())
        (True, False)
    """
    if type(layer) not in (layers.LayerNormalization, layers.RMSNormalization):
        return False
    is_single = isinstance(layer.axis, int) or len(layer.axis) == 1
    return is_single and not getattr(layer, "rms_scaling", False)


def axis_of(layer: Any) -> int:
    """The axis that it normalizes over."""
    return layer.axis if isinstance(layer.axis, int) else layer.axis[0]


def over_channels(call: Call) -> Traced:
    """Channels pass: only those that are constant can go, as the survey is told beside this."""
    layer, x = call.operation, call.inputs[0]
    for name in ("gamma", "beta", "scale"):
        variable = getattr(layer, name, None)
        if isinstance(variable, keras.Variable):
            call.carries(variable, 0, x.on(axis_of(layer)))
    return x


def content(content: Any) -> list[Array]:
    """What is not constant is needed; what comes out is constant where the gain is 0."""
    layer, (x,) = content.operation, content.inputs
    axis = axis_of(layer)
    labels = x.on(axis)
    known = np.broadcast_to(along(content.knowns[0], axis), labels.shape)
    content.needs(labels, ~np.isnan(known))
    gain = getattr(layer, "scale", None) if _is_rms(layer) else layer.gamma
    offset = None if _is_rms(layer) else layer.beta
    if gain is None:
        return [np.full((1,) * x.rank, np.nan)]
    rest = np.zeros(len(labels)) if offset is None else numbers(offset)
    return [placed(x.rank, axis, np.where(numbers(gain) == 0, rest, np.nan))]


def edits(layer: Any, known: Array, kept: Array) -> dict[str, Any]:
    """What changes in the config of a layer when only some channels are kept.

    Args:
        layer: a layer of which `can_be_exact` is true.
        known: array. The constants of all channels that it had.
        kept: array of ints. Those that stay.
    """
    removed = np.delete(known, kept)
    if not removed.size:
        return {}
    squares = float(np.sum(np.square(removed)))
    if not _is_rms(layer):
        return {"size": len(known), "total": float(np.sum(removed)), "squares": squares}
    return {"epsilon": (squares + len(known) * layer.epsilon) / len(kept)}


def gain_factor(before: int, after: int) -> float:
    """What the gain of RMSNormalization is multiplied by, so that its mean is over fewer.

    Example:
        >>> gain_factor(8, 2)
        2.0
    """
    return math.sqrt(before / after)


def _is_rms(layer: Any) -> bool:
    return isinstance(layer, layers.RMSNormalization)
