"""Dense layers, EinsumDense and embeddings."""

from typing import Any

from keras import layers

from keras_reg.structure.graph import product
from keras_reg.structure.layout import Layout, einsum_labels
from keras_reg.structure.registry import Shape, register


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


register(layers.Dense, uses=_dense_uses)
register(layers.EinsumDense, layout=_einsum_layout, uses=_einsum_uses)
# A row is read, not multiplied with.
register(layers.Embedding, uses=lambda layer, shapes: 0)
