"""Thresholds of whole groups, against the sorted formulas in float64."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from keras_reg.ops.backend import compiled
from keras_reg.ops.thresholds import ball_threshold, squared_sum_threshold
from keras_reg.regularizers import ExclusiveLasso, GroupLInf

# With ties and zeros, over sixty powers of two.
LEVELS = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(2.0**-30, 2.0**30, width=32))
GROUPS = arrays("float32", (6, 5), elements=LEVELS)
SCALES = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(2.0**-20, 2.0**20, width=32))

fast_ball = compiled(ball_threshold, static_argnums=(2,))
fast_squared = compiled(squared_sum_threshold, static_argnums=(2,))


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def sorted_columns(x):
    """The running totals of each column's numbers in falling order, and how many they are."""
    falling = -np.sort(-x.astype("float64"), axis=0)
    return np.cumsum(falling, axis=0), np.arange(1, x.shape[0] + 1)[:, None]


def assert_close(found, expected, x):
    size = np.max(np.abs(x), axis=0, keepdims=True)
    assert np.all(np.abs(numpy(found) - expected) <= 2e-6 * np.maximum(size, np.abs(expected)))


@settings(max_examples=60, deadline=None)
@given(GROUPS, SCALES)
def test_ball_threshold_is_that_of_the_sorted_column(x, radius):
    totals, counts = sorted_columns(x)
    expected = np.max((totals - radius) / counts, axis=0, keepdims=True)
    assert_close(fast_ball(ops.convert_to_tensor(x), np.float32(radius), (0,)), expected, x)


@settings(max_examples=60, deadline=None)
@given(GROUPS, SCALES)
def test_squared_sum_threshold_is_that_of_the_sorted_column(x, scale):
    totals, counts = sorted_columns(x)
    shares = 2.0 * scale * totals / (1.0 + 2.0 * scale * counts)
    expected = np.max(shares, axis=0, keepdims=True)
    assert_close(fast_squared(ops.convert_to_tensor(x), np.float32(scale), (0,)), expected, x)


@pytest.mark.parametrize("radius", [1e-4, 0.3, 5.0, 400.0])
def test_large_groups(radius):
    """Many steps of the search: more elements, from far above the threshold to far below it."""
    x = np.abs(np.random.default_rng(0).standard_cauchy((2000, 3))).astype("float32")
    totals, counts = sorted_columns(x)
    expected = np.max((totals - radius) / counts, axis=0, keepdims=True)
    assert_close(fast_ball(ops.convert_to_tensor(x), np.float32(radius), (0,)), expected, x)


@pytest.mark.parametrize("cls", [GroupLInf, ExclusiveLasso])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1, -1)])
def test_groups_along_any_axes(cls, axis):
    w = np.random.default_rng(0).standard_normal((4, 5, 6)).astype("float32")
    groups = range(3) if axis is None else np.atleast_1d(axis) % 3
    order = [*groups, *(at for at in range(3) if at not in groups)]
    columns = np.transpose(w, order).reshape(np.prod([w.shape[at] for at in groups]), -1).T
    shrunk = numpy(cls(0.3, group_axis=axis).prox(w, 1.0))
    alone = numpy(cls(0.3, group_axis=-1).prox(columns, 1.0))
    expected = np.transpose(alone.T.reshape([w.shape[at] for at in order]), np.argsort(order))
    np.testing.assert_allclose(shrunk, expected, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 by default")
@pytest.mark.parametrize("radius", [1e-6, 0.5, 30.0])
def test_float64_is_exact_to_its_own_precision(radius):
    x = np.abs(np.random.default_rng(0).standard_normal((300, 4)))
    totals, counts = sorted_columns(x)
    found = numpy(ball_threshold(ops.convert_to_tensor(x), radius, (0,)))
    np.testing.assert_allclose(
        found, np.max((totals - radius) / counts, axis=0, keepdims=True), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("cls", [GroupLInf, ExclusiveLasso])
def test_a_nan_shows_in_its_group_alone(cls):
    w = np.array([[np.nan, 3.0], [1.0, 2.0]], "float32")
    shrunk = numpy(cls(0.1).prox(w, 1.0))
    assert np.isnan(shrunk[0, 0])
    np.testing.assert_allclose(shrunk[:, 1], numpy(cls(0.1).prox(w[:, 1:], 1.0))[:, 0])
