"""What changes in the config of a layer or operation for its new sizes, class by class."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_reg.compacting import exact_norms
from keras_reg.compacting.removal import Removal
from keras_reg.compacting.survey import Step, Survey
from keras_reg.compacting.weights import Values
from keras_reg.layers import ScheduledDropConnect
from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.registry import registered

layers = keras.layers


class UnfitError(Exception):
    """A layer that cannot have the sizes that it should get."""

    def __init__(self, step: Step, why: str) -> None:
        super().__init__(why)
        self.step, self.why = step, why


class Sizes:
    """The sizes that stay.

    Args:
        survey: what was read of the model.
        removal: what goes.
        values: what is kept of variables.
    """

    def __init__(self, survey: Survey, removal: Removal, values: Values) -> None:
        self._survey, self.removal, self.values = survey, removal, values

    def shape(self, traced: Traced) -> tuple[int | None, ...]:
        """The shape that a tensor gets."""
        return tuple(
            len(self.removal.kept(traced.axes[axis])) if axis in traced.axes else length
            for axis, length in enumerate(traced.shape)
        )

    def length(self, variable: Any, axis: int) -> int:
        """The length that an axis of a variable gets."""
        slot = self._survey.slots.get((id(variable), axis % len(variable.shape)))
        return variable.shape[axis] if slot is None else len(self.removal.kept(slot.labels))

    def is_cut(self, variable: Any, role: str | None = None) -> bool:
        """Whether something of a variable goes, on axes with a role if one is given."""
        return any(
            self.length(variable, axis) != variable.shape[axis]
            for axis in range(len(variable.shape))
            if (slot := self._survey.slots.get((id(variable), axis))) is not None
            and (role is None or role in slot.roles)
        )

    def norm(self, layer: Any) -> Array | None:
        """What is known of the channels that a normalization over channels takes, if they may go.

        None if they stay, as where it is called twice.
        """
        return self._survey.norms.get(id(layer))

    def kinds(self, variable: Any, axis: int) -> int:
        """The number of different channels that stay on an axis of a variable."""
        slot = self._survey.slots[id(variable), axis % len(variable.shape)]
        roots = self.removal.roots[slot.labels]
        return len(np.unique(roots[~self.removal.gone(slot.labels)]))


Edit = Callable[[Any, Step | None, Sizes], dict[str, Any]]
_LAYERS: dict[type, Edit] = {}


def edits_of(operation: Any, step: Step, sizes: Sizes) -> dict[str, Any]:
    """What changes in a config."""
    if not isinstance(operation, layers.Layer):
        edit = _OPERATIONS.get(type(operation).__name__)
    else:
        edit = _edit_of(operation)
    return {} if edit is None else edit(operation, step, sizes)


def _edit_of(layer: Any) -> Edit | None:
    kind, _ = registered(layer, "channels")
    return None if kind is None else _LAYERS.get(kind)


def _for(*kinds: type) -> Callable[[Edit], Edit]:
    def add(edit: Edit) -> Edit:
        _LAYERS.update(dict.fromkeys(kinds, edit))
        return edit

    return add


@_for(layers.Dense)
def _dense(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    return {"units": sizes.length(layer.kernel, 1), **_bias(layer, sizes)}


def _bias(layer: Any, sizes: Sizes) -> dict[str, Any]:
    return {"use_bias": True} if id(layer) in sizes.values.new_biases else {}


@_for(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def _convolution(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    filters = sizes.length(layer.kernel, -1)
    groups = 1 if layer.groups == 1 else layer.groups * filters // layer.filters
    return {"filters": filters, "groups": groups, **_bias(layer, sizes)}


@_for(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def _transposed(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    return {"filters": sizes.length(layer.kernel, -2)}


@_for(layers.SeparableConv1D, layers.SeparableConv2D)
def _separable(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    return {"filters": sizes.length(layer.pointwise_kernel, -1)}


@_for(layers.Embedding)
def _embedding(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    return {"output_dim": sizes.length(layer.embeddings, 1)}


@_for(layers.EinsumDense)
def _einsum_dense(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    given = layer.partial_output_shape
    given = (given,) if isinstance(given, int) else tuple(given)
    new = sizes.shape(step.results[0])[-len(given) :]
    pairs = zip(given, new, strict=True)
    return {"output_shape": [None if old is None else one for old, one in pairs]}


@_for(layers.LSTM, layers.GRU, layers.SimpleRNN)
def _recurrent(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    return {"units": sizes.length(layer.cell.recurrent_kernel, 0)}


@_for(layers.Bidirectional)
def _bidirectional(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    config = layer.get_config()
    for name, inner in (("layer", layer.forward_layer), ("backward_layer", layer.backward_layer)):
        config[name]["config"].update(_recurrent(inner, step, sizes))
    return {name: config[name] for name in ("layer", "backward_layer")}


@_for(layers.TimeDistributed, ScheduledDropConnect)
def _wrapper(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    config, edit = layer.get_config()["layer"], _edit_of(layer.layer)
    if edit is not None:
        config["config"].update(edit(layer.layer, None, sizes))
    return {"layer": config}


@_for(layers.GroupNormalization)
def _group_normalization(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    if layer.groups < 0:
        return {}
    (x,) = step.args
    length = sizes.shape(x)[layer.axis]
    return {"groups": layer.groups * length // x.shape[layer.axis]}


@_for(layers.MultiHeadAttention)
def _multi_head(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    query, value = layer.query_dense.kernel, layer.value_dense.kernel
    made = layer.output_dense.kernel
    outputs = [sizes.length(made, axis) for axis in range(2, len(made.shape))]
    edits: dict[str, Any] = {
        "num_heads": sizes.length(query, 1),
        "key_dim": sizes.length(query, 2),
        "value_dim": sizes.length(value, 2),
    }
    if outputs != list(made.shape[2:]) or layer.get_config()["output_shape"]:
        edits["output_shape"] = outputs
    return edits


@_for(layers.GroupQueryAttention)
def _group_query(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    parts = {tuple(one.path.split("/")[-2:]): one for one in layer.weights}
    query, key = parts["query", "kernel"], parts["key", "kernel"]
    return {
        "num_query_heads": sizes.length(query, 1),
        "num_key_value_heads": sizes.length(key, 1),
        "head_dim": sizes.length(query, 2),
    }


def rescaled(layer: Any, sizes: Sizes) -> None:
    """Attention divides by the square root of the size of keys: queries make up for a new one.

    So do gains for the mean of the squares of fewer channels.
    """
    if isinstance(layer, layers.RMSNormalization) and sizes.norm(layer) is not None:
        before, after = layer.scale.shape[0], sizes.length(layer.scale, 0)
        if before != after:
            sizes.values.scale(layer.scale, exact_norms.gain_factor(before, after))
    if not isinstance(layer, (layers.MultiHeadAttention, layers.GroupQueryAttention)):
        return
    parts = {tuple(one.path.split("/")[-2:]): one for one in layer.weights}
    kernel = parts["query", "kernel"]
    before, after = kernel.shape[2], sizes.length(kernel, 2)
    if before != after:
        for name in ("kernel", "bias"):
            if ("query", name) in parts:
                sizes.values.scale(parts["query", name], math.sqrt(after / before))


@_for(layers.LayerNormalization, layers.RMSNormalization)
def _over_channels(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    known = sizes.norm(layer)
    if known is None:
        return {}
    kept = sizes.removal.kept(step.results[0].on(exact_norms.axis_of(layer)))
    return exact_norms.edits(layer, known, kept)


@_for(layers.Reshape)
def _reshape(layer: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    return {"target_shape": _shape(layer.target_shape, sizes.shape(step.results[0])[1:])}


def _shape(given: Any, new: tuple[int | None, ...]) -> tuple[Any, ...]:
    """A shape in a config: lengths that are inferred stay so."""
    pairs = zip(given, new, strict=True)
    return tuple(old if old in (-1, None) or one is None else one for old, one in pairs)


def _reshape_operation(operation: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    return {"newshape": _shape(operation.newshape, sizes.shape(step.results[0]))}


def _broadcast(operation: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    return {"shape": _shape(operation.shape, sizes.shape(step.results[0]))}


def _split(operation: Any, step: Any, sizes: Sizes) -> dict[str, Any]:
    axis = operation.axis % step.results[0].rank
    if all(axis not in one.axes for one in step.results):
        return {}
    lengths = [sizes.shape(one)[axis] for one in step.results]
    return {"indices_or_sections": tuple(np.cumsum(lengths[:-1]).tolist())}


def arguments_of(step: Step, sizes: Sizes) -> tuple[Any, ...]:
    """The arguments of a call, as its graph holds them, with slices of the new sizes."""
    if type(step.node.operation).__name__ != "GetItem":
        return step.node.args
    x, key = step.args
    keys = key if isinstance(key, tuple) else (key,)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        hidden = x.rank - sum(one is not None and one is not Ellipsis for one in keys)
        keys = (*keys[:at], *(slice(None),) * hidden, *keys[at + 1 :])
    axes = [at for at, one in enumerate(keys) if one is not None]
    new = list(keys)
    for axis, at in enumerate(axes):
        if axis in x.axes and isinstance(keys[at], slice):
            new[at] = _slice(keys[at], ~sizes.removal.gone(x.axes[axis]))
    return step.node.args[0], tuple(new)


def _slice(given: slice, kept: Array) -> slice:
    """The slice that takes what is left of another."""
    start, stop, stride = given.indices(len(kept))
    if stride != 1:
        return given
    first = int(kept[:start].sum())
    return slice(first, first + int(kept[start:stop].sum()))


_OPERATIONS: dict[str, Edit] = {
    "Reshape": _reshape_operation,
    "BroadcastTo": _broadcast,
    "Split": _split,
}
