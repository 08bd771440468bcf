"""What is known of each class of layers: its rules, which subclasses inherit."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

Shape = tuple[int | None, ...]

# Rules by class and name. `families/` fills it for the layers of Keras.
_RULES: dict[type, dict[str, Any]] = {}


def register(
    kind: type,
    *,
    layout: Callable | None = None,
    uses: Callable | None = None,
    scores: Callable | None = None,
    units: Callable | None = None,
    heads: Callable | None = None,
    scale: Callable | None = None,
    regularizers: Mapping[str, str] | None = None,
    channels: Any = None,
    constants: Any = None,
) -> None:
    """Says what a class of layers is, to everything in this package that looks into models.

    A rule that is left out is that of the nearest parent class that has one. A class may be
    registered again: rules that are given replace those before, and the others stay.

    Args:
        kind: a subclass of `keras.layers.Layer`.
        layout: `layout(layer, name, shape)` returns the `Layout` of the layer's own weight of that
            name, or None where the usual one is right: axis -2 its inputs and -1 its outputs.
        uses: `uses(layer, shapes)` returns how often one call on inputs of these shapes, batch axis
            included, uses each weight for one example: its multiply-adds are its size times that.
            An int for all of the layer's own weights, None if it is not known, or a dict from
            layers, itself or some inside, to such numbers.
        scores: `scores(layer, shapes)` returns the multiply-adds of one attention head for one
            example besides those of weights.
        units: `units(layer)` returns the `Units` of a built layer, or None.
        heads: `heads(layer)` returns those of its attention heads.
        scale: `scale(layer)` returns the variable that multiplies the channels of the layer before,
            or None.
        regularizers: dict from the name of a weight, of the layer or of layers inside it, to the
            attribute of the layer that holds its regularizer and that `get_config` writes. A weight
            that is missing has it in `<name>_regularizer`, if there is one, where the name is that
            of the weight without a final `_kernel`.
        channels: `channels(call)` sends channels through a `keras_reg.structure.channels.Call`: it
            says which axes of the layer's variables they index, and returns the `Traced` outputs.
            Subclasses that override a method do not inherit it.
        constants: `constants(content)` tells `compact` what comes out of inputs that are constant:
            for each result an array of its rank with the values, NaN where they are not known, and
            length 1 on axes along which nothing differs; or None. `content.knowns` has such arrays
            for the inputs. It goes with a rule for `channels` of the same class.

    Raises: TypeError if `kind` is no class of layers.

    Example:
        >>> class Scale(keras.layers.Dense):
        ...     '''A dense layer that is called on each of two halves of its inputs.'''
        >>> register(Scale, uses=lambda layer, shapes: 2)
        >>> layer = Scale(3)
        >>> uses_of(layer, [(None, 8)])[layer]
        2
    """
    if not (isinstance(kind, type) and issubclass(kind, keras.layers.Layer)):
        raise TypeError(
            f"Expected `kind` to be a subclass of keras.layers.Layer. Received: kind={kind!r}"
        )
    rules = {
        "layout": layout,
        "uses": uses,
        "scores": scores,
        "units": units,
        "heads": heads,
        "scale": scale,
        "regularizers": regularizers,
        "channels": channels,
        "constants": constants,
    }
    given = {name: rule for name, rule in rules.items() if rule is not None}
    _RULES.setdefault(kind, {}).update(given)


def rule_of(layer: Any, name: str) -> Any:
    """The rule of a layer's class or its nearest parent; None if there is none.

    Example:
        >>> rule_of(keras.layers.ReLU(), "uses") is None
        True
    """
    return registered(layer, name)[1]


def asked(layer: Any, name: str, *arguments: Any) -> Any:
    """What the rule of this name says of a layer; None if there is none."""
    rule = rule_of(layer, name)
    return None if rule is None else rule(layer, *arguments)


def registered(layer: Any, name: str) -> tuple[type | None, Any]:
    """The class that a layer has a rule from, its own or its nearest parent, and the rule."""
    for kind in type(layer).__mro__:
        if name in _RULES.get(kind, ()):
            return kind, _RULES[kind][name]
    return None, None


def uses_of(layer: Any, shapes: list[Shape]) -> dict[Any, int | None]:
    """How often one call uses each weight of a layer for one example.

    A kernel's multiply-adds are its size times this number, and what is left of them if a part of
    the kernel is removed is the size of the rest times this number.

    Args:
        layer: a built layer.
        shapes: the shapes of its inputs, with the batch axis.

    Returns:
        A dict from the layer, and from layers in it, that own weights to the number. A layer that
        is missing is not known; None stands for a length that is not known.

    Example:
        >>> layer = keras.layers.Conv2D(4, 3)
        >>> layer.build((None, 8, 8, 3))
        >>> uses_of(layer, [(None, 8, 8, 3)])[layer]
        36
    """
    rule = rule_of(layer, "uses")
    found = {} if rule is None else rule(layer, shapes)
    return found if isinstance(found, dict) else {layer: found}
