"""What this package expects of the private names of Keras that it reads."""

import ast
import itertools
import pathlib

import keras
import numpy as np
from keras import layers

import keras_reg
from keras_reg.keras_private import (
    average_of,
    compile_arguments,
    forget_traces,
    layers_in,
    nodes_of,
    notes_of_step,
    state_of,
    unrecorded,
    variables_of,
)


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


def test_compile_arguments_are_those_given():
    def loss(y, prediction):
        return keras.ops.mean(keras.ops.abs(y - prediction))

    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    metric = keras.metrics.MeanSquaredError()
    model.compile("sgd", loss, metrics=[metric])
    arguments = compile_arguments(model)
    assert arguments["loss"] is loss
    assert arguments["metrics"][0] is metric
    keras.Sequential([keras.Input((2,)), layers.Dense(1)]).compile(**arguments)


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


def test_notes_of_a_step_last_as_long_as_the_outermost_call_or_stateless_scope():
    class Inner(keras.layers.Layer):
        def call(self, x):
            notes = notes_of_step(self)
            notes["seen"] = notes.get("seen", 0) + 1
            seen.append(notes["seen"])
            return x

    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, x):
            return self.inner(self.inner(x))

    outer, x = Outer(), keras.ops.ones((2, 4))
    for _ in range(2):
        seen = []
        outer(x)
        assert seen[-2:] == [1, 2]
    seen = []
    outer.call(x)  # Keras knows two outermost calls here, and a single one in a stateless scope.
    outer.inner.call(x)
    assert seen == [1, 1, 1]
    for _ in range(2):
        seen = []
        outer.stateless_call([], [], x)
        assert seen == [1, 2]


def test_what_an_optimizer_keeps_of_a_variable():
    first, second = (keras.Variable(np.full(2, at, "float32"), name="same") for at in (1.0, 2.0))
    optimizer = keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5)
    optimizer.build([first, second])
    assert [id(one) for one in variables_of(optimizer)] == [id(first), id(second)]
    optimizer.apply([keras.ops.zeros(2), keras.ops.ones(2)])
    velocities = [state_of(optimizer, "_velocities", one) for one in (first, second)]
    assert [bool(np.any(keras.ops.convert_to_numpy(one))) for one in velocities] == [False, True]
    averages = [keras.ops.convert_to_numpy(average_of(optimizer, one)) for one in (first, second)]
    assert averages[0].tolist() == [1.0, 1.0]
    assert averages[1][0] < 2.0


def test_a_model_whose_traces_are_forgotten_counts_a_new_loss():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = np.ones((1, 2), "float32"), np.full((1, 1), 2.0, "float32")
    before = model.fit(x, y, verbose=0).history["loss"][0]
    model.layers[0].kernel.regularizer = keras.regularizers.L2(1.0)
    forget_traces(model)
    assert model.fit(x, y, verbose=0).history["loss"][0] == before + 2.0


def test_no_other_file_reads_a_private_name_of_a_layer_or_model():
    """The optimizers of this package are subclasses: `self._var_key` and the like are theirs."""
    found = {
        f"{path.name}: {ast.unparse(node)}"
        for path in pathlib.Path(keras_reg.__file__).parent.rglob("*.py")
        if path.name != "keras_private.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("_flatten_layers", "_nodes_by_depth", "_functional", "_inbound_nodes")
    }
    assert found == set()
