"""Proximal in the many shapes of models and of training that Keras has."""

import keras
import numpy as np
import pytest
from keras import ops
from small_model import data, dense_model, fit, weights_of

from keras_reg import regularizers
from keras_reg.optimizers import Proximal
from keras_reg.structure import is_kernel

BACKEND = keras.backend.backend()
STRENGTH, RATE = 0.5, 0.1


def one_batch(build, optimizer, batch=None):
    """The trained variables of a model after one step from a fixed start."""
    keras.utils.set_random_seed(1)
    model = build()
    model.compile(optimizer, "mse")
    model.train_on_batch(*(batch or data(16)))
    return model.trainable_variables


def assert_prox_follows(build, new=lambda: keras.optimizers.SGD(RATE), batch=None):
    """One step with Proximal is the plain step, then the prox of every kernel, once."""
    penalty = regularizers.L1(STRENGTH)
    plain = one_batch(build, new(), batch)
    penalized = one_batch(build, Proximal(new(), penalty), batch)
    zeros = 0
    for before, after in zip(plain, penalized, strict=True):
        expected = penalty.prox(before, step=RATE) if is_kernel(before) else before
        actual, expected = (ops.convert_to_numpy(x) for x in (after, expected))
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
        zeros += np.sum(actual == 0) if is_kernel(before) else 0
    assert zeros > 0


@pytest.mark.parametrize(
    "kwargs",
    [{"clipnorm": 0.1}, {"clipvalue": 0.01}, {"global_clipnorm": 0.1}, {"weight_decay": 0.5}],
    ids=lambda kwargs: next(iter(kwargs)),
)
def test_clipping_and_weight_decay(kwargs):
    assert_prox_follows(dense, lambda: keras.optimizers.SGD(RATE, **kwargs))


def dense():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(8), keras.layers.Dense(1)])


def shared():
    inputs, layer = keras.Input((6,)), keras.layers.Dense(6, activation="tanh")
    return keras.Model(inputs, keras.layers.Dense(1)(layer(layer(inputs))))


def nested():
    return keras.Sequential([keras.Input((6,)), shared(), keras.layers.Dense(1)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))


def lora():
    model = dense()
    model.layers[0].enable_lora(2, b_initializer="glorot_uniform")
    return model


@pytest.mark.parametrize("build", [shared, nested, Subclassed, lora])
def test_models_of_every_shape(build):
    assert_prox_follows(build)


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_lora_spares_the_frozen_kernel():
    model = lora()
    frozen = model.layers[0]._kernel
    before = ops.convert_to_numpy(frozen)
    model.compile(Proximal("sgd", {"dense.*/lora_kernel_.": regularizers.L1(1e3)}), "mse")
    fit(model, epochs=1)
    np.testing.assert_array_equal(ops.convert_to_numpy(frozen), before)
    assert not np.any(ops.convert_to_numpy(model.layers[0].lora_kernel_a))


def embedding():
    table = keras.layers.Embedding(30, 4)
    layers = [keras.Input((3,), dtype="int32"), table, keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(1)])


@pytest.mark.parametrize("kwargs", [{}, {"clipnorm": 1.0}])
def test_embedding_with_sparse_gradients(kwargs):
    batch = np.array([[1, 2, 2], [7, 1, 3]]), np.ones((2, 1), "float32")
    assert_prox_follows(embedding, lambda: keras.optimizers.SGD(RATE, **kwargs), batch)


def test_rows_of_an_embedding_that_nothing_looks_up_become_zero():
    model = embedding()
    inner = keras.optimizers.Adam(0.01)
    model.compile(Proximal(inner, {"embedding.*": regularizers.GroupLasso(0.3, -2)}), "mse")
    model.fit(np.array([[1, 2, 2], [7, 1, 3]]), np.ones((2, 1)), epochs=20, verbose=0)
    rows = np.any(model.get_weights()[0], axis=1)
    assert not rows[[0, *range(8, 30)]].any()
    assert rows[[1, 2, 3, 7]].any()


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"steps_per_execution": 2}])
def test_other_executions_equal_fit(how):
    if BACKEND == "torch" and "steps_per_execution" in how:
        pytest.skip("Keras takes one step at a time on PyTorch")
    results = []
    for kwargs in ({}, how):
        keras.utils.set_random_seed(1)
        model = dense_model()
        optimizer = Proximal(keras.optimizers.Adam(1e-2), regularizers.L1(0.5))
        model.compile(optimizer, "mse", **kwargs)
        fit(model)
        assert int(optimizer.iterations) == 8
        results.append(weights_of(model))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
        assert np.array_equal(one == 0, two == 0)
    assert np.any(results[0][0] == 0)


def test_reduce_on_plateau_and_assignment_change_the_step():
    model = dense()
    model.compile(Proximal(keras.optimizers.SGD(0.5), regularizers.L1(0.01)), "mse")
    x = np.zeros((16, 6), "float32")  # No gradient reaches the kernel of the first layer.
    plateau = keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=0, min_delta=1e9)

    def largest_step(**kwargs):
        before = model.get_weights()[0]
        model.fit(x, np.zeros((16, 1)), batch_size=16, verbose=0, **kwargs)
        return np.max(np.abs(model.get_weights()[0] - before))

    assert largest_step() == pytest.approx(0.005, rel=1e-3)
    model.fit(x, np.zeros((16, 1)), epochs=2, batch_size=16, verbose=0, callbacks=[plateau])
    rate = float(ops.convert_to_numpy(model.optimizer.inner_optimizer.learning_rate))
    assert rate < 0.1
    assert largest_step() == pytest.approx(rate * 0.01, rel=1e-2)
    model.optimizer.learning_rate = 1.0
    assert largest_step() == pytest.approx(0.01, rel=1e-3)


def test_two_optimizers_of_a_gan_each_act_on_their_own():
    generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(6)], name="generator")
    critic = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)]
    )
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    # At 1e3 times the learning rate all weights become zero, at 0.5 times some.
    critic.compile(Proximal(keras.optimizers.Adam(0.01), regularizers.L1(0.5)), loss)
    x = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
    critic.train_on_batch(x, np.ones((8, 1)))
    trained = weights_of(critic)
    critic.trainable = False
    both = keras.Sequential([keras.Input((3,)), generator, critic])
    both.compile(Proximal(keras.optimizers.Adam(0.01), regularizers.L1(1e3)), loss)
    for _ in range(2):
        both.train_on_batch(x[:, :3], np.ones((8, 1)))
        assert not np.any(generator.get_weights()[0])
        for one, two in zip(trained, critic.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
        critic.trainable = True
        critic.train_on_batch(x, np.ones((8, 1)))
        critic.trainable = False
        trained = critic.get_weights()


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_layers_frozen_and_thawed_between_fits():
    model = dense_model()
    hidden = model.get_layer("hidden")
    start, hidden.trainable = weights_of(model)[0], False
    penalty = regularizers.L1(1e3)
    model.compile(Proximal(keras.optimizers.SGD(RATE), penalty), "mse")
    fit(model, epochs=1)
    np.testing.assert_array_equal(hidden.get_weights()[0], start)
    assert not np.any(model.get_layer("out").get_weights()[0])
    hidden.trainable = True
    model.compile(Proximal(keras.optimizers.SGD(RATE), penalty), "mse")
    fit(model, epochs=1)
    assert not np.any(hidden.get_weights()[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("metric", ["euclidean", "adaptive"])
def test_non_finite_weight_or_gradient_stays_visible(bad, metric):
    inners = [keras.optimizers.Adam, keras.optimizers.Adagrad]
    if metric == "euclidean":
        inners += [keras.optimizers.SGD, keras.optimizers.Adamax, keras.optimizers.Nadam]
    for new in inners:
        for start, gradient in ((bad, 0.0), (1.0, bad)):
            variable = keras.Variable([[start, 1.0]], name="kernel")
            optimizer = Proximal(new(0.1, use_ema=True), regularizers.L1(1e3), metric=metric)
            optimizer.apply([ops.convert_to_tensor([[gradient, 0.0]])], [variable])
            first, second = ops.convert_to_numpy(variable)[0]
            assert second == 0
            averages = [v for v in optimizer.variables if v.path.endswith("_average")]
            for value in (first, ops.convert_to_numpy(averages[0])[0, 0]):
                assert not np.isfinite(value), (new, start, gradient)


def test_mixed_float16_skips_step_and_prox_alike():
    keras.utils.set_random_seed(1)
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = dense()
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    model.compile(Proximal(keras.optimizers.SGD(0.01), regularizers.L1(1e3)), "mse")
    if BACKEND == "tensorflow":
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    before = weights_of(model)
    x, y = data(16)
    model.train_on_batch(x * 1e30, y)  # Infinite in float16.
    for one, two in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(one, two)
    model.train_on_batch(x, y)
    assert not np.any(weights_of(model)[0])
