"""Counts of exact zeros, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg.ops.counts import zero_counts


def with_zeros(shape):
    random = np.random.default_rng(0)
    w = random.standard_normal(shape) * (random.random(shape) < 0.7)
    w[..., 1, :] = 0
    w[..., -1] = 0
    return w.astype("float32")


def counts_by_numpy(w):
    flat = w.reshape(-1, *w.shape[-2:])
    inputs = [not np.any(flat[:, i, :]) for i in range(w.shape[-2])]
    outputs = [not np.any(flat[:, :, j]) for j in range(w.shape[-1])]
    return [int(np.sum(w == 0)), sum(inputs), sum(outputs)]


@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4), (3, 3, 5, 4), (1, 2, 2, 5, 4)])
def test_counts_are_numpys(shape):
    w = with_zeros(shape)
    counts = zero_counts(ops.convert_to_tensor(w))
    assert keras.backend.standardize_dtype(counts.dtype) == "int32"
    assert ops.convert_to_numpy(counts).tolist() == counts_by_numpy(w)


@pytest.mark.parametrize(("fill", "expected"), [(0.0, [12, 3, 4]), (-1.0, [0, 0, 0])])
def test_all_and_none(fill, expected):
    w = ops.full((3, 4), fill)
    assert ops.convert_to_numpy(zero_counts(w)).tolist() == expected


def test_negative_zero_counts_and_nan_and_tiny_do_not():
    w = ops.array([[-0.0, np.nan], [1e-30, np.inf]])
    assert ops.convert_to_numpy(zero_counts(w)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision(dtype):
    # More zeros than these dtypes can count.
    w = ops.zeros((300, 300), dtype=dtype)
    assert ops.convert_to_numpy(zero_counts(w)).tolist() == [90000, 300, 300]
