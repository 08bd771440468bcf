"""What this package expects of the private names of Keras that it reads."""

import ast
import itertools
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers

import keras_reg
from keras_reg.keras_private import (
    average_of,
    compile_arguments,
    forget_parameters,
    forget_traces,
    is_stateless,
    keys_of,
    layers_in,
    nodes_of,
    notes_of_step,
    state_of,
    training_around,
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


def test_parameters_are_listed_again():
    layer = layers.Dense(3)
    layer.build((None, 2))
    forget_parameters(layer)
    if keras.backend.backend() == "torch":
        assert {tuple(one.shape) for one in layer.parameters()} == {(2, 3), (3,)}


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


def test_training_without_state_is_told_from_calls():
    assert not is_stateless()
    with keras.StatelessScope():
        assert is_stateless()
    assert not is_stateless()


def test_a_layer_is_told_whether_the_call_around_it_trains():
    class Inner(keras.layers.Layer):
        def __call__(self, x, training=None):
            seen.append(training_around(self))
            return super().__call__(x, training=training)

        def call(self, x, training=False):
            return x

    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, x, training=False):
            return self.inner(x, training=True)

    seen, outer, x = [], Outer(), keras.ops.ones((2, 4))
    outer.inner(x, training=True)
    for training in (True, False):
        outer(x, training=training)
    assert seen == [None, True, False]


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
    velocities = [state_of(optimizer, "velocities", one) for one in (first, second)]
    assert [bool(np.any(keras.ops.convert_to_numpy(one))) for one in velocities] == [False, True]
    averages = [keras.ops.convert_to_numpy(average_of(optimizer, one)) for one in (first, second)]
    assert averages[0].tolist() == [1.0, 1.0]
    assert averages[1][0] < 2.0


@pytest.mark.parametrize(
    ("optimizer", "name", "expected"),
    [
        (keras.optimizers.Adam(beta_2=0.75), "velocities", 0.25 * 4.0),
        (keras.optimizers.Adam(beta_2=0.75, amsgrad=True), "velocity_hats", 0.25 * 4.0),
        (keras.optimizers.Nadam(beta_2=0.75), "velocities", 0.25 * 4.0),
        (keras.optimizers.Adamax(), "u", 2.0),
        (keras.optimizers.Adagrad(initial_accumulator_value=0.5), "accumulators", 0.5 + 4.0),
        (keras.optimizers.RMSprop(rho=0.75), "velocities", 0.25 * 4.0),
        (keras.optimizers.RMSprop(rho=0.75, centered=True), "average_gradients", 0.25 * 2.0),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_what_optimizers_keep_after_one_gradient_of_two(optimizer, name, expected):
    variable = keras.Variable(np.zeros(1, "float32"))
    optimizer.build([variable])
    optimizer.apply([2.0 * keras.ops.ones(1)])
    assert keras.ops.convert_to_numpy(state_of(optimizer, name, variable)) == [expected]


def test_keys_tell_variables_apart_that_are_equal():
    first, second = (keras.Variable(np.zeros(2, "float32"), name="same") for _ in range(2))
    optimizer = keras.optimizers.SGD()
    optimizer.build([first, second])
    one, other = keys_of(optimizer, [first, second])
    assert one != other
    assert keys_of(optimizer, [second, first]) == [other, one]


def test_a_loss_scale_and_swapped_averages_find_those_of_the_optimizer_inside():
    inner = keras.optimizers.SGD(0.1, use_ema=True)
    optimizer = keras.optimizers.LossScaleOptimizer(keras_reg.optimizers.FixedSupport(inner))
    optimizer.build([keras.Variable(np.ones((2, 2), "float32"), name="kernel")])
    shown = optimizer.inner_optimizer._model_variables_moving_average
    assert shown is inner._model_variables_moving_average
    assert len(shown) == 1


def test_a_model_whose_traces_are_forgotten_counts_a_new_loss():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = np.ones((1, 2), "float32"), np.full((1, 1), 2.0, "float32")
    before = model.fit(x, y, verbose=0).history["loss"][0]
    model.layers[0].kernel.regularizer = keras.regularizers.L2(1.0)
    forget_traces(model)
    assert model.fit(x, y, verbose=0).history["loss"][0] == before + 2.0


# Files that name what Keras runs on, its libraries' private names too; of the rest, the method of a
# NamedTuple that is public though its name is not, and what scikit-learn calls a scorer's metric.
LIBRARIES = ("ops/backend.py", "ops/updates.py", "evaluation/runtimes.py")
NOT_OF_KERAS = {"_replace", "_score_func"}


def own_names(tree):
    """What a file defines: classes, functions, fields and what it assigns, attributes too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def private_names(tree):
    for node in ast.walk(tree):
        is_attribute = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        if is_attribute and re.match("_[a-zA-Z]", node.attr):
            yield node.attr, ast.unparse(node)


def test_no_other_file_reads_a_private_name_that_this_package_does_not_define():
    root = pathlib.Path(keras_reg.__file__).parent
    trees = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    trees = {path: ast.parse(file.read_text()) for path, file in trees.items()}
    private = trees.pop("keras_private.py")
    known = {name for tree in trees.values() for name in own_names(tree)} | NOT_OF_KERAS
    assert "_nodes_by_depth" not in known
    assert [name for name, _ in private_names(private) if name not in known]
    found = [
        f"{path}: {shown}"
        for path, tree in trees.items()
        if path not in LIBRARIES
        for name, shown in private_names(tree)
        if name not in known
    ]
    assert found == []
