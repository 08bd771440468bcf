"""Refit: within one `fit`, what compiling the sparse model anew with FixedSupport does."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops
from small_model import data, dense_model, weights_of

from keras_reg import regularizers, schedules
from keras_reg.callbacks import Refit, TargetSparsity
from keras_reg.optimizers import FixedSupport, Proximal

BACKEND = keras.backend.backend()
# Updates in an epoch of `data()`.
BATCH = 16
L1 = regularizers.L1(2.0)


def fit(model, *callbacks, epochs, initial_epoch=0):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Every weight of")
        return model.fit(
            *data(),
            batch_size=BATCH,
            epochs=epochs,
            initial_epoch=initial_epoch,
            shuffle=False,
            verbose=0,
            callbacks=list(callbacks),
        )


def new_model(optimizer, **arguments):
    keras.utils.set_random_seed(1)
    model = dense_model()
    model.compile(optimizer, "mse", **arguments)
    return model


def rate(start=0.02, steps=40):
    return keras.optimizers.schedules.CosineDecay(start, steps)


def assert_same_weights(one, two, **tolerances):
    for a, b in zip(weights_of(one), weights_of(two), strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 1e-5, "atol": 1e-7} | tolerances))


OPTIMIZERS = {
    "Adam": lambda rate: keras.optimizers.Adam(rate),
    "amsgrad": lambda rate: keras.optimizers.Adam(rate, amsgrad=True, weight_decay=0.01),
    "Nadam": lambda rate: keras.optimizers.Nadam(rate),
    "Adagrad": lambda rate: keras.optimizers.Adagrad(rate),
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "accumulation": lambda rate: keras.optimizers.Adam(rate, gradient_accumulation_steps=3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_is_what_compiling_anew_with_a_fixed_support_is(name):
    make = OPTIMIZERS[name]
    straight = new_model(Proximal(make(rate()), L1))
    fit(straight, Refit(at=3), epochs=6)
    anew = new_model(Proximal(make(rate()), L1))
    fit(anew, epochs=3)
    zeros = [w == 0 for w in weights_of(anew)]
    anew.compile(FixedSupport(make(rate())), "mse")
    fit(anew, epochs=3)
    assert 5 < sum(map(np.sum, zeros)) < 60
    assert_same_weights(straight, anew)
    for w, zero in zip(weights_of(straight), zeros, strict=True):
        assert np.all(w[zero] == 0)
    optimizer = straight.optimizer
    assert float(ops.convert_to_numpy(optimizer.strength_scale)) == 0.0
    assert optimizer.support_is_fixed


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (0.02, None, 0.02),
        (0.02, 0.005, 0.005),
        (rate(), 0.005, 0.005),
        (rate(), rate(0.01, 15), rate(0.01, 15)),
    ],
)
def test_learning_rate_of_the_refit(own, given, expected):
    straight = new_model(Proximal(keras.optimizers.Adam(own), L1))
    fit(straight, Refit(at=0.5, learning_rate=given), epochs=4)
    anew = new_model(Proximal(keras.optimizers.Adam(own), L1))
    fit(anew, epochs=2)
    anew.compile(FixedSupport(keras.optimizers.Adam(expected)), "mse")
    fit(anew, epochs=2)
    assert_same_weights(straight, anew)


def test_averages_of_weights_keep_the_zeros():
    model = new_model(Proximal(keras.optimizers.Adam(rate(), use_ema=True), L1))
    zeros = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            zeros.append([w == 0 for w in weights_of(self.model)])

    fit(model, Refit(at=3), Look(), epochs=6)
    assert 10 < sum(map(np.sum, zeros[2])) < 60
    # Keras puts the averages in the place of the weights at the end.
    for w, zero in zip(weights_of(model), zeros[2], strict=True):
        assert np.array_equal(w == 0, zero) or w.ndim == 1


def test_weights_without_a_penalty_are_free():
    model = new_model(Proximal("adam", {"hidden/kernel": L1}))
    out = next(v for v in model.trainable_variables if v.path.endswith("out/kernel"))
    out.assign(np.zeros(out.shape))
    fit(model, Refit(at=1), epochs=2)
    assert np.all(ops.convert_to_numpy(out) != 0)


def test_pruned_weights_stay_pruned():
    model = new_model(Proximal(keras.optimizers.Adam(0.01), regularizers.TopK(0.75)))
    fit(model, epochs=2)
    before = weights_of(model)
    fit(model, Refit(at=2), epochs=4, initial_epoch=2)
    for old, new in zip(before, weights_of(model), strict=True):
        assert np.array_equal(old == 0, new == 0) or old.ndim == 1


def test_a_saved_refit_goes_on_without_the_callback(tmp_path):
    model = new_model(Proximal(keras.optimizers.Adam(rate()), L1))
    fit(model, Refit(at=2, learning_rate=rate(0.01)), epochs=3)
    zeros = [w == 0 for w in weights_of(model)]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.support_is_fixed
    for each in (model, again):
        fit(each, epochs=2)
    assert_same_weights(model, again, rtol=0, atol=0)
    assert all(np.all(w[zero] == 0) for w, zero in zip(weights_of(again), zeros, strict=True))


class Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise InterruptedError


@pytest.mark.parametrize("stopped", [2, 3, 4])
def test_a_run_that_is_resumed_is_as_if_it_had_not_stopped(tmp_path, stopped):
    def parts():
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        refit = Refit(at=3, learning_rate=rate(0.01, 30))
        return new_model(Proximal(keras.optimizers.Adam(rate()), L1)), refit, backup

    straight, refit, _ = parts()
    fit(straight, refit, epochs=6)
    killed, refit, backup = parts()
    with pytest.raises(InterruptedError):
        fit(killed, refit, backup, Stop(stopped), epochs=6)
    resumed, refit, backup = parts()
    fit(resumed, refit, backup, epochs=6)
    assert_same_weights(straight, resumed, rtol=0, atol=0)
    for one, two in zip(straight.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(two))


# Five epochs of two batches do not reach the target on every backend.
@pytest.mark.filterwarnings("ignore:The refit begins at a sparsity:UserWarning")
def test_steering_ends_where_the_refit_begins():
    model = new_model(Proximal(keras.optimizers.Adam(rate(steps=30)), regularizers.L1(0.1)))
    history = fit(model, TargetSparsity(0.5, 5), Refit(at=5), epochs=8).history
    assert history["strength_scale"][4] > 0
    assert history["strength_scale"][5:] == [0.0] * 3


def test_inside_a_loss_scale_optimizer():
    model = new_model(
        keras.optimizers.LossScaleOptimizer(Proximal(keras.optimizers.Adam(0.02), L1))
    )
    fit(model, Refit(at=2), epochs=3)
    assert Proximal.of(model).support_is_fixed


def test_round_several_optimizers():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")

    def several():
        map_ = keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.02))
        map_["hidden/.*"] = keras.optimizers.SGD(rate(0.02), momentum=0.9)
        return keras.optimizers.MultiOptimizer(map_)

    straight = new_model(Proximal(several(), L1))
    fit(straight, Refit(at=3), epochs=5)
    anew = new_model(Proximal(several(), L1))
    fit(anew, epochs=3)
    anew.compile(FixedSupport(several()), "mse")
    fit(anew, epochs=2)
    assert_same_weights(straight, anew)
    with pytest.raises(ValueError, match="None for a MultiOptimizer"):
        fit(new_model(Proximal(several(), L1)), Refit(at=1, learning_rate=0.1), epochs=2)


@pytest.mark.parametrize("at", [0, -1, 0.0, 1.0, 1.5, True, None, "half", np.nan])
def test_bad_epoch_is_refused(at):
    with pytest.raises(ValueError, match="`at`"):
        Refit(at=at)


@pytest.mark.parametrize("given", [0, -0.1, "cosine", np.inf, True])
def test_bad_learning_rate_is_refused(given):
    with pytest.raises(ValueError, match="`learning_rate`"):
        Refit(at=1, learning_rate=given)


def test_numpy_numbers_are_accepted():
    refit = Refit(at=np.int64(3), learning_rate=np.float32(0.5))
    assert (refit.at, refit.learning_rate) == (3, 0.5)


def test_no_proximal_is_refused():
    with pytest.raises(ValueError, match="Proximal"):
        fit(new_model("sgd"), Refit(at=1), epochs=2)


def test_a_schedule_for_an_optimizer_that_has_none_is_refused_before_training():
    model = new_model(Proximal("adam", L1))
    before = weights_of(model)
    with pytest.raises(ValueError, match="Expected a number for `learning_rate`"):
        fit(model, Refit(at=1, learning_rate=rate()), epochs=2)
    assert_same_weights_as(before, model)


def assert_same_weights_as(before, model):
    for one, two in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_fit_that_ends_before_is_warned_of():
    with pytest.warns(UserWarning, match="no effect in a `fit` that ends after 2"):
        fit(new_model(Proximal("adam", regularizers.L1(0.01))), Refit(at=2), epochs=2)


def test_a_second_training_needs_another_compile():
    model = new_model(Proximal("adam", L1))
    fit(model, Refit(at=1), epochs=2)
    with pytest.raises(ValueError, match="compile it anew"):
        fit(model, Refit(at=1), epochs=2)
    fit(model, Refit(at=1), epochs=3, initial_epoch=2)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_refit_too():
    import tensorflow as tf

    devices = ["CPU:0", "CPU:1"]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        model = new_model(Proximal(keras.optimizers.Adam(rate()), L1))
        fit(model, epochs=2)
        before = weights_of(model)
        fit(model, Refit(at=2), epochs=4, initial_epoch=2)
    assert 5 < sum(np.sum(w == 0) for w in before) < 60
    for old, new in zip(before, weights_of(model), strict=True):
        assert np.array_equal(old == 0, new == 0) or old.ndim == 1


def test_a_schedule_of_this_package_starts_again():
    falling = schedules.Linear(0.05, 0.0, steps=8)
    straight = new_model(Proximal(keras.optimizers.SGD(falling), L1))
    fit(straight, Refit(at=2), epochs=3)
    held = weights_of(straight)
    fit(straight, Refit(at=2), epochs=4, initial_epoch=3)
    assert any(np.any(a != b) for a, b in zip(held, weights_of(straight), strict=True))
