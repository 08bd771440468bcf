"""Which attribute of which layer keeps the regularizer of each variable, for copies of a model."""

import random
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras

from keras_reg.keras_private import layers_in
from keras_reg.structure.registry import registered, rule_of


class RegularizerAttribute(NamedTuple):
    """An attribute of a layer that holds a regularizer."""

    layer: Any
    name: str


class KeptRegularizer(NamedTuple):
    """Where the regularizer of a variable is kept beside the variable.

    Args:
        variable: the variable.
        layers: tuple of layers. The one that owns the variable, then those round it.
        attributes: tuple of `RegularizerAttribute`, from the layer that owns the variable outwards.
        carried: bool. Whether a copy made from the model's config has the regularizer. If it has,
            the last of the attributes is the one that configs carry.
    """

    variable: Any
    layers: tuple
    attributes: tuple[RegularizerAttribute, ...]
    carried: bool


def regularizer_attributes(model: keras.layers.Layer) -> dict[int, KeptRegularizer]:
    """The attributes that hold the regularizer of each variable of a model, and so of a copy of it.

    Keras gives a weight its regularizer when the layer is built, from an attribute of the layer or
    of a layer round it, and `get_config` writes that attribute. Which one it is differs: an LSTM
    keeps it on its cell, attention on itself for four layers inside. The registry knows it of
    Keras's layers. Of a model with others this asks: it puts probes in, has the model's config
    written and looks which of them are in it.

    Args:
        model: a built model or layer.

    Returns:
        A dict from the `id` of a variable to its `KeptRegularizer`.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> kept = regularizer_attributes(model)[id(model.layers[0].kernel)]
        >>> [attribute.name for attribute in kept.attributes], kept.carried
        (['kernel_regularizer'], True)
    """
    places: dict[int, list[tuple[Any, tuple]]] = {}
    for variable, layers in _owned(model, ()):
        places.setdefault(id(variable), []).append((variable, layers))
    candidates = {key: _candidates(found) for key, found in places.items()}
    if all(map(_is_known, [model, *layers_in(model)])):
        chosen = {key: ([a for a, _ in found], bool(found)) for key, found in candidates.items()}
    else:
        chosen = _probed(model, candidates)
    return {
        key: KeptRegularizer(*places[key][0], tuple(attributes), carried)
        for key, (attributes, carried) in chosen.items()
    }


def why_lost(lost: Iterable[KeptRegularizer]) -> dict[str, list[Any]]:
    """The variables whose regularizer no config carries, by the reason.

    Example:
        >>> layer = keras.layers.BatchNormalization(name="norm")
        >>> layer.build((None, 3))
        >>> list(why_lost([regularizer_attributes(layer)[id(layer.moving_mean)]]))
        ["BatchNormalization 'norm' has no `moving_mean_regularizer`"]
    """
    named: dict[int, set[str] | str] = {}
    reasons: dict[str, list[Any]] = {}
    for kept in lost:
        reasons.setdefault(_reason(kept, named), []).append(kept.variable)
    return reasons


@keras.saving.register_keras_serializable("keras_reg", name="_Probe")
class _Probe(keras.regularizers.Regularizer):
    """Remembers that it was written into a config."""

    def __init__(self):
        self.written = False

    def __call__(self, x: Any) -> float:
        return 0.0

    def get_config(self) -> dict:
        self.written = True
        return {}


def _owned(layer: Any, above: tuple) -> Iterator[tuple[Any, tuple]]:
    """Each variable with the layer that owns it and the layers round that, innermost first."""
    chain = (layer, *above)
    children = layers_in(layer, recursive=False)
    inside = {id(weight) for child in children for weight in child.weights}
    yield from ((weight, chain) for weight in layer.weights if id(weight) not in inside)
    for child in children:
        if child not in chain:
            yield from _owned(child, chain)


def _is_known(layer: Any) -> bool:
    """Whether it is certain which attributes a layer's config holds, and those of layers inside."""
    kind, rule = registered(layer, "regularizers")
    return type(layer).__module__.startswith("keras.") or (rule is not None and kind is type(layer))


def _candidates(places: list[tuple[Any, tuple]]) -> list[tuple[RegularizerAttribute, bool]]:
    """The attributes that may be those of a variable, and whether their layer owns it."""
    found = []
    for variable, chain in places:
        for layer in chain:
            names = [name for name in _attributes(variable.name, layer) if name in vars(layer)]
            found += [(RegularizerAttribute(layer, name), layer is chain[0]) for name in names]
    return found


def _attributes(name: str, layer: Any) -> list[str]:
    """Names that the regularizer of a weight of this name has in a layer, or may have there."""
    plain = _plain(name)
    if _is_known(layer):
        usual = f"{plain.removesuffix('_kernel')}_regularizer"
        return [(rule_of(layer, "regularizers") or {}).get(plain, usual)]
    stems = [plain, plain.removesuffix("_kernel")]
    if plain == "kernel":
        stems.append("depthwise")
    stems = list(dict.fromkeys(stems))
    return [f"{lead}{stem}_regularizer" for stem in stems for lead in ("", "_")]


def _probed(
    model: Any, candidates: dict[int, list[tuple[RegularizerAttribute, bool]]]
) -> dict[int, tuple[list[RegularizerAttribute], bool]]:
    """For each variable its attributes, and whether a copy from the model's config has the last."""
    written, rebuilt = _written(model, candidates)
    chosen = {}
    for key, found in candidates.items():
        carried = [a in written and (owns or key in rebuilt[id(a.layer)]) for a, owns in found]
        if any(carried):
            attributes = [attribute for attribute, _ in found[: carried.index(True) + 1]]
        else:
            attributes = [attribute for attribute, owns in found if owns]
        chosen[key] = attributes, any(carried)
    return chosen


def _written(
    model: Any, candidates: dict[int, list[tuple[RegularizerAttribute, bool]]]
) -> tuple[set[RegularizerAttribute], dict[int, set[int]]]:
    """The attributes that reach the model's config, and the variables rebuilt from each layer's."""
    pairs = {pair for found in candidates.values() for pair in found}
    probes = {attribute: _Probe() for attribute, _ in pairs}
    before = {attribute: getattr(*attribute) for attribute in probes}
    try:
        for attribute, probe in probes.items():
            setattr(attribute.layer, attribute.name, probe)
        _config(model)
        written = {attribute for attribute, probe in probes.items() if probe.written}
        outer = {id(a.layer): a.layer for a, owns in pairs if a in written and not owns}
        rebuilt = {key: _rebuilt(layer) for key, layer in outer.items()}
    finally:
        for attribute, regularizer in before.items():
            setattr(attribute.layer, attribute.name, regularizer)
    return written, rebuilt


def _config(layer: Any) -> tuple[dict, str]:
    """A layer's config, and the name of the error where its `get_config` has one."""
    try:
        return layer.get_config(), ""
    except Exception as error:  # Whatever the code of a user's layer raises: nothing is written.
        return {}, type(error).__name__


def _rebuilt(layer: Any) -> set[int]:
    """The ids of a layer's variables that have a regularizer in a copy made from its config.

    The config of a layer made of layers may hold a regularizer for some of them alone, which only
    a copy can tell.
    """
    # Keras takes the seeds of initializers and dropout from Python's generator.
    state = random.getstate()
    try:
        copy = type(layer).from_config(layer.get_config())
        copy.build_from_config(layer.get_build_config() or {})
    except Exception:  # A layer that cannot be copied carries nothing.
        return set()
    finally:
        random.setstate(state)
    held = {place for place, its in _places(copy) if isinstance(its.regularizer, _Probe)}
    return {id(mine) for place, mine in _places(layer) if place in held}


def _places(layer: Any) -> Iterator[tuple[tuple[int, str], Any]]:
    """Each variable after the number of its layer and its name, which a copy has too."""
    numbers = {id(inner): number for number, inner in enumerate([layer, *layers_in(layer)])}
    for variable, chain in _owned(layer, ()):
        yield (numbers[id(chain[0])], _plain(variable.name)), variable


def _plain(name: str) -> str:
    """The name of the weight that a factor of LoRA belongs to: Keras gives it its regularizer."""
    return re.sub(r"^lora_(.*)_[ab]$", r"\1", name)


def _reason(kept: KeptRegularizer, named: dict[int, set[str] | str]) -> str:
    """The outermost layer that drops a regularizer; `named` keeps what was asked of each layer."""
    for outer, inner in zip(kept.layers[:0:-1], kept.layers[-2::-1], strict=True):
        if id(outer) not in named:
            config, error = _config(outer)
            named[id(outer)] = error or set(_names(config))
        held = named[id(outer)]
        if isinstance(held, str):
            return f"{_shown(outer)} has no config: its `get_config` raises {held}"
        if inner.name not in held:
            return (
                f"the config of {_shown(outer)} holds the arguments of its constructor, not the "
                "configs of the layers inside"
            )
    owner = _shown(kept.layers[0])
    if kept.attributes:
        return f"the config of {owner} does not hold its `{kept.attributes[0].name}`"
    return f"{owner} has no `{_attributes(kept.variable.name, kept.layers[0])[0]}`"


def _shown(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def _names(config: Any) -> Iterator[str]:
    """The names of the layers whose configs are somewhere within a config."""
    if isinstance(config, dict):
        inner = config.get("config")
        if "class_name" in config and isinstance(inner, dict) and "name" in inner:
            yield inner["name"]
        for value in config.values():
            yield from _names(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _names(value)
