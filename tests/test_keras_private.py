"""What this package expects of the private names of Keras that it reads."""

import itertools

import keras
from keras import layers

from keras_reg.keras_private import layers_in, nodes_of, unrecorded


def test_layers_in_a_layer():
    inner = layers.Dense(3)
    distributed = layers.TimeDistributed(inner)
    outer = layers.TimeDistributed(distributed)
    assert layers_in(outer) == [distributed, inner]
    assert layers_in(outer, recursive=False) == [distributed]
    assert layers_in(inner) == []


def test_nodes_of_a_functional_model_come_in_the_order_of_their_calls():
    first, second, x = layers.Dense(4, name="a"), layers.Dense(3, name="b"), keras.Input((4,))
    model = keras.Model(x, second(keras.ops.relu(first(first(x)))))
    layers.ReLU()(first(x))  # A call that is no part of the model.
    nodes = [node for node in nodes_of(model) if not node.is_input]
    assert [node.operation.name for node in nodes][:2] == ["a", "a"]
    assert nodes[-1].operation is second
    assert len(nodes) == 4
    for before, after in itertools.pairwise(nodes):
        assert [id(tensor) for tensor in after.input_tensors] == [id(before.outputs[0])]


def test_nodes_of_sequential_models_and_of_what_has_no_graph():
    dense = layers.Dense(3)
    model = keras.Sequential([dense])
    assert nodes_of(model) == []
    model(keras.ops.ones((2, 4)))
    assert [node.operation for node in nodes_of(model) if not node.is_input] == [dense]
    assert nodes_of(dense) == []


def test_calls_that_are_taken_back():
    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(2)

        def call(self, x):
            return self.inner(x)

    outer, x = Outer(), keras.Input((4,))
    keras.Model(x, outer(x))
    inner = len(outer.inner._inbound_nodes)
    with unrecorded(outer):
        outer.call(x)
        assert len(outer.inner._inbound_nodes) == inner + 1
    assert len(outer.inner._inbound_nodes) == inner
    assert len(outer._inbound_nodes) == 1
