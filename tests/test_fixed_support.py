"""FixedSupport: zeros stay zero while the rest is refitted."""

import keras
import numpy as np
import pytest
from keras import ops
from small_model import dense_model, first_update, fit, weights_of

from keras_reg import regularizers
from keras_reg.optimizers import FixedSupport, Proximal

BACKEND = keras.backend.backend()
OPTIMIZERS = "SGD RMSprop Adam AdamW Nadam Adamax Adagrad Adadelta Adafactor Lamb Lion Muon"


def numpy(variable):
    return np.array(ops.convert_to_numpy(variable))


def sparse_model(optimizer, jit_compile="auto"):
    keras.utils.set_random_seed(1)
    model = dense_model()
    kernel, bias, *others = model.get_weights()
    kernel[::2, 1:5] = 0.0
    model.set_weights([kernel, bias, *others])
    model.compile(optimizer, "mse", jit_compile=jit_compile if BACKEND != "torch" else False)
    return model, kernel == 0


@pytest.mark.parametrize("name", OPTIMIZERS.split())
def test_zeros_stay_zero_and_the_rest_moves(name):
    if not hasattr(keras.optimizers, name):
        pytest.skip(f"this Keras has no {name}")
    variable = keras.Variable([[0.5, 0.0, -0.2], [0.0, 0.3, 0.0]], name="kernel")
    bias = keras.Variable([0.0, 0.0], name="bias")
    before, zeros = numpy(variable), numpy(variable) == 0
    optimizer = FixedSupport(getattr(keras.optimizers, name)(0.01))
    for sign in (1.0, 1.0, -0.5):
        optimizer.apply([sign * ops.ones((2, 3)), sign * ops.ones((2,))], [variable, bias])
    assert np.array_equal(numpy(variable) == 0, zeros)
    assert np.all(numpy(variable)[~zeros] != before[~zeros])
    assert np.all(numpy(bias) != 0)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam", "RMSprop"])
def test_momentum_is_zero_there_too(name):
    kwargs = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    inner = getattr(keras.optimizers, name)(0.01, use_ema=True, **kwargs)
    model, zeros = sparse_model(FixedSupport(inner))
    fit(model)
    slots = [numpy(v) for v in inner.variables if tuple(v.shape) == zeros.shape]
    assert len(slots) >= 2
    for slot in slots:
        assert not np.any(slot[zeros])
        assert np.all(slot[~zeros])


@pytest.mark.parametrize("jit_compile", [True, False])
def test_rest_trains_as_if_the_zeros_were_not_there(jit_compile):
    model, zeros = sparse_model(FixedSupport(keras.optimizers.Adam(1e-2)), jit_compile)
    fit(model)

    class Pinned(keras.constraints.Constraint):
        def __call__(self, w):
            return w * ops.cast(~zeros, w.dtype)

    keras.utils.set_random_seed(1)
    pinned, _ = sparse_model(keras.optimizers.Adam(1e-2))
    pinned.get_layer("hidden").kernel.constraint = Pinned()
    fit(pinned)
    assert np.array_equal(weights_of(model)[0] == 0, zeros)
    for one, two in zip(weights_of(model), weights_of(pinned), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_momentum_gathered_before_does_not_move_zeros():
    inner = keras.optimizers.SGD(0.1, momentum=0.9)
    variable = keras.Variable([[0.5, 1.0]], name="kernel")
    inner.apply([ops.ones((1, 2))], [variable])
    variable.assign([[0.5, 0.0]])
    FixedSupport(inner).apply([ops.ones((1, 2))], [variable])
    values = numpy(variable)[0]
    assert values[1] == 0.0
    np.testing.assert_allclose(values[0], 0.5 - 0.09 - 0.1, rtol=1e-5)


def test_zeros_take_no_part_in_clipping():
    variable = keras.Variable([[1.0, 0.0]], name="kernel")
    optimizer = FixedSupport(keras.optimizers.SGD(1.0, clipnorm=0.5))
    optimizer.apply([ops.convert_to_tensor([[0.25, 1e6]])], [variable])
    np.testing.assert_allclose(numpy(variable), [[0.75, 0.0]], rtol=1e-6)


def test_accumulated_gradients_and_missing_gradients():
    inner = keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)
    optimizer = FixedSupport(inner)
    variable = keras.Variable([[1.0, 0.0]], name="kernel")
    for _ in range(2):
        optimizer.apply([ops.ones((1, 2))], [variable])
    np.testing.assert_allclose(numpy(variable), [[0.5, 0.0]], rtol=1e-6)


def test_embedding_rows_stay_zero():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(6, 4),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    table, *others = model.get_weights()
    table[1:3] = 0.0
    model.set_weights([table, *others])
    model.compile(FixedSupport(keras.optimizers.Adam(0.1)), "mse")
    x = np.array([[0, 1, 2], [1, 3, 4]] * 4)
    model.fit(x, np.arange(8.0)[:, None], epochs=2, verbose=0)
    trained = model.get_weights()[0]
    assert not np.any(trained[1:3])
    assert np.all(trained[[0, 3, 4]] != table[[0, 3, 4]])


def test_proximal_then_refit_then_resume(tmp_path):
    model = dense_model()
    lasso = {"hidden/kernel": regularizers.GroupLasso(1.0, -2)}
    model.compile(Proximal(keras.optimizers.Adam(1e-2), lasso), "mse")
    fit(model, epochs=30)
    zeros = weights_of(model)[0] == 0
    model.compile(FixedSupport(keras.optimizers.Adam(1e-2)), "mse")
    fit(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, FixedSupport)
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for other in (model, again):
        fit(other)
    for straight, resumed in zip(weights_of(model), weights_of(again), strict=True):
        np.testing.assert_array_equal(straight, resumed)
    assert zeros.sum() >= 24
    assert np.array_equal(weights_of(model)[0] == 0, zeros)


def test_nan_gradient_shows_in_the_weights_that_train():
    variable = keras.Variable([[1.0, 0.0]], name="kernel")
    optimizer = FixedSupport(keras.optimizers.SGD(0.1))
    optimizer.apply([ops.convert_to_tensor([[float("nan"), float("nan")]])], [variable])
    assert np.isnan(numpy(variable)[0, 0])


@pytest.mark.parametrize("optimizer", [None, "nothing", Proximal("sgd", regularizers.L1(0.1))])
def test_no_plain_optimizer_is_refused(optimizer):
    with pytest.raises((TypeError, ValueError)):
        FixedSupport(optimizer)


def test_model_without_kernels_is_refused():
    with pytest.raises(ValueError, match="kernel or embedding matrix"):
        first_update(FixedSupport("sgd"), [keras.Variable([1.0], name="gain")])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_keep_the_zeros():
    import tensorflow as tf

    devices = ["CPU:0", "CPU:1"]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        model, zeros = sparse_model(FixedSupport(keras.optimizers.Adam(1e-2)))
        fit(model, epochs=1)
    assert np.array_equal(weights_of(model)[0] == 0, zeros)
