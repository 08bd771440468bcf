"""Where a layer's config keeps the regularizer of each variable."""

import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras


class Slot(NamedTuple):
    """An attribute of a layer that holds a regularizer."""

    layer: Any
    attribute: str


def regularizer_slots(model: keras.layers.Layer) -> dict[int, list[Slot]]:
    """The attributes that hold the regularizer of each variable of a model, and so of a copy of it.

    Keras gives a weight its regularizer when the layer is built, from an attribute of the layer or
    of a layer round it, and `get_config` writes that attribute. Which one it is differs: an LSTM
    keeps it on its cell, attention on itself for four layers inside. So this asks: it puts probes
    in, has the model's config written and looks which of them are in it.

    Args:
        model: a built model or layer.

    Returns:
        A dict from the `id` of a variable to its slots, from the layer that owns it outwards. The
        last is the one that configs carry. A variable that no config can carry has no entry.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> [slot.attribute for slot in regularizer_slots(model)[id(model.layers[0].kernel)]]
        ['kernel_regularizer']
    """
    candidates: dict[int, list[tuple[Slot, bool]]] = {}
    for variable, chain in _owned(model, ()):
        found = candidates.setdefault(id(variable), [])
        for layer in chain:
            names = [name for name in _attributes(variable.name) if name in vars(layer)]
            found += [(Slot(layer, name), layer is chain[0]) for name in names]
    written, rebuilt = _probe(model, candidates)
    slots = {}
    for key, found in candidates.items():
        for end, (slot, owns) in enumerate(found):
            if slot in written and (owns or key in rebuilt[id(slot.layer)]):
                slots[key] = [slot for slot, _ in found[: end + 1]]
                break
    return slots


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
    children = list(layer._flatten_layers(False, recursive=False))
    inside = {id(weight) for child in children for weight in child.weights}
    yield from ((weight, chain) for weight in layer.weights if id(weight) not in inside)
    for child in children:
        if child not in chain:
            yield from _owned(child, chain)


def _attributes(name: str) -> list[str]:
    """Names that the regularizer of a weight of this name has in the layers of Keras."""
    plain = _plain(name)
    stems = [plain, plain.removesuffix("_kernel")]
    if plain == "kernel":
        stems.append("depthwise")
    stems = list(dict.fromkeys(stems))
    return [f"{lead}{stem}_regularizer" for stem in stems for lead in ("", "_")]


def _probe(model: Any, candidates: dict) -> tuple[set[Slot], dict[int, set[int]]]:
    """The slots that reach the model's config, and the variables that layers rebuild from them."""
    pairs = {pair for found in candidates.values() for pair in found}
    probes = {slot: _Probe() for slot, _ in pairs}
    before = {slot: getattr(*slot) for slot in probes}
    try:
        for slot, probe in probes.items():
            setattr(slot.layer, slot.attribute, probe)
        _write(model)
        written = {slot for slot, probe in probes.items() if probe.written}
        outer = {id(s.layer): s.layer for s, owns in pairs if s in written and not owns}
        rebuilt = {key: _rebuilt(layer) for key, layer in outer.items()}
    finally:
        for slot, regularizer in before.items():
            setattr(slot.layer, slot.attribute, regularizer)
    return written, rebuilt


def _write(model: Any) -> None:
    try:
        model.get_config()
    except NotImplementedError:
        # A model without a config: nothing is written, so nothing is carried.
        return


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
    finally:
        random.setstate(state)
    held = {place for place, its in _places(copy) if isinstance(its.regularizer, _Probe)}
    return {id(mine) for place, mine in _places(layer) if place in held}


def _places(layer: Any) -> Iterator[tuple[tuple[int, str], Any]]:
    """Each variable after the number of its layer and its name, which a copy has too."""
    numbers = {id(inner): number for number, inner in enumerate(layer._flatten_layers())}
    for variable, chain in _owned(layer, ()):
        yield (numbers[id(chain[0])], _plain(variable.name)), variable


def _plain(name: str) -> str:
    """The name of the weight that a factor of LoRA belongs to: Keras gives it its regularizer."""
    return re.sub(r"^lora_(.*)_[ab]$", r"\1", name)
