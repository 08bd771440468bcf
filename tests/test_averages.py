"""Moving averages of the weights inside Proximal: of the weights after the proximal step."""

import keras
import numpy as np
import pytest
from keras import ops
from small_model import data, dense_model, fit, weights_of

from keras_reg import regularizers
from keras_reg.optimizers import Proximal

BACKEND = keras.backend.backend()


def numpy(variable):
    return np.array(ops.convert_to_numpy(variable))


def averages_of(optimizer):
    return [numpy(v) for v in optimizer.variables if v.path.endswith("_average")]


def ema_sgd(**kwargs):
    return keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.75, **kwargs)


def test_average_is_that_of_the_weights_after_the_prox():
    optimizer = Proximal(ema_sgd(), regularizers.L1(0.2))
    variable = keras.Variable([[1.0, 0.25]], name="kernel")
    seen = []
    for _ in range(4):
        optimizer.apply([ops.zeros((1, 2))], [variable])
        seen.append(averages_of(optimizer)[0][0])
    # The weights are 0.9, 0.8, 0.7, 0.6 and 0.15, 0.05, 0, 0.
    second, third = 0.75 * 0.9 + 0.25 * 0.8, 0.75 * (0.75 * 0.9 + 0.25 * 0.8) + 0.25 * 0.7
    np.testing.assert_allclose(
        [row[0] for row in seen], [0.9, second, third, 0.75 * third + 0.25 * 0.6], rtol=1e-5
    )
    np.testing.assert_allclose([row[1] for row in seen[:2]], [0.15, 0.125], rtol=1e-5)
    assert [row[1] for row in seen[2:]] == [0.0, 0.0]


def test_average_begins_anew_when_a_weight_comes_back():
    optimizer = Proximal(ema_sgd(), regularizers.L1(0.2))
    variable = keras.Variable([[0.05]], name="kernel")
    seen = []
    for gradient in (0.0, -1.0, -1.0):
        optimizer.apply([ops.full((1, 1), gradient)], [variable])
        seen.append(float(averages_of(optimizer)[0][0, 0]))
    np.testing.assert_allclose(seen, [0.0, 0.4, 0.75 * 0.4 + 0.25 * 0.8], rtol=1e-5)


def test_without_zeros_it_is_keras_own():
    plain, penalized = ema_sgd(), Proximal(ema_sgd(), {"kernel": regularizers.L1(0.0)})
    for optimizer in (plain, penalized):
        variables = [keras.Variable([[1.0]], name="kernel"), keras.Variable([0.0], name="bias")]
        for gradient in (0.3, -0.2, 0.4):
            gradients = [ops.full((1, 1), gradient), ops.full((1,), gradient)]
            optimizer.apply(gradients, variables)
    for one, two in zip(averages_of(plain), averages_of(penalized), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_overwriting_comes_after_the_prox():
    optimizer = Proximal(ema_sgd(ema_overwrite_frequency=2), regularizers.L1(0.2))
    variable = keras.Variable([[1.0, 0.15]], name="kernel")
    seen = []
    for _ in range(3):
        optimizer.apply([ops.zeros((1, 2))], [variable])
        seen.append(numpy(variable)[0].tolist())
    second = 0.75 * 0.9 + 0.25 * 0.8
    np.testing.assert_allclose(seen, [[0.9, 0.05], [second, 0.0], [second - 0.1, 0.0]], rtol=1e-5)
    assert optimizer.inner_optimizer.ema_overwrite_frequency == 2


def sparse_model(jit_compile="auto", outer=lambda optimizer: optimizer, **kwargs):
    keras.utils.set_random_seed(1)
    model = dense_model()
    inner = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5, **kwargs)
    optimizer = outer(Proximal(inner, {"hidden/kernel": regularizers.GroupLasso(1.0, -2)}))
    model.compile(optimizer, "mse", jit_compile=jit_compile if BACKEND != "torch" else False)
    return model


@pytest.mark.parametrize("kwargs", [{}, {"ema_overwrite_frequency": 3}])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_averaged_model_has_the_exact_zeros(jit_compile, kwargs):
    model = sparse_model(jit_compile, **kwargs)
    current = {}
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: current.update(kernel=weights_of(model)[0])
    )
    fit(model, epochs=20, callbacks=[keep])
    zero_rows = ~np.any(current["kernel"], axis=1)
    assert 3 <= zero_rows.sum() < 6
    averaged = weights_of(model)[0]
    assert np.array_equal(averaged == 0, current["kernel"] == 0)
    assert np.array_equal(averaged != current["kernel"], averaged != 0) or kwargs


@pytest.mark.parametrize(
    "outer", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer]
)
def test_swapping_callback_shows_the_averaged_zeros(outer):
    model = sparse_model(outer=outer)
    seen = []
    evaluated = keras.callbacks.LambdaCallback(
        on_test_begin=lambda logs: seen.append(np.sum(weights_of(model)[0] == 0))
    )
    callbacks = [keras.callbacks.SwapEMAWeights(), evaluated]
    fit(model, epochs=20, validation_data=data(), callbacks=callbacks)
    assert seen[-1] >= 24
    assert seen[-1] == np.sum(weights_of(model)[0] == 0)


def test_several_optimizers_each_keep_their_averages():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    choose = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.5), {"a": ema_sgd()})
    optimizer = Proximal(keras.optimizers.MultiOptimizer(choose), {"a": regularizers.L1(0.2)})
    variables = [keras.Variable([[1.0, 0.1]], name=name) for name in "ab"]
    for _ in range(2):
        optimizer.apply([ops.zeros((1, 2))] * 2, variables)
    (average,) = averages_of(optimizer)
    np.testing.assert_allclose(average, [[0.875, 0.0]], rtol=1e-5)


def test_settings_are_saved_with_the_optimizer(tmp_path):
    whole = sparse_model(ema_overwrite_frequency=3)
    fit(whole)
    whole.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.inner_optimizer.ema_overwrite_frequency == 3
    for model in (whole, again):
        fit(model)
    for straight, resumed in zip(weights_of(whole), weights_of(again), strict=True):
        np.testing.assert_array_equal(straight, resumed)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_average_as_one_device():
    import tensorflow as tf

    def train():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(1)])
        inner = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5)
        model.compile(Proximal(inner, regularizers.L1(1.0)), "mse")
        fit(model, epochs=2)
        return weights_of(model)

    devices = ["CPU:0", "CPU:1"]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        mirrored = train()
    assert np.any(mirrored[0] == 0)
    for one, two in zip(train(), mirrored, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
        assert np.array_equal(one == 0, two == 0)
