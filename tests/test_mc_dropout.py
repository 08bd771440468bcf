"""mc_dropout: training calls that are samples at the rate of one step."""

import contextlib
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import layers
from keras_reg.layers import mc_dropout
from keras_reg.schedules import Linear


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def after_training(model, x):
    """A training call that trains nothing, of which a warning tells unless gradients are on."""
    if keras.backend.backend() == "torch":
        return numpy(model(x, training=True))
    with pytest.warns(UserWarning, match="counts as one.*mc_dropout"):
        return numpy(model(x, training=True))


def dropped(rate, **kwargs):
    dropout = layers.ScheduledDropout(rate, seed=1)
    dense = keras.layers.Dense(40, kernel_initializer="identity", use_bias=False)
    model = keras.Sequential([keras.Input((40,)), dense, dropout])
    model.compile(keras.optimizers.SGD(0.0), "mse", **kwargs)
    return model, dropout


def test_samples_differ_at_one_rate_and_the_schedule_stands_still():
    model, dropout = dropped(Linear(0.0, 1.0, steps=8))
    x = np.ones((100, 40), "float32")
    model.fit(x, x, batch_size=50, verbose=0)
    before = numpy(dropout.seed_generator.state)
    with mc_dropout(model):
        assert (dropout.step, dropout.current_rate()) == (2, 0.25)
        kept = np.stack([numpy(model(x, training=True)).ravel() != 0 for _ in range(6)])
        assert (dropout.step, dropout.current_rate()) == (2, 0.25)
    np.testing.assert_array_equal(numpy(dropout.seed_generator.state), before)
    np.testing.assert_allclose(kept.mean(axis=1), 0.75, atol=0.035)  # 5 deviations
    agreement = (kept[:, None] == kept[None]).mean(axis=-1)
    np.testing.assert_allclose(agreement, 0.625 + 0.375 * np.eye(6), atol=0.04)
    # What follows in training is no sample seen before.
    following = after_training(model, x).ravel() != 0
    np.testing.assert_allclose((kept == following).mean(axis=1), 0.625, atol=0.04)


def test_a_step_that_was_compiled_before_reads_the_rate_too():
    # Rate 0 at step 0 and 1 from then on: zeros as soon as a count moves the schedule.
    model, dropout = dropped(Linear(0.0, 1.0, steps=1))
    x = np.ones((4, 40), "float32")
    model.train_on_batch(x, x)
    dropout.step = 0
    with pytest.warns(UserWarning, match="rate 0"), mc_dropout(model):
        losses = [float(model.train_on_batch(x, x)) for _ in range(3)]
    assert max(losses) < 1e-6
    assert dropout.step == 0


class AlwaysDrops(keras.Model):
    """Monte Carlo dropout by hand: it samples in `predict` too."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(40, kernel_initializer="identity")
        self.dropout = layers.ScheduledDropout(rate, seed=1)

    def call(self, x, training=False):
        return self.dropout(self.dense(x), training=True)


@pytest.mark.parametrize("rate", [0.5, Linear(0.5, 1.0, steps=8)])
def test_sampling_by_hand_in_predict_is_told_of_where_it_moves_a_schedule(rate):
    model, x = AlwaysDrops(rate), np.ones((4, 40), "float32")
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with alone():  # `fit` builds the model by a call that does not train.
        model.fit(x, x, verbose=0)
    # On JAX `predict` runs the model's `call` alone, of which a layer sees nothing.
    moves = isinstance(rate, Linear) and keras.backend.backend() != "jax"
    with pytest.warns(UserWarning, match="does not train.*mc_dropout") if moves else alone():
        model.predict(x, verbose=0)
    with alone():  # Once.
        model.predict(x, verbose=0)
    assert model.dropout.step == 3
    other = AlwaysDrops(rate)
    with alone(), mc_dropout(other):
        samples = [other.predict(x, verbose=0) for _ in range(2)]
        assert np.any(samples[0] != samples[1])
    assert other.dropout.step == 0


def alone():
    return contextlib.nullcontext()


def test_samples_that_would_all_be_alike_are_told_of():
    model, dropout = dropped(Linear(0.0, 1.0, steps=8))
    with pytest.warns(UserWarning, match="Received: rate 0 at step 0"), mc_dropout(model):
        pass
    dropout.step = 2
    with mc_dropout(model):  # A warning would be an error here.
        pass


def test_seeds_of_samples():
    model, _ = dropped(0.5)
    x, drawn = np.ones((10, 40), "float32"), []
    for seed in (0, 0, 1):
        with mc_dropout(model, seed=seed):
            drawn.append(numpy(model(x, training=True)))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.any(drawn[0] != drawn[2])


def test_the_state_comes_back_after_an_error():
    model, dropout = dropped(0.5)
    dropout.step = 7
    with pytest.raises(RuntimeError), mc_dropout(model):
        raise RuntimeError
    assert dropout.step == 7
    assert numpy(dropout.seed_generator.state).tolist() == [1, 7]


def test_what_cannot_be_sampled_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5)])
    none = pytest.raises(ValueError, match=r"Expected a model with layers of keras_reg\.layers")
    for wrong in (model, None):
        with none, mc_dropout(wrong):
            pass
    model, _ = dropped(0.5)
    for seed in (-1, 1.0, 2**31):
        refused = pytest.raises(ValueError, match="Expected `seed` to be an int")
        with refused, mc_dropout(model, seed=seed):
            pass


@pytest.mark.parametrize("rate", [Linear(0.0, 1.0, steps=8), 0.5])
def test_samples_that_move_a_schedule_are_told_of_once(rate):
    model, dropout = dropped(rate)
    x = np.ones((4, 40), "float32")
    without_gradients = torch_gradients = contextlib.nullcontext
    if keras.backend.backend() == "torch":
        import torch

        without_gradients, torch_gradients = torch.no_grad, torch.enable_grad
    with warnings.catch_warnings(record=True) as caught, without_gradients():
        warnings.simplefilter("always")
        model(x, training=True)  # Nothing says yet that this is no training.
        with torch_gradients():
            model.fit(x, x, batch_size=2, verbose=0)
        with mc_dropout(model):
            model(x, training=True)
        early = len(told(caught))
        for _ in range(2):
            model(x, training=True)
    assert (early, len(told(caught))) == (0, int(callable(rate)))
    assert dropout.step == 5


def told(caught):
    return [each for each in caught if "mc_dropout" in str(each.message)]
