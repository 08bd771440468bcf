"""Sums, means and extremes over axes."""

from typing import Any

from keras_reg.structure.channels.labels import Traced
from keras_reg.structure.channels.registry import for_operations


@for_operations("Sum", "Mean", "Max", "Min", "Var", "Std", "Prod", "Any", "All", "Logsumexp")
def reduction(call: Any) -> Traced:
    """Channels on the axes that are reduced stay; the others go through."""
    x, axis = call.inputs[0], call.operation.axis
    axes = range(x.rank) if axis is None else [axis] if isinstance(axis, int) else axis
    gone = {one % x.rank for one in axes}
    call.pin(x, f"{call.name} runs over them", gone)
    left = [one for one in range(x.rank) if one not in gone]
    places = left if call.operation.keepdims else range(len(left))
    kept = {to: x.axes[at] for to, at in zip(places, left, strict=True) if at in x.axes}
    return Traced(call.outputs[0], kept)
