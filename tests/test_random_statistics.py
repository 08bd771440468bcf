"""What a suspicious reader would ask of the random bits. Fixed seeds: a test passes or fails.

Every test is two-sided at a significance of 1e-5 or less for the whole of it, so that a sound
generator fails one of the file in about 5000 choices of its seeds.
"""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_reg.ops.noise import dropout, gaussian
from keras_reg.ops.random import element_bits, inverse_kept, keep, normal, threshold

SIGNIFICANCE = 1e-5
SEED = 20_240_101


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def int32(value):
    return ops.convert_to_tensor(np.asarray(value, "int32"))


def words(n, seed=SEED, step=0, first=0):
    """`n` draws of 24 bits each, from 0 to 2**24 - 1."""
    low = ops.arange(first, first + n, dtype="int32")
    return numpy(element_bits(None, low, int32(seed), int32(step))).astype("int64") + 2**23


def words_of_steps(steps, n, seed=SEED):
    """`n` draws of each of many steps, a row a step."""
    column, low = int32(steps)[:, None], ops.arange(n, dtype="int32")[None]
    low = ops.broadcast_to(low, (len(steps), n))
    return numpy(element_bits(None, low, int32(seed), column)).astype("int64") + 2**23


def assert_normal(z, tests=1):
    """No standard normal number, of as many as were looked at, is too large."""
    limit = stats.norm.isf(SIGNIFICANCE / 2 / tests)
    assert np.max(np.abs(z)) < limit, f"{np.max(np.abs(z)):.2f} of at most {limit:.2f}"


def assert_uniform(counts, expected):
    """A chi-square test, of both tails: too even is not random either."""
    statistic = np.sum((counts - expected) ** 2 / expected)
    tail = stats.chi2.sf(statistic, counts.size - 1)
    assert SIGNIFICANCE / 2 < tail < 1 - SIGNIFICANCE / 2


def assert_uncorrelated(rows, tests=1):
    """No two rows of many draws are correlated."""
    size = rows.shape[1]
    correlations = np.corrcoef(rows)[np.triu_indices(len(rows), 1)]
    assert_normal(correlations * np.sqrt(size), tests * correlations.size)


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 0.01, 0.1, 1 / 3, 0.5, 0.9, 0.99, 0.999, 0.9999])
def test_mean_and_variance_of_masks(rate):
    rows, size = 1000, 2000
    kept = numpy(keep((rows, size), ops.convert_to_tensor(rate, "float32"), int32(SEED), int32(3)))
    share = 1 - np.round(np.float64(np.float32(rate)) * 2**24) / 2**24
    variance = share * (1 - share)
    assert_normal((kept.sum() - kept.size * share) / np.sqrt(kept.size * variance))
    # The dispersion of the rows' counts, a chi-square of as many degrees.
    dispersion = np.sum((kept.sum(axis=1) - size * share) ** 2) / (size * variance)
    tail = stats.chi2.sf(dispersion, rows)
    assert SIGNIFICANCE / 2 < tail < 1 - SIGNIFICANCE / 2


@pytest.mark.parametrize("lags", [range(1, 65), [128, 255, 256, 257, 1000, 1024, 4096, 2**16]])
def test_no_autocorrelation(lags):
    drawn = words(2**20)
    values = (drawn - drawn.mean()) / drawn.std()
    z = [np.mean(values[:-lag] * values[lag:]) * np.sqrt(values.size - lag) for lag in lags]
    assert_normal(z, len(lags))


@pytest.mark.parametrize("shift", [0, 8, 16])
def test_bytes_of_the_words_are_uniform(shift):
    counts = np.bincount(words(2**20) >> shift & 255, minlength=256)
    assert_uniform(counts, 2**20 / 256)


@pytest.mark.parametrize("bit", [0, 12, 23])
def test_patterns_of_sixteen_neighbours_are_uniform(bit):
    # Of one bit each of 16 neighbouring elements: 2**16 patterns, 32 of each expected.
    bits = (words(2**21 * 16 // 16, first=12345) >> bit & 1).reshape(-1, 16)
    patterns = bits @ (1 << np.arange(16))
    counts = np.bincount(patterns, minlength=2**16)
    assert_uniform(np.bincount(patterns >> 8, minlength=256), patterns.size / 256)
    assert_uniform(counts, patterns.size / 2**16)


def test_pairs_of_neighbours_fill_the_square():
    drawn = words(2**21)
    cells = (drawn[::2] >> 16) * 256 + (drawn[1::2] >> 16)
    assert_uniform(np.bincount(cells, minlength=2**16), cells.size / 2**16)


def test_birthday_spacings():
    # Marsaglia: 512 birthdays in a year of 2**24 days, of each of 1000 steps. The spacings that
    # occur again are Poisson with mean m**3 / 4n = 2.
    birthdays = np.sort(words_of_steps(np.arange(1000), 512), axis=1)
    spacings = np.sort(np.diff(birthdays, axis=1), axis=1)
    repeats = np.sum(np.diff(spacings, axis=1) == 0, axis=1)
    assert_normal((repeats.sum() - 2000) / np.sqrt(2000))
    counts = np.bincount(np.minimum(repeats, 7), minlength=8)
    share = stats.poisson.pmf(np.arange(8), 2.0)
    share[7] = 1 - share[:7].sum()
    assert_uniform(counts, 1000 * share)


def test_a_counter_and_its_neighbours_differ_in_half_of_the_bits():
    drawn, n = words(2**17), 2**17
    for distance in (1, 2, 3, 4, 16, 1024, 2**16):
        differ = drawn[distance:] ^ drawn[:-distance]
        flips = (differ[:, None] >> np.arange(24) & 1).sum(axis=0)
        assert_normal((flips - (n - distance) / 2) / np.sqrt((n - distance) / 4), 7 * 24)


def test_steps_are_independent():
    steps = np.concatenate([np.arange(40), 2 ** np.arange(6, 31), 10_000 + np.arange(40)])
    assert_uncorrelated(words_of_steps(steps, 5000))


def test_seeds_and_layers_are_independent():
    # Consecutive seeds, powers of two, and those that layers of no seed take.
    import random

    random.seed(0)
    seeds = [*range(20), *(2 ** np.arange(5, 31)), *(random.randint(1, 10**9) for _ in range(20))]
    assert_uncorrelated(np.stack([words(5000, int(seed), step=4) for seed in seeds]))


def test_seeds_cannot_be_traded_for_steps():
    pairs = [(SEED + i, 10 + j) for i in range(-4, 5) for j in range(-4, 5)]
    assert_uncorrelated(np.stack([words(5000, seed, step) for seed, step in pairs]))


def test_rows_of_an_array_are_independent():
    assert_uncorrelated(words(100 * 4096).reshape(100, 4096))


def test_masks_of_two_steps_agree_as_often_as_by_chance():
    kept = words_of_steps(np.arange(200), 4096) >= 0.3 * 2**24
    agree = np.sum(kept[1:] == kept[:-1], axis=1)
    share = 0.7**2 + 0.3**2
    assert_normal((agree - 4096 * share) / np.sqrt(4096 * share * (1 - share)), agree.size)


def test_no_mask_of_a_million_steps_repeats():
    # 72 bits of each mask: two of a million are equal by chance with probability 1e-10.
    first = words_of_steps(np.arange(10**6), 3)
    assert len(np.unique(first[:, 0] << 24 | first[:, 1])) > 10**6 - 3
    assert len(np.unique(first, axis=0)) == 10**6


@pytest.mark.parametrize("rate", [0.0, 1e-9, 1e-7, 1e-4, 0.1, 1 / 3, 0.9999999, 1.0])
def test_rate_is_within_two_to_the_minus_24_and_the_scale_is_its_own(rate):
    rate = np.float32(rate)
    units = int(threshold(ops.convert_to_tensor(rate)))
    assert abs(units / 2**24 - float(rate)) <= 2.0**-24
    # Exactly as many of all 2**24 draws are dropped, and the scale is one over the share kept.
    drawn = np.arange(-(2**23), 2**23, dtype="int32")
    assert np.sum(drawn < units - 2**23) == units
    scale = float(inverse_kept(ops.convert_to_tensor(rate)))
    kept = (2**24 - units) / 2**24
    assert scale == (np.float32(1 / kept) if kept else 0.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_the_mean(dtype):
    # 1 / 0.9 rounded to bfloat16 is off by 0.3%; the product of each element is rounded instead.
    x = np.random.default_rng(0).uniform(0.5, 1.0, 400_000).astype("float32")
    rate = ops.convert_to_tensor(0.1, "float32")
    half = dropout(ops.cast(ops.convert_to_tensor(x), dtype), rate, int32(SEED), int32(0))
    assert keras.backend.standardize_dtype(half.dtype) == dtype
    full = numpy(dropout(ops.convert_to_tensor(x), rate, int32(SEED), int32(0)))
    relative = numpy(ops.cast(half, "float32")).astype("float64").mean() / full.mean() - 1
    assert abs(relative) < 1e-4


def test_normal_numbers_are_normal():
    drawn = numpy(normal((2**18,), int32(SEED), int32(0))).astype("float64")
    assert stats.kstest(drawn, "norm").pvalue > SIGNIFICANCE
    assert_normal(drawn.mean() * 2**9)
    assert_normal((drawn.var() - 1) * 2**9 / np.sqrt(2))
    assert abs(stats.kurtosis(drawn)) < 5 * np.sqrt(24 / 2**18)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5, 0.9])
def test_mean_and_variance_of_gaussian_noise(rate):
    n = 2**18
    y = numpy(gaussian(ops.ones((n,)), ops.convert_to_tensor(rate), int32(SEED), int32(0)))
    deviation = np.sqrt(rate / (1 - rate))
    assert_normal((y.mean(dtype="float64") - 1) / deviation * np.sqrt(n))
    assert_normal((y.var(dtype="float64") / deviation**2 - 1) * np.sqrt(n / 2))
