"""sparsity(model), against counts in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg.report.sparsity import SparsityTable, WeightSparsity, sparsity


class Wrapped(keras.Model):
    """A subclassed model around another model."""

    def __init__(self):
        super().__init__()
        inner = [keras.Input((6,)), keras.layers.Dense(5), keras.layers.Dense(4)]
        self.inner = keras.Sequential(inner)
        self.head = keras.layers.Dense(3)

    def call(self, inputs):
        return self.head(self.inner(inputs))


def dense():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(5)])


def nested():
    return keras.Sequential([keras.Input((6,)), dense(), keras.layers.Dense(3)])


def convolutional():
    layers = [
        keras.layers.Conv2D(4, 3),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(2, 1),
    ]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


def recurrent():
    layers = [keras.layers.Embedding(7, 4), keras.layers.LSTM(3), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((5,), dtype="int32"), *layers])


def subclassed():
    model = Wrapped()
    model(ops.ones((1, 6)))
    return model


MODELS = {dense: 1, nested: 2, convolutional: 2, recurrent: 4, subclassed: 3}


def zero_at_random(model):
    """Zeroes half of each weight, one of its inputs and one of its outputs."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        value = random.standard_normal(weight.shape) * (random.random(weight.shape) < 0.5)
        if len(weight.shape) >= 2:
            value[..., 1, :] = 0
            value[..., -1] = 0
        weight.assign(value)


def assert_row_counts(row, w):
    rows, columns = (np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1) for axis in (-2, -1))
    assert row.shape == w.shape
    assert row.size == w.size
    assert row.zeros == np.sum(w == 0)
    assert row.zero_inputs == np.sum(~rows.any(axis=1))
    assert row.zero_outputs == np.sum(~columns.any(axis=1))
    assert row.sparsity == np.mean(w == 0)


@pytest.mark.parametrize("make", MODELS)
def test_counts_are_numpys(make):
    model = make()
    zero_at_random(model)
    table = sparsity(model)
    assert len(table.rows) == MODELS[make]
    values = {weight.path: ops.convert_to_numpy(weight) for weight in model.weights}
    for row in table:
        assert_row_counts(row, values[row.path])
        assert row.zero_inputs >= 1
        assert row.zero_outputs >= 1
    kernels = [values[row.path] for row in table]
    assert table.size == sum(w.size for w in kernels)
    assert table.zeros == sum(np.sum(w == 0) for w in kernels)
    assert table.sparsity == table.zeros / table.size


def test_frozen_layers_are_counted():
    model = nested()
    zero_at_random(model)
    before = sparsity(model)
    model.layers[0].trainable = False
    assert sparsity(model) == before


def test_a_layer_is_enough_and_low_precision_too():
    layer = keras.layers.Dense(3, dtype="bfloat16", kernel_initializer="zeros")
    layer.build((None, 2))
    assert sparsity(layer).sparsity == 1.0


def test_counts_follow_the_weights():
    model = dense()
    assert sparsity(model).zeros == 0
    model.layers[0].kernel.assign(np.zeros((6, 5)))
    assert sparsity(model).zeros == 30


def test_a_row_is_found_by_its_path():
    model = nested()
    table = sparsity(model)
    path = model.layers[1].kernel.path
    assert table[path].shape == (5, 3)
    with pytest.raises(KeyError, match="kernel"):
        _ = table["no/such/weight"]


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="Expected a built model"):
        sparsity(keras.Sequential([keras.layers.Dense(2)]))


def test_a_model_without_a_kernel_is_refused():
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    with pytest.raises(ValueError, match=r"with a kernel or an embedding matrix.*gamma"):
        sparsity(model)


def test_printed_table_fits_80_columns_and_holds_the_figures():
    long = WeightSparsity(
        "model/" + "very_long_name/" * 9 + "kernel", (12345, 678), 8000000, 11, 22
    )
    text = str(SparsityTable((long, WeightSparsity("dense/kernel", (4, 2), 6, 3, 0))))
    assert max(len(line) for line in text.splitlines()) <= 80
    for figure in ("8,369,910", "8,000,000", "11/12,345", "22/678", "75.0%", "3/4", "0/2", "total"):
        assert figure in text


def test_a_long_path_goes_on_after_a_slash_and_words_stay_whole():
    paths = ["encoder/bidirectional/forward_lstm/lstm_cell/recurrent_kernel", "a/kernel"]
    endless = f"{'x' * 60}{'y' * 60}/kernel"
    rows = [WeightSparsity(path, (12345, 678), 8000000, 11, 22) for path in [*paths, endless]]
    lines = str(SparsityTable(tuple(rows))).splitlines()
    assert max(map(len, lines)) <= 80
    names = [line[:40].strip().split(" ")[0] for line in lines]
    words = {word for name in names for word in name.split("/")}
    assert set("/".join(paths).split("/")) <= words
    (short,) = (word for word in words if "\u2026" in word)
    assert short.startswith("xxxx")
    assert short.endswith("yyyy")


def test_a_table_of_nothing_has_no_sparsity():
    assert SparsityTable(()).sparsity == 0.0
    assert WeightSparsity("empty", (0, 3), 0, 0, 3).sparsity == 0.0
