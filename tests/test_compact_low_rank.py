"""compact(model, low_rank=True): kernels of small rank become two."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from test_compact import assert_same

import keras_reg as kr


def low(rank, *shape, seed=0):
    """A matrix of this rank, on the last two axes of a shape."""
    rng = np.random.default_rng(seed)
    rows, columns = shape[-2:]
    matrix = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))
    return (matrix / np.sqrt(rank)).reshape(shape)


def network():
    keras.backend.clear_session()
    x = keras.Input((6, 6, 12))
    options = {"strides": 2, "padding": "same", "activation": "relu"}
    y = layers.Conv2D(16, 1, name="pointwise", **options)(x)
    y = layers.Flatten()(layers.Conv2D(8, 3, name="wide")(y))
    shared = layers.Dense(8, activation="tanh", name="shared")
    y = layers.Dense(2, name="out")(shared(shared(y)))
    model = keras.Model(x, y, name="net")
    model.get_layer("pointwise").kernel.assign(low(3, 1, 1, 12, 16))
    model.get_layer("shared").kernel.assign(low(2, 8, 8))
    model.get_layer("shared").bias.assign(np.arange(8))
    return model


def test_pairs_of_layers_have_the_same_outputs(tmp_path):
    model = network()
    small = kr.compact(model, low_rank=True)
    rank = np.linalg.matrix_rank(np.array(ops.convert_to_numpy(model.layers[1].kernel))[0, 0])
    assert small.get_layer("pointwise_low_rank").filters == rank == 3
    assert small.get_layer("shared_low_rank").units == 2
    assert "out_low_rank" not in [layer.name for layer in small.layers]
    assert {layer.name for layer in model.layers} < {layer.name for layer in small.layers}
    x = np.random.default_rng(1).normal(size=(3, 6, 6, 12)).astype("float32")
    assert_same(model, small, x)
    small.save(tmp_path / "small.keras")
    assert_same(small, keras.saving.load_model(tmp_path / "small.keras"), x)
    small.compile("sgd", "mse")
    small.fit(x, np.zeros((3, 2)), verbose=0)


def test_the_table_shows_them(tmp_path):
    model = network()
    kernel = np.array(ops.convert_to_numpy(model.get_layer("pointwise").kernel))
    model.get_layer("pointwise").kernel.assign(np.where(np.arange(16) < 9, kernel, 0))
    found = kr.compacting.removable(model, low_rank=True)
    lines = str(found).splitlines()
    assert "pointwise (1, 1, 12, 16) -> (1, 1, 12, 3) @ (1, 1, 3, 9)" in lines
    assert "shared (8, 8) -> (8, 2) @ (2, 8)" in lines
    assert "  outputs compared: out" in lines
    small = kr.compact(model, low_rank=True)
    assert found.parameters[1] == small.count_params()
    # Places of the strided convolution, and two calls of the shared layer.
    before = 9 * 12 * 16 + 9 * 16 * 8 + 2 * 64 + 16
    after = 9 * (12 * 3 + 3 * 9) + 9 * 9 * 8 + 2 * 32 + 16
    assert found.macs == (before, after)
    for one, size in zip((model, small), found.file_size, strict=True):
        one.save(tmp_path / "net.keras")
        assert (tmp_path / "net.keras").stat().st_size == size


def test_embeddings_and_sequential_models():
    model = keras.Sequential([keras.Input((5,), dtype="int32")])
    model.add(layers.Embedding(20, 10, mask_zero=True, name="words"))
    model.add(layers.LSTM(3))
    model.layers[0].embeddings.assign(low(2, 20, 10))
    small = kr.compact(model, low_rank=True)
    assert [layer.name for layer in small.layers][:2] == ["words", "words_low_rank"]
    assert small.layers[0].output_dim == 2
    x = np.arange(10).reshape(2, 5)
    assert_same(model, small, x)


def test_what_stays_one():
    model = keras.Sequential([keras.Input((8,))])
    model.add(layers.Dense(8, kernel_regularizer="l2"))
    model.add(layers.Dense(8, kernel_constraint="unit_norm"))
    model.add(layers.Dense(8))
    for layer in model.layers[:2]:
        layer.kernel.assign(low(1, 8, 8))
    assert len(kr.compact(model, low_rank=True).layers) == 3
    model.layers[2].kernel.assign(low(3, 8, 8))
    assert len(kr.compact(model, low_rank=True).layers) == 4
    # A rank of 4 would be as large as the kernel.
    assert len(kr.compact(model, low_rank=True, multiple_of=4).layers) == 3
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`low_rank` or `keep_optimizer`"):
        kr.compact(model, low_rank=True, keep_optimizer=True)


def test_what_a_numerical_rank_leaves_out_is_rounding():
    # Singular values that `numpy.linalg.matrix_rank` takes for 0, as a proximal step in single
    # precision leaves them, move the outputs by more than a unit in the last place of each weight.
    model = keras.Sequential([keras.Input((400,)), layers.Dense(100, name="wide")])
    left, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(400, 100)))
    right, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(100, 100)))
    values = np.where(np.arange(100) < 3, 1.0, 0.9 * 400 * np.finfo("float32").eps)
    model.layers[0].kernel.assign((left * values) @ right)
    small = kr.compact(model, low_rank=True)
    assert small.get_layer("wide_low_rank").units == 3
