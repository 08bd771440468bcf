"""Layers and models whose code stays, while the standard layers in them get smaller.

The class of such a layer decides what it computes, and its config holds sizes as they were. So it
is made as it was, and the layers in it are exchanged. What is saved is the first config and the new
sizes, which `import keras_reg` lets Keras read.
"""

import contextlib
import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any

import keras

from keras_reg.compacting.unfilled import restore, unfilled
from keras_reg.keras_private import forget_parameters, layers_in

_KEPT = "keras_reg_config"


@keras.saving.register_keras_serializable("keras_reg")
class Resized(keras.layers.Layer):
    """A layer or model in which layers have other sizes than its own config says.

    Nothing is of this very class: what is loaded, or made by `compact`, is of the class that it was
    of, with another config.
    """

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        """Makes the layer that `resized` made."""
        return _made(config)


def resized(layer: Any, sizes: list[dict[str, Any]]) -> Any:
    """A copy of a layer or model, without its weights, in which layers have other sizes.

    Args:
        layer: a built layer or model.
        sizes: a list of dicts: `place`, of a layer in it as `layers_in` lists them; `config`, that
            it gets; `build`, what it is to be built with.
    """
    kinds = {type(one) for one in [layer, *layers_in(layer)]}
    known = {keras.saving.get_registered_name(kind): kind for kind in kinds}
    config = keras.saving.serialize_keras_object(layer)
    config.pop("compile_config", None)
    # Not all are registered.
    with keras.saving.custom_object_scope(known):
        return _made({"layer": config, "sizes": sizes}, scope_of(layer))


def is_resized(layer: Any) -> bool:
    """Whether `resized` made a layer, or it was loaded as one."""
    return _KEPT in vars(layer)


def _made(config: dict[str, Any], scope: Any = None) -> Any:
    with scope or contextlib.nullcontext():
        layer = keras.saving.deserialize_keras_object(config["layer"])
    inside = layers_in(layer)
    for one in config["sizes"]:
        _become(inside[one["place"]], one["config"], one["build"])
    for one in [layer, *inside]:
        forget_parameters(one)
    if config["sizes"]:
        vars(layer)[_KEPT] = config
        kind: Any = type(layer)
        object.__setattr__(layer, "__class__", _kind(kind))
    return layer


@contextlib.contextmanager
def scope_of(layer: Any) -> Iterator[None]:
    """Where a layer is in its model, so that paths stay."""
    path = getattr(layer, "path", None) or layer.name  # An operation has none.
    with contextlib.ExitStack() as scopes:
        for name in path.split("/")[:-1]:
            scopes.enter_context(keras.name_scope(name))
        yield


def _become(layer: Any, config: dict[str, Any], build: dict[str, Any]) -> None:
    """Makes a layer what another config makes. Whoever holds the layer holds it still.

    One that is not built yet will be when what it is in is called.
    """
    if _stem(layer.name) != _stem(config["name"]):
        raise TypeError(f"{config['name']} is not made by the config of what it is in")
    new = type(layer).from_config(config)
    if layer.built:
        with scope_of(layer):
            unfilled(new).build_from_config(build)
        restore(new, layer)
    methods = {name: one for name, one in vars(layer).items() if inspect.isfunction(one)}
    vars(layer).clear()
    vars(layer).update({**vars(new), **methods})


def _stem(name: str) -> str:
    """A name without the number that Keras gives to the next layer of a class."""
    return re.sub(r"_\d+$", "", name)


@functools.cache
def _kind(kind: type) -> type:
    """A class whose config is that of `resized`."""

    def get_config(self: Any) -> dict[str, Any]:
        return dict(vars(self)[_KEPT])

    def from_config(cls: type, config: dict, custom_objects: dict | None = None) -> Any:
        return _made(config)

    members = {"get_config": get_config, "from_config": classmethod(from_config)}
    new = type("Resized", (kind,), {**members, "__module__": __name__, "__doc__": kind.__doc__})
    return keras.saving.register_keras_serializable("keras_reg")(new)


def build_config(layer: Any, shape_of: dict[str, Any]) -> dict[str, Any]:
    """What a layer was built with, with other lengths where its inputs have others.

    Args:
        layer: a built layer.
        shape_of: dict from the names of arguments of its call to functions of a shape.

    Example:
        >>> layer = keras.layers.Dense(3)
        >>> layer.build((None, 4))
        >>> build_config(layer, {"inputs": lambda shape: (*shape[:-1], 2)})
        {'input_shape': (None, 2)}
    """
    config = dict(layer.get_build_config() or {})
    if "input_shape" in config:
        change = next(iter(shape_of.values()))
        config["input_shape"] = change(config["input_shape"])
    for name, shape in (config.get("shapes_dict") or {}).items():
        change = shape_of.get(name.removesuffix("_shape"))
        if change is not None and shape is not None:
            config["shapes_dict"] = {**config["shapes_dict"], name: change(shape)}
    return config
