"""Groups and their norms, against numpy.linalg.norm."""

import itertools

import keras
import numpy as np
import oracles
import pytest
from gradients import value_and_gradient
from hypothesis import example, given
from hypothesis import strategies as st
from keras import ops

from keras_reg.ops.norms import (
    check_group_axis,
    group_norms,
    group_size,
    reduced_axes,
    safe_norm,
    with_sign_of,
)
from keras_reg.ops.roots import inverse_root

SHAPES = [(7,), (4, 3), (2, 3, 4), (3, 2, 4, 5)]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def normal(shape, dtype="float32"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def every_group_axis(rank):
    """None, each axis counted from either end, and every set of axes, backwards too."""
    for count in range(1, rank + 1):
        yield from itertools.combinations(range(rank), count)
    yield from (None, *range(-rank, rank), tuple(range(-1, -rank - 1, -1)))


@pytest.mark.parametrize("shape", SHAPES)
def test_group_norms_are_numpys_over_every_group_axis(shape):
    w = normal(shape)
    for group_axis in every_group_axis(len(shape)):
        expected = [np.linalg.norm(group) for group in oracles.groups(w, group_axis)]
        norms = numpy(group_norms(ops.convert_to_tensor(w), group_axis))
        np.testing.assert_allclose(norms.ravel(), expected, rtol=1e-5, err_msg=str(group_axis))
        kept = numpy(group_norms(ops.convert_to_tensor(w), group_axis, keepdims=True))
        assert kept.ndim == len(shape)
        np.testing.assert_array_equal(kept.ravel(), norms.ravel())
        np.broadcast_shapes(kept.shape, shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_group_size_is_the_length_of_every_group(shape):
    for group_axis in every_group_axis(len(shape)):
        sizes = {group.size for group in oracles.groups(normal(shape), group_axis)}
        assert sizes == {group_size(shape, group_axis)}


@pytest.mark.parametrize(
    ("axis", "keepdims"), [(None, False), (0, True), (-1, False), ((0, 2), True), ((0, 1, 2), True)]
)
def test_safe_norm_is_the_norm(axis, keepdims):
    x = normal((3, 4, 5))
    expected = np.sqrt(np.sum(x.astype("float64") ** 2, axis=axis, keepdims=keepdims))
    norm = numpy(safe_norm(ops.convert_to_tensor(x), axis=axis, keepdims=keepdims))
    assert norm.shape == expected.shape
    np.testing.assert_allclose(norm, expected, rtol=1e-5)


@pytest.mark.parametrize("group_axis", [None, 0, -1, (0, 1)])
def test_gradient_is_zero_at_zero_and_the_direction_elsewhere(group_axis):
    w = np.array([[0, 0, 0], [0, 3, -4], [0, -2, 0], [0, 5, 1]], "float32")
    norms = numpy(group_norms(ops.convert_to_tensor(w), group_axis, keepdims=True))
    value, gradient = value_and_gradient(lambda w: ops.sum(group_norms(w, group_axis)), w)
    np.testing.assert_allclose(value, norms.sum(), rtol=1e-6)
    direction = np.divide(w, norms, out=np.zeros_like(w), where=norms > 0)
    np.testing.assert_allclose(gradient, direction, rtol=1e-5)


def test_gradient_of_safe_norm_is_zero_at_zero():
    value, gradient = value_and_gradient(safe_norm, np.zeros(5, "float32"))
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros(5))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_weights_make_non_finite_norms(bad):
    w = ops.array([[1.0, bad], [2.0, 3.0]])
    for group_axis in (None, 0, -1):
        assert np.isfinite(numpy(group_norms(w, group_axis))).sum() in (1, 3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("group_axis", [None, -1])
def test_dtype_is_kept(dtype, group_axis):
    w = ops.cast(normal((8, 3)), dtype)
    norms = group_norms(w, group_axis)
    assert keras.backend.standardize_dtype(norms.dtype) == dtype
    plain = numpy(ops.cast(w, "float32"))
    expected = [np.linalg.norm(group) for group in oracles.groups(plain, group_axis)]
    np.testing.assert_allclose(numpy(ops.cast(norms, "float32")).ravel(), expected, rtol=2e-2)


@pytest.mark.parametrize("group_axis", [2, -3, (0, 0), (0, -2), (1, 5)])
def test_axis_out_of_range_or_named_twice_is_refused(group_axis):
    with pytest.raises(ValueError, match=r"distinct axes of hidden/kernel of shape \(4, 3\)"):
        reduced_axes((4, 3), group_axis, "hidden/kernel")
    with pytest.raises(ValueError, match="distinct axes of a weight"):
        group_norms(normal((4, 3)), group_axis)


@pytest.mark.parametrize("group_axis", [1.5, "in", (), [], True, (0, "x"), (0, True), np.zeros(2)])
def test_what_is_no_axis_is_refused(group_axis):
    with pytest.raises(ValueError, match="Received: group_axis="):
        check_group_axis(group_axis)


@pytest.mark.parametrize(
    ("group_axis", "checked"), [(None, None), (-1, -1), ((0, 1), (0, 1)), ([0, 1], (0, 1))]
)
def test_an_axis_comes_back_plain(group_axis, checked):
    assert check_group_axis(group_axis) == checked


def test_signs_are_numpys():
    w = np.array([-np.inf, -2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0, np.inf], "float32")
    size = np.arange(1.0, 9.0, dtype="float32")
    found = numpy(with_sign_of(ops.convert_to_tensor(w), ops.convert_to_tensor(size)))
    np.testing.assert_array_equal(found, np.sign(w) * size)


def test_sizes_at_zero_do_not_matter():
    found = with_sign_of(ops.array([0.0, -1.0]), ops.array([np.inf, 2.0]))
    assert numpy(found).tolist() == [0.0, -2.0]


@pytest.mark.parametrize("n", [2, 3])
@given(x=st.floats(2.0**-120, np.finfo("float32").max, width=32))
@example(x=2.0**-120)
@example(x=float(np.finfo("float32").max))
def test_inverse_roots_are_numpys(x, n):
    found = float(inverse_root(ops.array([x], "float32"), n)[0])
    assert abs(found * np.float64(x) ** (1 / n) - 1.0) <= 4e-7


@pytest.mark.parametrize(("x", "expected"), [(0.0, 2.0**60), (1e-44, 2.0**60), (np.inf, 2.0**-64)])
def test_inverse_roots_are_finite_everywhere(x, expected):
    found = float(inverse_root(ops.array([x], "float32"), 2)[0])
    assert abs(found / expected - 1.0) <= 1e-6


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch takes the power itself")
@pytest.mark.parametrize("n", [2, 3])
def test_both_ways_of_a_root_agree(n, monkeypatch):
    x = ops.array([2.0**-120, 1e-3, 0.5, 8.0, 1e30], "float32")
    fused = numpy(inverse_root(x, n))
    monkeypatch.setattr("keras_reg.ops.roots.xla_on_cpu", lambda: False)
    np.testing.assert_allclose(numpy(inverse_root(x, n)), fused, rtol=1e-6)
