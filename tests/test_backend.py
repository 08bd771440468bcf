"""Compilation and replicas: the one module that names TensorFlow and JAX."""

import keras
import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from keras_reg.ops.backend import compiled, read
from keras_reg.ops.updates import update

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tests a TensorFlow API"
)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def smooth(x):
    return ops.tanh(x) * 3.0 + ops.square(x)


def normal(shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def two_replicas():
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())


def copies(strategy, variable):
    return [copy.numpy().tolist() for copy in strategy.experimental_local_results(variable.value)]


def test_compiled_result_is_equal():
    x = ops.convert_to_tensor(normal((5, 4)))
    np.testing.assert_allclose(numpy(compiled(smooth)(x)), numpy(smooth(x)), rtol=1e-5)


def test_compiled_traces_once_for_a_shape():
    traces = []
    count = compiled(lambda x: traces.append(1) or x + 1.0)
    for value in (1.0, 2.0, 3.0):
        assert float(count(ops.full((3,), value))[0]) == value + 1
    assert len(traces) == (3 if keras.backend.backend() == "torch" else 1)


def test_static_arguments_stay_python():
    tiled = compiled(lambda x, times: ops.tile(x, times), static_argnums=(1,))
    assert tuple(tiled(ops.ones((2, 3)), (2, 1)).shape) == (4, 3)
    assert tuple(tiled(ops.ones((2, 3)), (1, 3)).shape) == (2, 9)


def test_gradients_flow_through_compiled():
    fast = compiled(smooth)
    w = normal((4, 3))
    value, gradient = value_and_gradient(lambda w: ops.sum(fast(w)), w)
    expected_value, expected = value_and_gradient(lambda w: ops.sum(smooth(w)), w)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(gradient).max() > 1


@on_tensorflow
def test_compiled_is_compiled_by_xla():
    x = ops.ones((3,))
    assert "HloModule" in compiled(smooth).experimental_get_compiler_ir(x)(stage="hlo")


@on_tensorflow
def test_compiled_stays_compiled_inside_another_function():
    import tensorflow as tf

    outer = tf.function(compiled(smooth), jit_compile=False).get_concrete_function(tf.ones((3,)))
    inner = outer.graph.as_graph_def().library.function
    assert any(function.attr["_XlaMustCompile"].b for function in inner)


@pytest.mark.parametrize("switch", ["0", "1"])
def test_environment_variable_turns_compilation_off(switch, monkeypatch):
    monkeypatch.setenv("KERAS_REG_XLA", switch)
    is_eager = switch == "0" or keras.backend.backend() == "torch"
    assert (compiled(smooth) is smooth) == is_eager


@pytest.mark.parametrize("held", [keras.Variable([1.0, 2.0]), np.array([1.0, 2.0]), [1.0, 2.0]])
def test_read_gives_a_plain_tensor(held):
    value = read(held)
    assert ops.is_tensor(value)
    assert not isinstance(value, keras.Variable)
    assert numpy(value).tolist() == [1.0, 2.0]


def test_read_is_a_value_that_later_assignments_leave_alone_once_copied():
    variable = keras.Variable([1.0, 2.0])
    before = ops.copy(read(variable))
    variable.assign([5.0, 6.0])
    assert numpy(before).tolist() == [1.0, 2.0]
    assert numpy(read(variable)).tolist() == [5.0, 6.0]


@on_tensorflow
def test_read_of_a_variable_is_no_variable():
    import tensorflow as tf

    for variable in (keras.Variable([1.0]), tf.Variable([1.0])):
        assert not isinstance(read(variable), tf.Variable)


def test_update_assigns_the_function_of_the_value():
    variable = keras.Variable([1.0, 2.0])
    update(variable, lambda value, factor, offset: factor * value + offset, 3.0, 1.0)
    assert numpy(variable).tolist() == [4.0, 7.0]


@on_tensorflow
def test_update_accepts_a_tensorflow_variable():
    import tensorflow as tf

    variable = tf.Variable([1.0, 2.0])
    update(variable, lambda value: value * 3.0)
    assert variable.numpy().tolist() == [3.0, 6.0]


@on_tensorflow
@pytest.mark.parametrize("in_graph", [True, False])
def test_update_keeps_replicas_equal(in_graph):
    import tensorflow as tf

    strategy = two_replicas()
    with strategy.scope():
        variable = keras.Variable([1.0, 2.0])
    fast = compiled(lambda value, factor: factor * value)

    def step():
        update(variable, fast, tf.constant(3.0))

    train = tf.function(step) if in_graph else step
    for _ in range(2):
        strategy.run(train)
    assert copies(strategy, variable) == [[9.0, 18.0]] * 2


@on_tensorflow
def test_update_outside_the_replicas_reaches_every_copy():
    strategy = two_replicas()
    with strategy.scope():
        variable = keras.Variable([1.0, 2.0])
        update(variable, lambda value: value + 1.0)
    assert copies(strategy, variable) == [[2.0, 3.0]] * 2
