"""Shared proximal operators, against the lowest point of a grid."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg.ops.prox import shrink_norms, soft_threshold


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def thresholded(x, threshold):
    return numpy(soft_threshold(ops.convert_to_tensor(x), threshold))


def shrunk_by(shrink, w, group_axis):
    return numpy(shrink_norms(ops.convert_to_tensor(w), group_axis, shrink))


def normal(shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0, 2.5])
def test_soft_threshold_is_the_argmin(threshold):
    x = np.array([-3.0, -1.0, -0.301, -0.1, 0.0, 0.05, 0.5, 1.0, 2.75], "float32")
    grid = np.linspace(-4, 4, 80001)
    objective = 0.5 * (grid - x[:, None]) ** 2 + threshold * np.abs(grid)
    best = grid[np.argmin(objective, axis=1)]
    np.testing.assert_allclose(thresholded(x, threshold), best, atol=1e-4)


def test_soft_threshold_makes_exact_zeros():
    small = thresholded(normal(1000) * 0.1, 1.0)
    np.testing.assert_array_equal(small, np.zeros(1000))


def test_threshold_zero_is_the_input_bit_for_bit():
    x = np.concatenate([normal(100), [0.0, 1e30, -1e30, 1e-30]]).astype("float32")
    np.testing.assert_array_equal(thresholded(x, 0.0), x)


def test_threshold_broadcasts():
    x = np.array([[3.0, 3.0], [-3.0, -3.0]], "float32")
    thresholds = ops.array([[1.0, 4.0]])
    np.testing.assert_array_equal(thresholded(x, thresholds), [[2.0, 0.0], [-2.0, 0.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_numbers_stay(bad):
    x = np.array([bad, 2.0], "float32")
    np.testing.assert_array_equal(thresholded(x, 0.5), [bad, 1.5])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_is_kept(dtype):
    x = ops.cast(normal((4, 3)), dtype)
    for result in (soft_threshold(x, 0.5), shrink_norms(x, -1, lambda r: r * 0.5)):
        assert keras.backend.standardize_dtype(result.dtype) == dtype


@pytest.mark.parametrize("group_axis", [None, 0, -1, (0, 2)])
def test_shrink_norms_sets_the_norms_and_keeps_the_directions(group_axis):
    w = normal((3, 4, 5))
    axes = tuple(axis for axis in range(3) if axis not in np.atleast_1d(group_axis or 0) % 3)
    axes = () if group_axis is None else axes
    shrunk = shrunk_by(lambda r: ops.minimum(r, 0.7), w, group_axis)
    norms, after = (np.sqrt(np.sum(x**2, axis=axes, keepdims=True)) for x in (w, shrunk))
    np.testing.assert_allclose(after, np.minimum(norms, 0.7), rtol=1e-5)
    np.testing.assert_allclose(shrunk / after, w / norms, rtol=1e-5)


@pytest.mark.parametrize("shrink", [lambda r: r * 0.5, lambda r: r - r, lambda r: r])
def test_zero_groups_stay_zero(shrink):
    w = normal((4, 3))
    w[:, 1] = 0
    shrunk = shrunk_by(shrink, w, -1)
    np.testing.assert_array_equal(shrunk[:, 1], np.zeros(4))
    assert np.all(np.isfinite(shrunk))


def test_groups_shrunk_to_zero_are_exactly_zero():
    shrunk = shrunk_by(lambda r: soft_threshold(r, 10.0), normal((4, 3)), -1)
    np.testing.assert_array_equal(shrunk, np.zeros((4, 3)))


def test_unchanged_norms_return_the_weight_bit_for_bit():
    w = normal((50, 30))
    for group_axis in (None, 0, -1):
        np.testing.assert_array_equal(shrunk_by(lambda r: r, w, group_axis), w)
