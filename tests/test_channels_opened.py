"""Channels of layers with code of their own, and what opening one leaves behind: nothing."""

import keras
import numpy as np
import opened_models
import pytest
from keras import layers, ops
from test_channels import assert_gradients_vanish

from keras_reg.structure.channels import channels
from keras_reg.structure.channels.rules.elementwise import is_pointwise

ON_TORCH = keras.backend.backend() == "torch"
CHECKED = opened_models.MODELS if ON_TORCH else ["experts", "block"]

# The sizes of the groups that can go: widths, units, then heads, values.
FREE = {
    "positions": [4],
    "first token": [4],
    "experts": [5, 5, 7],
    "block": [3, 4, 5, 8],
    "fused": [3, 4, 5, 8],
}


@pytest.mark.parametrize("name", CHECKED)
def test_code_is_read(name):
    model = opened_models.made(name)
    free = assert_gradients_vanish(model)
    # Keys that are rotated together lose their place if half of a pair goes, so pairs go.
    assert sorted(group.size for group in free if group.size > 2) == FREE[name]


def test_nothing_is_left_behind():
    model = opened_models.made("block")
    every = [model, *model._flatten_layers(include_self=False)]

    def state():
        return [(type(one), one.name, one.built, sorted(vars(one))) for one in every], [
            (list(map(id, one._inbound_nodes)), len(one._outbound_nodes)) for one in every
        ]

    before, values = state(), model.get_weights()
    channels(model)
    assert state() == before
    assert all(np.array_equal(*both) for both in zip(values, model.get_weights(), strict=True))


def test_places_of_a_table_stay():
    found = {group.pinned for group in channels(opened_models.made("positions")) if group.pinned}
    assert "joined by ops.Add with what has no channels" in found
    assert "no layer makes them" in found


def test_a_weight_that_code_computes_with_stays():
    class Other(keras.layers.Layer):
        def __init__(self, other):
            super().__init__()
            self.other = other

        def call(self, x):
            return ops.matmul(x, ops.transpose(self.other.kernel))

    first, second = layers.Dense(4, name="a"), layers.Dense(4)
    model = opened_models.of(first, layers.Dense(5), second, Other(first), layers.Dense(2))
    found = channels(model)
    assert "computes with its numbers" in found[0].pinned
    assert [group.size for group in found.free()] == [5]


class Table(keras.layers.Layer):
    """Adds a table of six rows: no other length fits. It declares more than it returns."""

    def build(self, shape):
        self.rows = self.add_weight(shape=(6, 4), name="rows")
        self.first, self.second = layers.Dense(7), layers.Dense(shape[-1])
        self.first.build(shape)
        self.second.build((*shape[:-1], 7))

    def call(self, x):
        return self.second(self.first(x + self.rows)), None

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape), keras.KerasTensor(x.shape)


def test_code_that_fits_one_length_is_read():
    x = keras.Input((None, 4))
    model = keras.Model(x, layers.Dense(2)(Table()(x)[0]))
    assert 7 in [group.size for group in channels(model).free()]


def softmax_like(x):
    return ops.exp(x) / ops.sum(ops.exp(x), axis=-1, keepdims=True)


FUNCTIONS = [
    *((lambda x: x * 2, True), (ops.tanh, True), (layers.LeakyReLU(), True)),
    *((lambda x: keras.activations.gelu(x, approximate=True), True), (softmax_like, False)),
    *((lambda x: x - ops.mean(x), False), (ops.cumsum, False), (layers.Softmax(), False)),
    (lambda x: x * np.arange(6, dtype="float32"), False),
]


@pytest.mark.parametrize(("function", "expected"), FUNCTIONS)
def test_a_function_that_acts_on_every_entry_alone_is_told_by_its_numbers(function, expected):
    assert is_pointwise(function) == expected


# Models of KerasHub, two layers each, and how many units an MLP has; Gemma multiplies two halves.
INNER = dict.fromkeys(("BERT", "RoBERTa", "DistilBERT", "GPT-2", "OPT", "ViT"), 12)
INNER |= {"Llama": 12, "Mistral": 12, "Gemma": 6}


@pytest.mark.skipif(not ON_TORCH, reason="reads the same on each backend")
@pytest.mark.parametrize("name", INNER)
def test_the_inner_sizes_of_transformers_are_free(name):
    pytest.importorskip("keras_hub")
    import hub_models

    two = {"num_query_heads": 4, "num_key_value_heads": 2}
    queries = "num_query_heads" in hub_models.MODELS[name].keywords
    model = hub_models.MODELS[name](**(two if queries else {}))
    free = channels(model).free()
    assert sum(group.size == INNER[name] for group in free) == 2
    assert sum(group.size == 2 and group.read_by != [] for group in free) >= 2  # heads
