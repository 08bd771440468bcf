"""Folded sums against NumPy's, in float64."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_reg import regularizers
from keras_reg.ops.sums import folded, full_sum, reduced, sum_of_squares

SHAPES = [(), (5,), (16, 1), (24, 7), (3, 3, 16, 4), (7, 5), (0, 4), (32, 0)]


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 99))
def test_total_is_the_sum(shape, seed):
    x = np.random.default_rng(seed).standard_normal(shape).astype("float32")
    found = float(full_sum(ops.convert_to_tensor(x)))
    assert abs(found - x.astype("float64").sum()) <= 1e-5 * (1 + np.abs(x).sum())


@pytest.mark.parametrize("shape", SHAPES[1:6])
def test_folding_takes_every_element_once(shape):
    x = np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape).astype("float32")
    assert float(ops.max(folded(ops.convert_to_tensor(x), ops.maximum))) == x.size - 1
    columns = ops.convert_to_numpy(folded(ops.convert_to_tensor(x))).reshape(-1, shape[-1])
    np.testing.assert_array_equal(columns.sum(axis=0), x.reshape(-1, shape[-1]).sum(axis=0))


def test_folding_makes_fewer_rows_where_xla_compiles():
    rows = {"jax": 2, "tensorflow": 4}.get(keras.backend.backend(), 32)
    assert len(folded(ops.ones((32, 3)))) == rows


def test_nothing_is_folded_on_an_accelerator(monkeypatch):
    if keras.backend.backend() == "jax":
        import jax

        monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda: [gpu])
    assert len(folded(ops.ones((32, 3)))) == 32


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((16, 3), (0,)),
        ((3, 16), (1,)),
        ((3, 24, 8, 5), (0, 1, 3)),
        ((7, 5), (0, 1)),
        ((4, 0), (1,)),
    ],
)
def test_axes_are_reduced_as_numpy_does(shape, axes, keepdims):
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    tensor = ops.convert_to_tensor(x)
    pairs = [
        (reduced(tensor, axes, keepdims), x.sum(axis=axes, keepdims=keepdims)),
        (sum_of_squares(tensor, axes, keepdims), np.square(x).sum(axis=axes, keepdims=keepdims)),
    ]
    if x.size:
        largest = reduced(tensor, axes, keepdims, ops.max, ops.maximum)
        pairs.append((largest, x.max(axis=axes, keepdims=keepdims)))
    for found, wanted in pairs:
        assert tuple(found.shape) == wanted.shape
        np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-6, 0.3, 40.0, 1e6, 1e30])
def test_log_sum_of_weights_of_any_size(size):
    # Products of sixteen ratios leave float32's range from some size on.
    w = np.full((32, 3), size, "float32")
    wanted = np.log1p(w.astype("float64") / 0.1).sum()
    found = float(regularizers.LogSum(1.0, epsilon=0.1).value(ops.convert_to_tensor(w)))
    np.testing.assert_allclose(found, wanted, rtol=2e-6)
