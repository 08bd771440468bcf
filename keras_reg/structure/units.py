"""Which weights together make the units, channels or heads of a layer."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_reg.structure.layout import layout_of


class UnitPart(NamedTuple):
    """A variable with a weight, or a group of weights, for each of a layer's units.

    Args:
        variable: the variable.
        side: "inputs" or "outputs": the groups of a kernel. None: the entries of a vector.
        take: makes an array with a flag for each unit of the flags of the groups, (groups,), or of
            the entries, in the variable's shape.
    """

    variable: Any
    side: str | None = None
    take: Callable[[np.ndarray], np.ndarray] = np.ravel


class Units(NamedTuple):
    """What the units of a layer consist of.

    Args:
        number: int. How many there are.
        made: tuple of `UnitPart`. A unit lives if any of them is not zero for it.
        read: tuple of `UnitPart`. If there are any, one of them has to be not zero too.
    """

    number: int
    made: tuple[UnitPart, ...]
    read: tuple[UnitPart, ...] = ()


def output_units(layer: Any, take: Callable = np.ravel) -> Units | None:
    """The units of a layer with a kernel and a bias: its outputs.

    Args:
        layer: a built layer.
        take: makes a flag for each unit of the flags of the bias.

    Example:
        >>> import keras
        >>> layer = keras.layers.Dense(4)
        >>> layer.build((None, 3))
        >>> output_units(layer).number
        4
    """
    weights = {variable.name: variable for variable in layer.weights}
    kernel = weights.get("pointwise_kernel", weights.get("kernel"))
    if kernel is None:
        return None
    count = layout_of(layer, kernel.name, tuple(kernel.shape)).output_groups
    made = [UnitPart(kernel, "outputs")]
    if "lora_kernel_b" in weights:
        factor = weights["lora_kernel_b"]
        if factor.shape[-1] != count:
            return None
        made.append(UnitPart(factor, "outputs"))
    if "bias" in weights:
        made.append(UnitPart(weights["bias"], None, take))
    return Units(count, tuple(made))
