"""ScheduledDropout: state that every backend tracks, a rate that moves without a retrace."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg.layers import ScheduledDropout
from keras_reg.schedules import Linear

JIT = [False, "auto"]
if keras.backend.backend() != "torch":  # There True asks for torch.compile, which warns.
    JIT.append(True)


class Counting(Linear):
    """A schedule that counts how often Python runs it."""

    calls = 0

    def __call__(self, step):
        Counting.calls += 1
        return super().__call__(step)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def ones(*shape):
    return np.ones(shape, "float32")


def masks(layer, calls=1, shape=(20, 30)):
    """Which elements each of some training calls keeps."""
    x = ops.ones(shape)
    return [numpy(layer(x, training=True)) != 0 for _ in range(calls)]


def identity_model(dropout):
    """Input, dropout and a dense layer that changes nothing and does not learn."""
    dense = keras.layers.Dense(4, kernel_initializer="identity", use_bias=False)
    return keras.Sequential([keras.Input((4,)), dropout, dense])


def compiled_model(dropout, **kwargs):
    model = identity_model(dropout)
    model.compile(keras.optimizers.SGD(0.0), "mse", **kwargs)
    return model


def test_inference_is_the_identity_and_counts_nothing():
    layer = ScheduledDropout(0.9)
    x = ops.ones((3, 4))
    for y in (layer(x), layer(x, training=False)):
        np.testing.assert_array_equal(numpy(y), ones(3, 4))
    assert layer.step == 0


@pytest.mark.parametrize("jit_compile", JIT)
def test_step_advances_once_a_training_call(jit_compile):
    dropout = ScheduledDropout(0.5)
    model = compiled_model(dropout, jit_compile=jit_compile)
    model.fit(ones(12, 4), ones(12, 4), batch_size=4, epochs=2, verbose=0)
    assert dropout.step == 6
    model.train_on_batch(ones(4, 4), ones(4, 4))
    assert dropout.step == 7
    model.predict(ones(4, 4), verbose=0)
    model.evaluate(ones(4, 4), ones(4, 4), verbose=0)
    assert dropout.step == 7


def test_rate_moves_without_a_retrace():
    # Rate 0 in the first epoch (a perfect identity), 1 in the second (zeros).
    dropout = ScheduledDropout(Counting(0.0, 1.0, steps=1, delay=19))
    model = compiled_model(dropout)
    Counting.calls, calls = 0, []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: calls.append(Counting.calls)
    )
    fit = model.fit(ones(20, 4), ones(20, 4), batch_size=1, epochs=2, verbose=0, callbacks=[count])
    assert fit.history["loss"] == [0.0, 1.0]
    if keras.backend.backend() == "torch":  # Eager: Python runs on each batch.
        assert calls[-1] - calls[0] == 39
    else:
        assert calls[-1] == calls[0] > 0


@pytest.mark.parametrize(("rate", "expected"), [(-3.0, 1.0), (7.0, 0.0)])
def test_schedule_values_are_clipped(rate, expected):
    layer = ScheduledDropout(Linear(rate, rate, steps=1))
    np.testing.assert_array_equal(numpy(layer(ones(5, 5), training=True)), expected * ones(5, 5))


def test_a_seed_fixes_the_masks_of_every_step():
    first, second = (masks(ScheduledDropout(0.5, seed=7), calls=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_masks_differ_between_steps_and_seeds():
    drawn = masks(ScheduledDropout(0.5, seed=7), calls=3) + masks(ScheduledDropout(0.5, seed=8))
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert 0.4 < np.mean(one != other) < 0.6


def test_no_seed_repeats_after_set_random_seed_alone():
    def pair():
        return [masks(ScheduledDropout(0.5))[0] for _ in range(2)]

    keras.utils.set_random_seed(1)
    first = pair()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(first, pair())
    keras.utils.set_random_seed(2)
    assert np.any(first[0] != masks(ScheduledDropout(0.5))[0])
    assert np.any(first[0] != first[1])


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.75])
def test_stands_in_for_keras_dropout(rate):
    x = np.random.default_rng(0).standard_normal((400, 500)).astype("float32")
    ours, theirs = (
        numpy(layer(x, training=True))
        for layer in (ScheduledDropout(rate), keras.layers.Dropout(rate))
    )
    kept = (ours != 0) & (theirs != 0)
    np.testing.assert_allclose(ours[kept], theirs[kept], rtol=1e-6)
    spread = 5 * np.sqrt(2 * rate * (1 - rate) / x.size)
    assert abs(np.mean(ours != 0) - np.mean(theirs != 0)) <= spread
    assert abs(np.mean(ours - theirs)) <= spread / (1 - rate)


def test_rate_one_gives_zeros_and_no_nan():
    np.testing.assert_array_equal(
        numpy(ScheduledDropout(1)(ones(3, 4), training=True)), 0 * ones(3, 4)
    )


def test_none_in_noise_shape_is_the_length_of_the_input():
    (mask,) = masks(ScheduledDropout(0.5, noise_shape=(None, 1, 6)), shape=(40, 5, 6))
    np.testing.assert_array_equal(mask, np.broadcast_to(mask[:, :1], mask.shape))
    assert 0.3 < mask[:, 0].mean() < 0.7
    assert np.any(mask[0] != mask[1])


def test_none_in_noise_shape_follows_a_dynamic_batch():
    dropout = ScheduledDropout(0.5, noise_shape=(None, 1))
    model = compiled_model(dropout)
    model.fit(ones(10, 4), ones(10, 4), batch_size=4, verbose=0)
    assert dropout.step == 3


def test_ragged_last_batch():
    dropout = ScheduledDropout(1.0)
    fit = compiled_model(dropout).fit(ones(10, 4), ones(10, 4), batch_size=4, epochs=2, verbose=0)
    assert fit.history["loss"] == [1.0, 1.0]
    assert dropout.step == 6


def test_mask_passes_through():
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    embedding = keras.layers.Embedding(5, 2, mask_zero=True)
    inputs = keras.Input((3,), dtype="int32")
    embedded = ScheduledDropout(0.5)(embedding(inputs))
    pooled = keras.layers.GlobalAveragePooling1D()(embedded)
    mean = numpy(keras.Model(inputs, pooled)(tokens))
    vectors = numpy(embedding.embeddings)
    np.testing.assert_allclose(mean, [vectors[[1, 2]].mean(axis=0), vectors[3]], rtol=1e-5)


def test_a_saved_model_goes_on_where_it_stopped(tmp_path):
    model = identity_model(ScheduledDropout(Linear(0.1, 0.9, steps=10)))
    x = ops.ones((50, 4))
    for _ in range(4):
        model(x, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.layers[0].step == 4
    for _ in range(3):
        np.testing.assert_array_equal(
            numpy(again(x, training=True)), numpy(model(x, training=True))
        )


def test_saved_weights_hold_the_step_and_the_seed(tmp_path):
    model, other = (identity_model(ScheduledDropout(0.5)) for _ in range(2))
    x = ops.ones((50, 4))
    model(x, training=True)
    model.save_weights(tmp_path / "model.weights.h5")
    assert np.any(numpy(other(x, training=True)) != numpy(model(x, training=True)))
    other.load_weights(tmp_path / "model.weights.h5")
    assert other.layers[0].step == 1
    model.layers[0].step = 1
    np.testing.assert_array_equal(numpy(other(x, training=True)), numpy(model(x, training=True)))


@pytest.mark.parametrize("rate", [0.25, Linear(0.0, 0.5, steps=10, delay=2)])
def test_config_round_trip_is_equal(rate):
    layer = ScheduledDropout(rate, noise_shape=(None, 1), seed=3, name="dropped")
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"] == "keras_reg>ScheduledDropout"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is ScheduledDropout
    assert again.get_config() == layer.get_config()
    assert again.noise_shape == (None, 1)
    assert type(again.rate) is type(rate)


def test_a_clone_starts_anew_with_the_same_seed():
    model = identity_model(ScheduledDropout(0.5, seed=3))
    first = numpy(model(ops.ones((50, 4)), training=True))
    clone = keras.models.clone_model(model)
    assert clone.layers[0].step == 0
    np.testing.assert_array_equal(numpy(clone.layers[0](ops.ones((50, 4)), training=True)), first)


def test_all_state_is_that_of_one_seed_generator():
    layer = ScheduledDropout(0.5, seed=7)
    layer(ops.ones((3, 4)), training=True)
    assert layer.weights == []
    (state,) = layer.variables
    assert state is layer.seed_generator.state
    assert numpy(state).tolist() == [7, 1]


def test_weights_of_a_model_with_keras_dropout_fit(tmp_path):
    theirs, ours = (identity_model(kind(0.5)) for kind in (keras.layers.Dropout, ScheduledDropout))
    theirs.layers[1].set_weights([np.full((4, 4), 2.0)])
    theirs.save_weights(tmp_path / "model.weights.h5")
    ours.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(numpy(ours(ones(1, 4))), 8 * ones(1, 4))
    assert ours.layers[0].step == 0


def test_symbolic_call_keeps_shape_and_dtype():
    for shape in [(), (3,), (None, 5), (2, 3, 4, 5)]:
        output = ScheduledDropout(0.5)(keras.Input(shape, dtype="float32"))
        assert output.shape == (None, *shape)
        assert output.dtype == "float32"


def test_mixed_precision_keeps_counting_in_integers():
    layer = ScheduledDropout(0.5, dtype="mixed_float16")
    y = layer(ops.ones((40, 50)), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    assert set(np.unique(numpy(y)).tolist()) == {0.0, 2.0}
    assert "int" in layer.seed_generator.state.dtype
    layer.step = 4099  # float16 has no such number.
    layer(ops.ones((40, 50)), training=True)
    assert layer.step == 4100


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tests a TensorFlow API")
def test_counts_once_on_two_replicas():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        dropout = ScheduledDropout(Linear(0.0, 1.0, steps=1, delay=2))
        model = compiled_model(dropout)
    fit = model.fit(ones(12, 4), ones(12, 4), batch_size=4, epochs=2, verbose=0)
    assert fit.history["loss"] == [0.0, 1.0]
    states = strategy.experimental_local_results(dropout.seed_generator.state.value)
    assert [int(state[1]) for state in states] == [6, 6]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is its own")
def test_replicas_draw_masks_of_their_own():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        layer = ScheduledDropout(0.5, seed=1)
        layer.build((None, 64))
    call = tf.function(lambda: layer(tf.ones((4, 64)), training=True))
    first, second = strategy.experimental_local_results(strategy.run(call))
    agreement = np.mean((first.numpy() == 0) == (second.numpy() == 0))
    assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(256)


@pytest.mark.parametrize("rate", [-0.1, 1.1, np.nan, np.inf, None, "half", True])
def test_bad_rates_are_refused(rate):
    with pytest.raises(ValueError, match="Expected a float value between 0 and 1"):
        ScheduledDropout(rate)


@pytest.mark.parametrize("noise_shape", [4, "x", (0, 1), (-1, 2), (1.0, 2), (True, 2)])
def test_bad_noise_shapes_are_refused(noise_shape):
    with pytest.raises(ValueError, match="value received for argument `noise_shape`"):
        ScheduledDropout(0.5, noise_shape=noise_shape)


def test_noise_shape_of_another_rank_is_refused():
    layer = ScheduledDropout(0.5, noise_shape=(None, 1, 1), name="dropped")
    with pytest.raises(ValueError, match=r"layer dropped .*\(5, 4\). Received: .*\(None, 1, 1\)"):
        layer(ops.ones((5, 4)))


@pytest.mark.parametrize("seed", [-1, 2**31, 1.0, "x", True])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="Expected `seed` to be None, an int from 0 to"):
        ScheduledDropout(0.5, seed=seed)
