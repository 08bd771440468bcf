"""Where each layer of Keras keeps the regularizers that its constructor takes."""

import inspect
import re

import keras
import pytest
from keras import layers

from keras_reg.structure import regularizer_attributes

# What constructors of layers ask for.
REQUIRED = {
    "filters": 2,
    "kernel_size": 2,
    "units": 3,
    "equation": "abc,cd->abd",
    "output_shape": (None, 3),
    "input_dim": 7,
    "output_dim": 3,
    "num_heads": 2,
    "key_dim": 3,
    "head_dim": 3,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
}
OPTIONS = {"GroupNormalization": {"groups": 2}, "EinsumDense": {"bias_axes": "d"}}


def taken_by(kind):
    names = inspect.signature(kind).parameters
    return [n for n in names if n.endswith("_regularizer") and n != "activity_regularizer"]


# Once each: some have two names.
KINDS = {
    kind.__name__: kind
    for kind in vars(layers).values()
    if isinstance(kind, type) and issubclass(kind, layers.Layer) and taken_by(kind)
}


def shapes_for(name):
    """The shapes of the inputs of a layer of this class."""
    if name.endswith("Cell"):
        return [(None, 4)]
    if "Attention" in name:
        return [(None, 5, 4)] * 2
    rank = int((re.search(r"(\d)D", name) or "11")[1]) + name.startswith("ConvLSTM")
    return [(None, *[5] * rank, 4)]


def built(name):
    """A layer with a regularizer of its own for each that it takes, and these by their names."""
    kind = KINDS[name]
    given = {taken: keras.regularizers.L2(0.1) for taken in taken_by(kind)}
    parameters = inspect.signature(kind).parameters
    asked = {
        n: REQUIRED[n]
        for n, one in parameters.items()
        if one.default is inspect.Parameter.empty and n in REQUIRED
    }
    asked.update(OPTIONS.get(name, {}))
    layer = kind(**asked, **given)
    layer.build(*shapes_for(name))
    return layer, given


def test_all_families_are_there():
    assert {"Dense", "SeparableConv1D", "GRUCell", "ConvLSTM2D", "PReLU"} <= set(KINDS)
    assert len(KINDS) >= 29


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_table_says_where_each_regularizer_is(name, monkeypatch):
    def refused(layer):
        raise AssertionError(f"{layer.name} is one of Keras's: its config need not be asked")

    layer, given = built(name)
    # Nothing is written to find out.
    monkeypatch.setattr("keras_reg.structure.kept_regularizers._config", refused)
    kept = regularizer_attributes(layer)
    found = set()
    for variable in layer.weights:
        place = kept[id(variable)]
        held = [getattr(*attribute) for attribute in place.attributes]
        if variable.regularizer is not None:
            assert place.carried
            assert held
            assert all(one is variable.regularizer for one in held)
            # The last one is what the layer's own config holds.
            found |= {n for n, one in given.items() if one is held[-1]}
        elif held:
            assert held == [None] * len(held)
    assert found == set(given)
