"""The two ways of counting, NumPy's and the compiled pass, against each other and against NaN."""

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import layers

from keras_reg.report import sparsity
from keras_reg.report.compiled_counting import CompiledReader
from keras_reg.report.sparsity import Meter

LAYERS = {
    "dense": lambda: (layers.Dense(5), (8,)),
    "conv": lambda: (layers.Conv2D(3, 3), (6, 6, 4)),
    "depthwise": lambda: (layers.DepthwiseConv2D(3, depth_multiplier=2), (6, 6, 4)),
    "transposed": lambda: (layers.Conv1DTranspose(3, 2), (6, 4)),
    "einsum": lambda: (layers.EinsumDense("abc,bcd->abd", (5, 3), bias_axes="d"), (5, 4)),
    "gru": lambda: (layers.GRU(4), (6, 3)),
}


def made(kind):
    layer, shape = LAYERS[kind]()
    return keras.Sequential([keras.Input(shape), layer, layers.BatchNormalization()])


@hypothesis.settings(max_examples=6)
@hypothesis.given(st.sampled_from(sorted(LAYERS)), st.integers(0, 9), st.floats(0, 1))
def test_both_ways_of_counting_agree(kind, seed, share):
    model, random = made(kind), np.random.default_rng(seed)
    for weight in model.weights:
        value = random.standard_normal(weight.shape) * (random.random(weight.shape) > share)
        if len(weight.shape) > 1:
            value[..., 0] = 0
        weight.assign(np.abs(value) if "variance" in weight.path else value)
    table = sparsity(model, tolerance=0.2)
    assert Meter(model, 0.2, reader=CompiledReader).measure() == table


def test_a_single_table_compiles_nothing(monkeypatch):
    def compiled(*arguments):
        raise AssertionError("compiled")

    monkeypatch.setattr("keras_reg.report.compiled_counting.compiled", compiled)
    model = made("conv")
    assert sparsity(model).zeros == 0
    with pytest.raises(AssertionError, match="compiled"):
        Meter(model, reader=CompiledReader).measure()


@pytest.mark.parametrize("reader", [None, CompiledReader])
def test_nan_and_infinite_weights_are_counted_shown_and_warned_of(reader):
    model = keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2), layers.Dense(2)])
    model.layers[0].kernel.assign([[np.nan, 0.0], [np.inf, 2.0], [-np.inf, -3.0]])
    meter = Meter(model, tolerance=0.9, reader=reader)
    with pytest.warns(UserWarning, match="3 weights are NaN or infinite, in .*kernel"):
        table = meter.measure()
    row = table.rows[0]
    assert (row.invalid, row.largest, row.zeros, row.near_zeros) == (3, 3.0, 1, 1)
    assert table.invalid == 3
    assert f"NaN or infinite: 3 weights in {row.path}" in str(table)
    assert "class=kr-bad" in table._repr_html_()
    # Once: a warning would be an error.
    assert meter.measure().invalid == 3


def test_the_largest_weight_is_a_figure_of_the_table():
    model = made("dense")
    kernel = np.ones((8, 5), "float32")
    kernel[3, 2] = -7.5
    model.layers[0].kernel.assign(kernel)
    table = sparsity(model)
    assert table.rows[0].largest == 7.5
    assert ">7.5<" in table._repr_html_()


@pytest.mark.parametrize("bad", ["m", None, [], keras.layers.Dense, 3, ["w" * 999]])
def test_what_is_no_model_is_refused(bad):
    with pytest.raises(
        TypeError, match=r"Expected a keras\.Model or keras\.layers\.Layer"
    ) as caught:
        sparsity(bad)
    assert len(str(caught.value)) < 300


def test_weights_that_a_quantization_packs_are_named():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4)])
    model.layers[0].quantize("int4")
    with pytest.raises(ValueError, match="quantized to int4, which packs several weights"):
        sparsity(model)


def test_a_functional_model_with_a_config_of_its_own_has_multiply_adds():
    class Backbone(keras.Model):
        def __init__(self, units):
            x = keras.Input((4,))
            super().__init__(x, layers.Dense(units)(x))
            self.units = units

        def get_config(self):
            return {"units": self.units}

    class Other(Backbone):
        def call(self, x):
            return super().call(super().call(x))

    assert sparsity(Backbone(4)).macs == 16
    assert sparsity(Other(4)).macs is None


def test_a_start_that_all_names_share_stands_in_the_heading():
    inner = [keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(4, name="b")]
    model = keras.Sequential(inner, name="network")
    text = str(sparsity(model))
    assert "weight in" in text
    assert text.count("network/") == 1
    assert "a/kernel" in text
