"""The dropout layers in the place of Keras's: what Keras's own tests ask, and what each one is."""

import itertools

import keras
import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from keras_reg import layers, schedules

# Class, arguments beside the rate, and the shape of an input.
CASES = {
    "Dropout": (layers.ScheduledDropout, {}, (20, 30)),
    "Dropout noise_shape": (layers.ScheduledDropout, {"noise_shape": (None, 1, 4)}, (20, 3, 4)),
    "AlphaDropout": (layers.ScheduledAlphaDropout, {}, (20, 30)),
    "GaussianDropout": (layers.ScheduledGaussianDropout, {}, (20, 30)),
    "SpatialDropout1D": (layers.ScheduledSpatialDropout1D, {}, (20, 3, 4)),
    "SpatialDropout2D": (layers.ScheduledSpatialDropout2D, {}, (20, 3, 4, 5)),
    "SpatialDropout2D first": (
        layers.ScheduledSpatialDropout2D,
        {"data_format": "channels_first"},
        (20, 3, 4, 5),
    ),
    "SpatialDropout3D": (layers.ScheduledSpatialDropout3D, {}, (20, 3, 4, 4, 5)),
    "SpatialDropout3D first": (
        layers.ScheduledSpatialDropout3D,
        {"data_format": "channels_first"},
        (20, 3, 4, 4, 5),
    ),
    "DropPath": (layers.ScheduledDropPath, {}, (20, 3, 4)),
    "DropBlock2D": (layers.ScheduledDropBlock2D, {"block_size": 3}, (20, 6, 9, 5)),
    "DropBlock2D first": (
        layers.ScheduledDropBlock2D,
        {"block_size": 3, "data_format": "channels_first"},
        (20, 5, 6, 9),
    ),
}
each = pytest.mark.parametrize("case", CASES)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def made(case, rate=0.4, **kwargs):
    cls, arguments, shape = CASES[case]
    return cls(rate, **arguments, **kwargs), shape


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@each
def test_a_layer_is_built_keeps_shape_and_dtype_and_has_one_seed_generator(case):
    layer, shape = made(case)
    assert layer.built
    assert layer.supports_masking
    assert (layer.trainable_weights, layer.losses) == ([], [])
    assert [v is layer.seed_generator.state for v in layer.variables] == [True]
    assert layer.compute_output_shape(shape) == shape
    symbolic = layer(keras.Input(shape[1:]), training=True)
    assert (symbolic.shape, symbolic.dtype) == ((None, *shape[1:]), "float32")
    y = layer(ops.ones(shape), training=True)
    assert tuple(y.shape) == shape
    assert keras.backend.standardize_dtype(y.dtype) == "float32"


@each
def test_inference_is_the_identity(case):
    layer, shape = made(case)
    x = normal(shape)
    for y in (layer(x), layer(x, training=False)):
        np.testing.assert_array_equal(numpy(y), x)
    assert layer.step == 0


@each
def test_config_round_trip_is_equal_and_draws_alike(case):
    rate = schedules.Cosine(0.1, 0.6, steps=10, delay=2)
    layer, shape = made(case, rate, seed=3, name="dropped")
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"] == f"keras_reg>{type(layer).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == layer.get_config()
    x = normal(shape)
    for _ in range(3):
        np.testing.assert_array_equal(
            numpy(again(x, training=True)), numpy(layer(x, training=True))
        )


@each
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_draws_the_same_mask(case, policy):
    layer, shape = made(case, seed=1, dtype=policy)
    y = layer(ops.ones(shape), training=True)
    wanted = numpy(made(case, seed=1)[0](ops.ones(shape), training=True))
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert "int" in layer.seed_generator.state.dtype
    np.testing.assert_allclose(numpy(ops.cast(y, "float32")), wanted, rtol=1e-2, atol=1e-2)


@each
@pytest.mark.parametrize("rate", [-0.5, 1.5])
def test_rates_out_of_range_are_refused(case, rate):
    with pytest.raises(ValueError, match="Expected a float value between 0 and 1"):
        made(case, rate)


@each
def test_rate_zero_is_the_input(case):
    layer, shape = made(case, 0.0)
    x = normal(shape)
    np.testing.assert_allclose(numpy(layer(x, training=True)), x, rtol=1e-6)


@each
def test_rate_one_has_no_nan(case):
    layer, shape = made(case, 1.0)
    y = numpy(layer(normal(shape), training=True))
    assert np.all(np.isfinite(y))
    if "Gaussian" not in case and "Block" not in case:
        np.testing.assert_array_equal(y, np.zeros(shape))


@each
def test_the_gradient_is_that_of_the_mask_of_the_forward_pass(case):
    layer, shape = made(case, seed=5)
    other, _ = made(case, seed=5)
    x, weights = normal(shape), ops.convert_to_tensor(normal(shape, seed=1))

    def loss(x):
        # Restarts, as whatever differentiates may run the function more than once.
        layer.step = 0
        return ops.sum(layer(x, training=True) * weights)

    if keras.backend.backend() == "jax":

        def loss(x):
            state = [variable.value for variable in layer.non_trainable_variables]
            return ops.sum(layer.stateless_call([], state, x, training=True)[0] * weights)

    _, gradient = value_and_gradient(loss, x)
    # Affine in x: the difference of two inputs, at the same step, is the mask times theirs.
    at_x = numpy(other(x, training=True)).astype("float64")
    other.step = 0
    at_zero = numpy(other(np.zeros_like(x), training=True)).astype("float64")
    np.testing.assert_allclose(
        gradient * x, (at_x - at_zero) * numpy(weights), rtol=1e-3, atol=1e-4
    )


@each
def test_set_random_seed_repeats_and_generators_count(case):
    def drawn(**kwargs):
        layer, shape = made(case, **kwargs)
        return numpy(layer(ops.ones(shape), training=True))

    keras.utils.set_random_seed(1)
    first = drawn()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(first, drawn())
    pairs = []
    for _ in range(2):
        generator = keras.random.SeedGenerator(7)
        pairs.append([drawn(seed=generator), drawn(seed=generator)])
    np.testing.assert_array_equal(pairs[0], pairs[1])
    assert np.any(pairs[0][0] != pairs[0][1])


def test_a_generator_leaves_an_int_in_the_config():
    layer = layers.ScheduledDropout(0.5, seed=keras.random.SeedGenerator(7))
    assert type(layer.get_config()["seed"]) is int
    assert numpy(layer.seed_generator.state).tolist() == [layer.seed, 0]


def shared_axes(case):
    """The axes along which a mask is the same."""
    rank = len(CASES[case][2])
    if "Spatial" in case:
        return tuple(range(2, rank)) if "first" in case else tuple(range(1, rank - 1))
    return {"DropPath": (1, 2), "Dropout noise_shape": (1,)}[case]


SHARED = [
    case for case in CASES if "Spatial" in case or case in ("DropPath", "Dropout noise_shape")
]


@pytest.mark.parametrize("case", SHARED)
def test_a_mask_is_shared_along_axes_and_no_others(case):
    layer, shape = made(case, 0.5)
    y = numpy(layer(ops.ones(shape), training=True))
    first = y.take(indices=[0], axis=shared_axes(case)[0])
    for axis in shared_axes(case)[1:]:
        first = first.take(indices=[0], axis=axis)
    np.testing.assert_array_equal(y, np.broadcast_to(first, shape))
    assert set(np.unique(first)) == {0.0, 2.0}
    for axis in set(range(len(shape))) - set(shared_axes(case)):
        assert np.any(np.diff(first, axis=axis) != 0)


def test_alpha_dropout_keeps_mean_and_variance():
    x = normal((500, 500))
    y = numpy(layers.ScheduledAlphaDropout(0.3, seed=1)(x, training=True))
    assert abs(y.mean()) < 0.01
    assert abs(y.std() - 1) < 0.01


def test_alpha_dropout_is_that_of_keras():
    # Their mask is another; its values are the same two lines.
    x = normal((200, 200))
    ours = numpy(layers.ScheduledAlphaDropout(0.3, seed=1)(x, training=True))
    theirs = numpy(keras.layers.AlphaDropout(0.3, seed=1)(x, training=True))
    dropped = [np.isclose(y, np.median(y[np.isclose(y, y.min(), atol=1)])) for y in (ours, theirs)]
    values, counts = np.unique(theirs.round(5), return_counts=True)
    saturated = values[counts.argmax()]
    both = ~np.isclose(ours, saturated, atol=1e-4) & ~np.isclose(theirs, saturated, atol=1e-4)
    assert dropped[0].shape == dropped[1].shape
    np.testing.assert_allclose(ours[both], theirs[both], rtol=1e-4, atol=1e-5)
    share = [np.mean(np.isclose(y, saturated, atol=1e-4)) for y in (ours, theirs)]
    assert abs(share[0] - share[1]) < 5 * np.sqrt(2 * 0.3 * 0.7 / x.size)


def test_gaussian_dropout_has_the_deviation_of_keras():
    y = numpy(layers.ScheduledGaussianDropout(0.3, seed=1)(np.ones((200, 500)), training=True))
    assert abs(y.mean() - 1) < 0.01
    assert abs(y.std() - np.sqrt(0.3 / 0.7)) < 0.01


def zero_blocks(dropped, block):
    """What a map would be if every full block of zeros in it were dropped."""
    found = np.zeros_like(dropped)
    rows, columns = (min(block, n) for n in dropped.shape)
    for i, j in itertools.product(
        *(range(n - b + 1) for n, b in zip(dropped.shape, (rows, columns), strict=True))
    ):
        if dropped[i : i + rows, j : j + columns].all():
            found[i : i + rows, j : j + columns] = True
    return found


@pytest.mark.parametrize("size", [(8, 8), (5, 11), (12, 6), (2, 9), (3, 3), (1, 1)])
@pytest.mark.parametrize("block", [1, 3, 4])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_drop_block_drops_whole_blocks_each_channel_its_own(size, block, data_format):
    first = data_format == "channels_first"
    shape = (30, 4, *size) if first else (30, *size, 4)
    layer = layers.ScheduledDropBlock2D(0.3, block, data_format=data_format, seed=2)
    y = numpy(layer(ops.ones(shape), training=True))
    maps = (y if first else np.moveaxis(y, -1, 1)) == 0
    for one in maps.reshape(-1, *size):
        np.testing.assert_array_equal(zero_blocks(one, block), one)
    assert np.any(maps[:, 0] != maps[:, 1])
    # Scaled to the same sum of ones.
    np.testing.assert_allclose(y.mean(), 1.0, rtol=1e-5)
    assert len(np.unique(y)) == 2


@pytest.mark.parametrize(("size", "block"), [((16, 16), 3), ((10, 20), 5), ((28, 28), 7)])
def test_drop_block_starts_blocks_with_the_probability_of_the_paper(size, block):
    rate, shape = 0.1, (400, *size, 8)
    layer = layers.ScheduledDropBlock2D(rate, block, data_format="channels_last", seed=2)
    dropped = np.mean(numpy(layer(ops.ones(shape), training=True)) == 0)
    valid = [n - block + 1 for n in size]
    gamma = rate / block**2 * np.prod(size) / np.prod(valid)
    cover = [[min(i + 1, block, n - i, n - block + 1) for i in range(n)] for n in size]
    expected = np.mean(1 - (1 - gamma) ** np.outer(*cover))
    assert abs(dropped - expected) < 0.007
    assert abs(dropped - rate) < 0.015


def test_drop_block_wants_maps_of_a_known_size():
    layer = layers.ScheduledDropBlock2D(0.1, name="blocks")
    with pytest.raises(ValueError, match="layer blocks to know the height and width"):
        layer._drop(keras.Input((None, 8, 3)), 0.1, 1, 0)


def test_bad_data_formats_and_ranks_are_refused():
    with pytest.raises(ValueError, match="Expected `data_format` to be"):
        layers.ScheduledSpatialDropout2D(0.5, data_format="first")
    with pytest.raises(ValueError, match="expected ndim=4"):
        layers.ScheduledSpatialDropout2D(0.5)(np.ones((2, 3, 4)))


@pytest.mark.parametrize("block_size", [0, 2.5, "x"])
def test_bad_block_sizes_are_refused(block_size):
    with pytest.raises(ValueError, match="Expected `block_size` to be"):
        layers.ScheduledDropBlock2D(0.5, block_size)
