"""compact(model, keep_optimizer=True): training goes on as it would have."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_reg as kr

KEPT = np.array([0, 2, 5])
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9, clipnorm=1.0),
    "adam": lambda: keras.optimizers.Adam(0.05, amsgrad=True),
    "fixed": lambda: kr.optimizers.FixedSupport(keras.optimizers.Nadam(0.05, use_ema=True)),
    "several": lambda: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.RMSprop(0.01), {".*a/kernel": keras.optimizers.SGD(0.1)}
        )
    ),
    "latent": lambda: kr.optimizers.Proximal(
        keras.optimizers.Adam(0.05), {"a/kernel": kr.regularizers.NM(2, 4)}, latent=True
    ),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        kr.optimizers.Proximal(
            keras.optimizers.SGD(0.05, momentum=0.5),
            {"b/kernel": kr.regularizers.L1(0.02), "out/kernel": kr.regularizers.L2(0.1)},
        )
    ),
}


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 4)).astype("float32")
    return x, rng.normal(size=(8, 2)).astype("float32")


def network():
    """Units of `a` other than KEPT are dead: 0 in, 0 out, and no gradient through their ReLU."""
    keras.backend.clear_session()
    model = keras.Sequential([keras.Input((4,))], name="net")
    model.add(layers.Dense(6, activation="relu", name="a"))
    model.add(layers.Dense(5, activation="relu", name="b"))
    model.add(layers.Dense(2, name="out"))
    dead = np.setdiff1d(np.arange(6), KEPT)
    kernel, bias, *others = model.get_weights()
    kernel[:, dead] = bias[dead] = 0
    model.set_weights([kernel, bias, *others])
    return model


def cut(array):
    """What is left of the weights of `network`, and of state of their shapes."""
    array = np.array(ops.convert_to_numpy(array))
    if array.shape in ((4, 6), (6,)):
        return array[..., KEPT]
    return array[KEPT] if array.shape == (6, 5) else array


def assert_equal(small, model):
    pairs = zip(
        [*small.weights, *small.optimizer.variables],
        [*model.weights, *model.optimizer.variables],
        strict=True,
    )
    for one, other in pairs:
        np.testing.assert_allclose(ops.convert_to_numpy(one), cut(other), rtol=1e-5, atol=1e-6)


# PyTorch compiles nothing, so it takes them all.
TRIED = OPTIMIZERS if keras.backend.backend() == "torch" else ("fixed", "scaled")


@pytest.mark.parametrize("name", TRIED)
def test_steps_are_those_of_the_larger_model(name):
    if name == "several" and not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    model, (x, y) = network(), data()
    model.compile(OPTIMIZERS[name](), "mse", metrics=["mae"])
    model.fit(x, y, verbose=0)
    small = kr.compact(model, keep_optimizer=True)
    assert small.layers[0].units == len(KEPT)
    assert_equal(small, model)
    for one in (model, small):
        history = one.fit(x, y, epochs=2, verbose=0).history
        assert set(history) == {"loss", "mae"}
    assert int(ops.convert_to_numpy(small.optimizer.iterations)) == 3
    assert_equal(small, model)


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_penalties_on_channels_act_on_those_that_are_left():
    model, (x, y) = network(), data()
    penalty = kr.regularizers.GroupLasso(1.5, size_scaling=False)
    groups = kr.channels(model).matching("a").weighted(by="parameters")
    rules = {groups: penalty, "out/kernel": kr.regularizers.L1(0.01)}
    model.compile(kr.optimizers.Proximal(keras.optimizers.SGD(0.1), rules), "mse")
    model.fit(x, y, verbose=0)
    small = kr.compact(model, keep_optimizer=True)
    assert small.layers[0].units == len(KEPT)
    for one in (model, small):
        one.fit(x, y, epochs=8, verbose=0)
    assert_equal(small, model)
    kernel = np.array(ops.convert_to_numpy(small.layers[0].kernel))
    columns = np.all(kernel == 0, axis=0)
    assert columns.any()
    smaller = kr.compact(small, keep_optimizer=True)
    assert smaller.layers[0].units == max(1, len(KEPT) - columns.sum())


def test_a_refit_goes_on(tmp_path):
    model, (x, y) = network(), data()
    model.compile(kr.optimizers.Proximal("sgd", kr.regularizers.L1(0.5)), "mse")
    model.fit(x, y, verbose=0)
    model.optimizer.fix_support()
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    for one in (model, loaded):
        small = kr.compact(one, keep_optimizer=True)
        assert small.optimizer.support_is_fixed
        small.fit(x, y, verbose=0)


def test_a_function_as_a_loss_and_an_optimizer_that_was_never_called():
    model, (x, y) = network(), data()

    def loss(y, prediction):
        return ops.mean(ops.abs(y - prediction), axis=-1)

    model.compile("adam", loss, metrics=[keras.metrics.MeanSquaredError()])
    small = kr.compact(model, keep_optimizer=True)
    assert small.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))
    assert int(ops.convert_to_numpy(small.optimizer.iterations)) == 0


def test_what_cannot_be_kept_is_said():
    model, (x, y) = network(), data()
    with pytest.raises(ValueError, match="Expected a compiled model"):
        kr.compact(model, keep_optimizer=True)
    model.compile("adafactor", "mse")
    model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="state has the shapes of the weights"):
        kr.compact(model, keep_optimizer=True)
