"""Dense layers, EinsumDense and embeddings."""

from typing import Any

import numpy as np
from keras import layers

from keras_reg.structure.graph import product
from keras_reg.structure.layout import Layout, einsum_labels, layout_of
from keras_reg.structure.registry import Shape, register
from keras_reg.structure.units import Units, output_units


def _dense_uses(layer: Any, shapes: list[Shape]) -> int | None:
    return product(shapes[0][1:-1])


def _einsum_layout(layer: Any, name: str, shape: tuple[int, ...]) -> Layout | None:
    if name != "kernel":
        return None
    data, kernel, output = einsum_labels(layer.equation)
    axes: dict[tuple[bool, bool], list[int]] = {}
    for axis, label in enumerate(kernel):
        axes.setdefault((label in data, label in output), []).append(axis)
    shared, rest, inputs, outputs = (
        tuple(axes.get(key, ()))
        for key in ((True, True), (False, False), (True, False), (False, True))
    )
    return Layout(shape, shared, rest, inputs, outputs)


def _einsum_uses(layer: Any, shapes: list[Shape]) -> int | None:
    """The lengths of the input that the kernel does not have, without the batch."""
    shape = shapes[0]
    data, kernel, _ = einsum_labels(layer.equation)
    hidden = "." * (len(shape) - len(data))
    letters = hidden + data if layer.equation.startswith("...") else data + hidden
    others = [at for at, letter in enumerate(letters) if letter not in kernel]
    return product([shape[at] for at in others if at != 0])


def _einsum_units(layer: Any) -> Units | None:
    """The bias may have some axes of the units alone, and the others of length 1."""
    if layer.bias is None:
        return output_units(layer)
    if layer.equation.endswith("..."):
        return None
    layout = layout_of(layer, "kernel", tuple(layer.kernel.shape))
    _, kernel, output = einsum_labels(layer.equation)
    shape = tuple(layer.bias.shape)
    letters = output[len(output) - len(shape) :]
    axes = (*layout.shared, *layout.outputs)
    found = [letters.find(kernel[axis]) for axis in axes]
    kept = [at for at in found if at >= 0]
    others = tuple(at for at in range(len(shape)) if at not in kept)
    grid = [shape[at] if at >= 0 else 1 for at in found]

    def take(flags: np.ndarray) -> np.ndarray:
        flags = np.any(flags, axis=others)
        flags = np.transpose(flags, [sorted(kept).index(at) for at in kept]).reshape(grid)
        return np.broadcast_to(flags, [layout.shape[axis] for axis in axes]).ravel()

    return output_units(layer, take)


register(layers.Dense, uses=_dense_uses, units=output_units)
register(layers.EinsumDense, layout=_einsum_layout, uses=_einsum_uses, units=_einsum_units)
# A row is read, not multiplied with.
register(layers.Embedding, uses=lambda layer, shapes: 0)
