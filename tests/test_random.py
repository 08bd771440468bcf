"""The hash behind the masks, against its published steps in Python integers, and its statistics."""

import keras
import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from keras_reg.ops.backend import compiled
from keras_reg.ops.noise import dropout
from keras_reg.ops.random import counters, element_bits, hash32, keep, strides, uniform

RATES = [0.0, 0.1, 0.5, 0.9, 1.0]
GOLDEN = [
    [[2261156, 3727772, 14326486], [4322594, 7488880, 16187487]],
    [[10392079, 4545656, 12079945], [11744168, 13721553, 12388836]],
]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def int32(value):
    return ops.convert_to_tensor(np.asarray(value).astype("uint32").astype("int32"))


def unsigned(tensor):
    return numpy(tensor).astype("uint32").tolist()


def draw(shape, seed=1, step=0):
    return numpy(uniform(shape, int32(seed), int32(step)))


def dropped(x, rate, seed=1, step=0, noise_shape=None):
    x = ops.convert_to_tensor(x)
    return dropout(x, ops.convert_to_tensor(rate, "float32"), int32(seed), int32(step), noise_shape)


def lowbias32(x, key):
    """Wellons' xor-shift-multiply rounds 16, 0x7feb352d, 15, 0x846ca68b, 16; a key between them."""
    wrap = 2**32
    x = (x ^ (x >> 16)) * 0x7FEB352D % wrap
    x = ((x ^ (x >> 15)) + key) % wrap
    x = (x ^ (x >> 15)) * 0x846CA68B % wrap
    return x ^ (x >> 16)


def element_hash(counter, first, second):
    wrap = 2**32
    x = counter * 0x9E3779B9 % wrap ^ first
    x = (x ^ (x >> 15)) * 0x7FEB352D % wrap
    x = ((x ^ (x >> 15)) + second) * 0x846CA68B % wrap
    return x >> 8


def test_hash_follows_its_published_steps():
    random = np.random.default_rng(0)
    edges = [0, 1, 2, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
    for key in (0, 1, 2**31, 2**32 - 1, 0x12345678):
        x = edges + random.integers(0, 2**32, 200).tolist()
        expected = [lowbias32(value, key) for value in x]
        assert unsigned(hash32(int32(x), int32(key))) == expected


def test_hash_takes_no_two_integers_to_one():
    x = int32(np.arange(2**16) * 65537)
    for key in (0, 99):
        assert len(set(unsigned(hash32(x, int32(key))))) == 2**16


@pytest.mark.parametrize("bit", [0, 7, 16, 31])
def test_every_input_bit_flips_half_of_the_output_bits(bit):
    x = np.random.default_rng(0).integers(0, 2**32, 2000)
    before, after = (unsigned(hash32(int32(value), int32(5))) for value in (x, x ^ (1 << bit)))
    flips = [(a ^ b).bit_count() for a, b in zip(before, after, strict=True)]
    assert 15.5 < np.mean(flips) < 16.5


def test_draws_are_these_on_every_backend_and_in_every_release():
    # A saved model draws the same masks only as long as these numbers stay.
    assert (draw((2, 3), seed=1, step=0) * 2**24).astype(int).tolist() == GOLDEN[0]
    assert (draw((2, 3), seed=2**31 - 1, step=1000) * 2**24).astype(int).tolist() == GOLDEN[1]


def test_draws_follow_their_definition():
    # In Python integers: two words from seed and step, one to one, and the hash of the counter.
    for seed, step in ((1, 0), (2**31 - 1, 1000), (0, 0)):
        first = lowbias32(step * 0x9E3779B9 % 2**32, seed)
        second = lowbias32(first, seed)
        expected = [(element_hash(i, first, second) + 2**23) % 2**24 for i in range(6)]
        assert (draw((2, 3), seed, step).ravel() * 2**24).astype(int).tolist() == expected


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (4, 1, 3), (2, 3, 4, 5)])
def test_elements_are_counted_row_by_row(shape):
    expected = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    high, low = counters(shape)
    assert high is None
    np.testing.assert_array_equal(numpy(low), expected)


HUGE = [(2**20, 2**13), (3, 2**30, 5), (70_000, 70_000), (2**16, 2**16, 2), (5, 2**20, 7, 999)]


@pytest.mark.parametrize("shape", HUGE)
def test_no_two_elements_of_a_huge_array_share_a_counter(shape):
    # The counters of random elements, of their neighbours and of the corners, without an array.
    random = np.random.default_rng(0)
    chosen = [tuple(int(random.integers(n)) for n in shape) for _ in range(2000)]
    chosen += [(*p[:-1], (p[-1] + 1) % shape[-1]) for p in chosen]
    chosen += [tuple(n - 1 for n in shape), (0,) * len(shape)]
    words = {
        position: tuple(
            sum(p * pair[word] for p, pair in zip(position, strides(shape), strict=True))
            for word in (0, 1)
        )
        for position in chosen
    }
    assert len(set(words.values())) == len(words)
    assert all(high < 2**32 and low < 2**32 for high, low in words.values())
    assert any(high > 0 for high, low in words.values())


def test_strides_are_those_of_the_last_axes_that_fit():
    assert strides((2**16, 2**16)) == [(0, 2**16), (0, 1)]
    assert strides((2**16 + 1, 2**16)) == [(1, 0), (0, 1)]
    assert strides((3, 2**17, 2**16)) == [(2**17, 0), (1, 0), (0, 1)]
    assert strides((2, 3, 2**31)) == [(3, 0), (1, 0), (0, 1)]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="lengths unknown until it runs")
def test_unknown_lengths_are_counted_alike():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, 3, None))], autograph=False)
    def unknown(x):
        return uniform(ops.shape(x), int32(1), int32(0))

    np.testing.assert_array_equal(unknown(tf.zeros((4, 3, 5))), draw((4, 3, 5)))

    def words(*shape):
        found = strides(tuple(tf.constant(length) for length in shape))
        return [(int(high), int(low)) for high, low in found]

    for shape in HUGE:
        assert words(*shape) == strides(shape)


def test_high_words_of_zero_change_nothing_and_others_all():
    low, seed, step = ops.arange(2000, dtype="int32"), int32(1), int32(2)
    bare = numpy(element_bits(None, low, seed, step))
    np.testing.assert_array_equal(bare, numpy(element_bits(int32(0), low, seed, step)))
    blocks = [numpy(element_bits(int32(high), low, seed, step)) for high in (0, 1, 2, 2**31 - 1)]
    for index, one in enumerate(blocks):
        for other in blocks[:index]:
            assert np.mean(one == other) < 0.01
            assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(2000)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="only PyTorch draws in pieces")
def test_pieces_are_those_of_the_whole(monkeypatch):
    rate, seed, step = ops.convert_to_tensor(0.3), int32(1), int32(2)
    whole = numpy(keep((40, 77), rate, seed, step))
    monkeypatch.setattr("keras_reg.ops.random.block_size", lambda: 1000)
    np.testing.assert_array_equal(numpy(keep((40, 77), rate, seed, step)), whole)


def test_draws_are_uniform():
    values = draw((1000, 1000))
    n = values.size
    assert values.min() >= 0
    assert values.max() < 1
    # Five standard errors of each: variances 1/12 and 1/180, and a chi-squared of 99 degrees.
    assert abs(values.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / n)
    assert abs(values.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    counts, _ = np.histogram(values, bins=100, range=(0, 1))
    assert abs(np.sum((counts - n / 100) ** 2) / (n / 100) - 99) < 5 * np.sqrt(2 * 99)


def test_draws_are_multiples_of_two_to_the_minus_24():
    scaled = draw((1000,)) * 2**24
    np.testing.assert_array_equal(scaled, np.floor(scaled))
    assert np.any(scaled % 2 == 1)


def assert_uncorrelated(a, b):
    a, b = (a - 0.5).ravel(), (b - 0.5).ravel()
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size)


@pytest.mark.parametrize("other", [{"seed": 2}, {"step": 1}, {"step": 1000}, {"seed": 2**30}])
def test_other_seeds_and_steps_are_uncorrelated(other):
    shape = (300, 300)
    first, second = draw(shape), draw(shape, **other)
    assert_uncorrelated(first, second)
    for axis in (0, 1):
        assert_uncorrelated(first, np.roll(second, 1, axis=axis))


@pytest.mark.parametrize("lag", [1, 2, 300, 301])
def test_neighbors_are_uncorrelated(lag):
    values = draw((300, 300)).ravel()
    assert_uncorrelated(values[:-lag], values[lag:])


def test_seed_and_step_are_not_interchangeable():
    assert_uncorrelated(draw((300, 300), seed=1, step=2), draw((300, 300), seed=2, step=1))


def test_rate_zero_is_the_input_bit_for_bit():
    x = np.array([1.0, -2.5, 1e-30, 1e30, np.inf, np.nan], "float32")
    np.testing.assert_array_equal(numpy(dropped(x, 0.0)), x)


def test_rate_one_is_exact_zeros():
    x = np.full((50, 50), 3.0, "float32")
    np.testing.assert_array_equal(numpy(dropped(x, 1.0)), np.zeros((50, 50)))


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_share_of_kept_elements_and_expectation(rate):
    n = 250_000
    y = numpy(dropped(np.ones(n, "float32"), rate))
    share = np.mean(y != 0)
    sigma = np.sqrt(rate * (1 - rate) / n)
    assert abs(share - (1 - rate)) < 5 * sigma
    assert abs(y.mean() - 1) < 5 * sigma / (1 - rate)
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)


def test_a_lower_rate_keeps_what_a_higher_rate_keeps():
    x = np.ones((50, 50), "float32")
    low, high = (numpy(dropped(x, rate)) != 0 for rate in (0.2, 0.6))
    assert np.all(low[high])


@pytest.mark.parametrize("rate", RATES)
def test_gradient_is_the_scale_of_the_mask(rate):
    x = np.random.default_rng(0).standard_normal((20, 30)).astype("float32")
    _, gradient = value_and_gradient(lambda x: ops.sum(dropped(x, rate)), x)
    np.testing.assert_array_equal(gradient, numpy(dropped(np.ones_like(x), rate)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_is_kept_and_the_mask_is_that_of_float32(dtype):
    x = np.ones((40, 50), "float32")
    y = dropped(ops.cast(x, dtype), 0.3)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    expected = numpy(dropped(x, 0.3))
    np.testing.assert_allclose(numpy(ops.cast(y, "float32")), expected, rtol=1e-2)


@pytest.mark.parametrize("noise_shape", [(1, 5, 6), (4, 1, 6), (4, 5, 1), (1, 1, 1)])
def test_noise_shape_broadcasts(noise_shape):
    y = numpy(dropped(np.ones((4, 5, 6), "float32"), 0.5, noise_shape=noise_shape))
    mask = draw(noise_shape) >= 0.5
    np.testing.assert_array_equal(y, np.broadcast_to(mask * 2.0, (4, 5, 6)))


@pytest.mark.parametrize("rate", RATES)
def test_compiled_equals_eager_bit_for_bit(rate):
    x = ops.convert_to_tensor(np.random.default_rng(0).standard_normal((33, 65)).astype("float32"))
    arguments = (x, ops.convert_to_tensor(rate, "float32"), int32(3), int32(7))
    fast = compiled(dropout)(*arguments)
    np.testing.assert_array_equal(numpy(fast), numpy(dropout(*arguments)))
