"""The proximal step keeps step with momentum, whatever the learning rate does."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import regularizers, schedules
from keras_reg.optimizers import Proximal

RATES = {
    "steady": lambda: 0.1,
    "falling": lambda: keras.optimizers.schedules.CosineDecay(0.1, 30),
    "rising": lambda: schedules.Linear(0.0, 0.2, steps=30),
}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.95])
def test_a_gradient_that_the_penalty_balances_moves_nothing(rate, nesterov, momentum):
    """SGD itself is the oracle: it moves the weight up as far as the prox then moves it down."""
    inner = keras.optimizers.SGD(RATES[rate](), momentum=momentum, nesterov=nesterov)
    optimizer = Proximal(inner, regularizers.L1(0.3))
    kernel = keras.Variable(np.full((2, 2), 5.0, "float32"), name="kernel")
    for _ in range(40):
        optimizer.apply([ops.full((2, 2), -0.3)], [kernel])
        np.testing.assert_allclose(ops.convert_to_numpy(kernel), 5.0, rtol=1e-5)


def test_accumulated_gradients_leave_the_velocity_alone():
    inner = keras.optimizers.SGD(0.1, momentum=0.5, gradient_accumulation_steps=2)
    optimizer = Proximal(inner, regularizers.L1(0.3))
    kernel = keras.Variable(np.full((2, 2), 5.0, "float32"), name="kernel")
    for _ in range(9):
        optimizer.apply([ops.full((2, 2), -0.3)], [kernel])
    np.testing.assert_allclose(ops.convert_to_numpy(kernel), 5.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["SGD", "RMSprop"])
def test_zeros_stay_while_the_learning_rate_falls_to_zero(name):
    random = np.random.default_rng(0)
    x = random.standard_normal((64, 20)).astype("float32")
    y = x[:, :3].sum(axis=1, keepdims=True)
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(1, use_bias=False)])
    rate = keras.optimizers.schedules.CosineDecay(0.02, 160)
    inner = getattr(keras.optimizers, name)(rate, momentum=0.95)
    model.compile(Proximal(inner, regularizers.L1(0.5)), "mse")
    seen = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: zeros.append(np.sum(model.get_weights()[0] == 0))
    )
    zeros = []
    model.fit(x, y, batch_size=16, epochs=40, verbose=0, callbacks=[seen])
    assert zeros[30] >= 10
    assert zeros[-1] >= zeros[30] - 1


@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras 3.14 has no MultiOptimizer"
)
def test_each_optimizer_inside_has_a_velocity_of_its_own():
    fast = keras.optimizers.SGD(0.1, momentum=0.9)
    slow = keras.optimizers.SGD(0.2, momentum=0.5)
    inner = keras.optimizers.MultiOptimizer(lambda v: fast if v.path == "fast" else slow)
    optimizer = Proximal(inner, regularizers.L1(0.3))
    kernels = [keras.Variable(np.full((2, 2), 5.0, "float32"), name=n) for n in ("fast", "slow")]
    for _ in range(9):
        optimizer.apply([ops.full((2, 2), -0.3)] * 2, kernels)
    for kernel in kernels:
        np.testing.assert_allclose(ops.convert_to_numpy(kernel), 5.0, rtol=1e-5)


def test_it_is_saved_and_goes_on(tmp_path):
    def trained(epochs, model=None):
        if model is None:
            model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
            inner = keras.optimizers.SGD(0.1, momentum=0.9)
            model.compile(Proximal(inner, regularizers.L1(0.01)), "mse")
            model.layers[0].kernel.assign(np.arange(6).reshape(3, 2) / 5)
        x = np.eye(3, dtype="float32")
        model.fit(x, x[:, :2], epochs=epochs, shuffle=False, verbose=0)
        return model

    trained(2).save(tmp_path / "model.keras")
    resumed = trained(2, keras.models.load_model(tmp_path / "model.keras"))
    np.testing.assert_array_equal(resumed.get_weights()[0], trained(4).get_weights()[0])
