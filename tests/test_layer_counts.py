"""Zero groups, dead units, heads and multiply-adds of each kind of layer, against NumPy loops."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reg.report.sparsity import sparsity

IMAGE, SEQUENCE = (8, 6, 4), (5, 4)


def model_of(layer, shape):
    return keras.Sequential([keras.Input(shape), layer])


def values_of(model):
    return {weight.path: ops.convert_to_numpy(weight) for weight in model.weights}


def thin_out(model, seed=0):
    """Zeroes some slices of every weight along every axis, and a third of the rest."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        value = random.standard_normal(weight.shape) * (random.random(weight.shape) < 0.7)
        for axis, length in enumerate(weight.shape):
            if length > 2:
                value[(slice(None),) * axis + (random.integers(length),)] = 0
        weight.assign(value)


# A layer, its input, and of each kernel the axes that count inputs and outputs.
CASES = [
    (layers.Dense(6), SEQUENCE, {"kernel": ((0,), (1,))}),
    (layers.Conv1D(6, 3, strides=2), SEQUENCE, {"kernel": ((1,), (2,))}),
    (layers.Conv2D(6, 3, padding="same"), IMAGE, {"kernel": ((2,), (3,))}),
    (layers.Conv2D(6, 3, groups=2, dilation_rate=2), IMAGE, {"kernel": ((2,), (3,))}),
    (layers.Conv3D(2, 2), (4, *IMAGE), {"kernel": ((3,), (4,))}),
    (layers.Conv1DTranspose(6, 3), SEQUENCE, {"kernel": ((2,), (1,))}),
    (layers.Conv2DTranspose(6, 3, strides=2), IMAGE, {"kernel": ((3,), (2,))}),
    (layers.DepthwiseConv2D(3, depth_multiplier=3), IMAGE, {"kernel": ((2,), (2, 3))}),
    (layers.DepthwiseConv1D(2, depth_multiplier=3), SEQUENCE, {"kernel": ((1,), (1, 2))}),
    (
        layers.SeparableConv2D(6, 3, strides=2, depth_multiplier=2),
        IMAGE,
        {"depthwise_kernel": ((2,), (2, 3)), "pointwise_kernel": ((2,), (3,))},
    ),
    (
        layers.EinsumDense("abc,cde->abde", (5, 3, 2), bias_axes="de"),
        SEQUENCE,
        {"kernel": ((0,), (1, 2))},
    ),
    (
        layers.EinsumDense("abc,bcd->abd", (5, 3), bias_axes="d"),
        SEQUENCE,
        {"kernel": ((0, 1), (0, 2))},
    ),
    (
        layers.EinsumDense("...bc,bcd->...d", 3, bias_axes="d"),
        (2, *SEQUENCE),
        {"kernel": ((0, 1), (2,))},
    ),
    (layers.EinsumDense("abc,dc->adb", (3, 5)), SEQUENCE, {"kernel": ((1,), (0,))}),
    (layers.LSTM(3), SEQUENCE, {"kernel": ((0,), (1,)), "recurrent_kernel": ((0,), (1,))}),
]


def by_groups(w, axes):
    """The value at each index over some axes, as a list of arrays."""
    ranges = [range(w.shape[axis]) for axis in axes]
    for index in itertools.product(*ranges):
        at = [slice(None)] * w.ndim
        for axis, number in zip(axes, index, strict=True):
            at[axis] = number
        yield tuple(at), w[tuple(at)]


def zero_groups(w, axes):
    return [at for at, group in by_groups(w, axes) if not np.any(group)]


def left_of(w, inputs, outputs):
    """Entries that lie in no zero group."""
    kept = np.ones(w.shape, bool)
    for at in zero_groups(w, inputs) + zero_groups(w, outputs):
        kept[at] = False
    return int(kept.sum())


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    CASES,
    ids=[type(case[0]).__name__ + str(i) for i, case in enumerate(CASES)],
)
def test_groups_of_each_layer(layer, shape, axes):
    model = model_of(type(layer).from_config(layer.get_config()), shape)
    thin_out(model)
    table, values = sparsity(model, tolerance=0.3), values_of(model)
    assert {row.path.rsplit("/", 1)[-1] for row in table} == set(axes)
    for row in table:
        w = values[row.path].astype("float32")
        inputs, outputs = axes[row.path.rsplit("/", 1)[-1]]
        assert row.zeros == np.sum(w == 0)
        near = (np.abs(w) <= np.float32(0.3) * np.abs(w).max()) & (w != 0)
        assert row.near_zeros == near.sum() > 0
        assert row.zero_inputs == len(zero_groups(w, inputs))
        assert row.zero_outputs == len(zero_groups(w, outputs))
        assert row.inputs == len(list(by_groups(w, inputs)))
        assert row.outputs == len(list(by_groups(w, outputs)))
        assert row.left == left_of(w, inputs, outputs) < w.size
    assert table.parameters == model.count_params()
    alone = table.parameters - table.size + sum(row.left for row in table)
    assert sum(layer.left for layer in table.layers) == alone
    # Inputs and outputs of a model stay.
    assert table.parameters_left == table.parameters


# Multiply-adds written out by hand from the definition of each layer, in the order of CASES.
MACS = [
    5 * 4 * 6,
    2 * 3 * 4 * 6,
    8 * 6 * 9 * 4 * 6,
    4 * 2 * 9 * 2 * 6,
    3 * 7 * 5 * 8 * 4 * 2,
    5 * 3 * 4 * 6,
    8 * 6 * 9 * 4 * 6,
    6 * 4 * 9 * 4 * 3,
    4 * 2 * 4 * 3,
    3 * 2 * (9 * 4 * 2 + 8 * 6),
    5 * 4 * 6,
    5 * 4 * 3,
    2 * 5 * 4 * 3,
    5 * 4 * 3,
    5 * (4 * 12 + 3 * 12),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_multiply_adds_of_each_layer(case):
    (layer, shape, _), macs = CASES[case], MACS[case]
    model = model_of(type(layer).from_config(layer.get_config()), shape)
    table = sparsity(model)
    assert table.macs == table.macs_left == macs
    thin_out(model)
    thinned = sparsity(model)
    assert thinned.macs == macs
    uses = {row.path: row.macs // row.size for row in table}
    alone = sum(uses[row.path] * row.left for row in thinned)
    assert sum(layer.macs_left for layer in thinned.layers) == alone
    assert thinned.macs_left == macs


def test_dead_units_need_kernel_and_bias():
    model = model_of(layers.Dense(5), (3,))
    kernel, bias = np.ones((3, 5)), np.ones(5)
    kernel[:, :3], bias[1:4] = 0, 0
    model.set_weights([kernel, bias])
    [layer] = sparsity(model).layers
    assert (layer.units, layer.dead_units) == (5, 2)


@pytest.mark.parametrize("scale", [True, False])
def test_dead_channels_need_the_scale_that_follows(scale):
    x = keras.Input((6, 6, 2))
    y = layers.BatchNormalization(scale=scale)(layers.Conv2D(4, 3)(x))
    model = keras.Model(x, layers.Conv2D(1, 1)(layers.ReLU()(y)))
    kernel = np.ones((3, 3, 2, 4))
    kernel[..., :3] = 0
    model.layers[1].set_weights([kernel, np.zeros(4)])
    if scale:
        model.layers[2].gamma.assign([0, 1, 0, 0])
    assert sparsity(model).layers[0].dead_units == (2 if scale else 3)


def test_a_scale_after_two_uses_does_not_count():
    x = keras.Input((4,))
    hidden = layers.Dense(3, kernel_initializer="zeros")(x)
    model = keras.Model(x, [layers.BatchNormalization()(hidden), hidden])
    assert sparsity(model).layers[0].dead_units == 3


def test_dead_units_of_an_einsum_with_a_bias_of_its_own_axes():
    model = model_of(layers.EinsumDense("abc,cde->abde", (5, 3, 2), bias_axes="d"), SEQUENCE)
    kernel, bias = np.ones((4, 3, 2)), np.ones((3, 1))
    kernel[:, :2] = 0
    bias[1] = 0
    model.set_weights([kernel, bias])
    assert sparsity(model).dead_units == 2


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_dead_units_of_recurrent_layers_never_speak(kind):
    layer = kind(4, return_sequences=True)
    model = model_of(layer, SEQUENCE)
    for weight in model.weights:
        value = np.random.default_rng(0).standard_normal(weight.shape)
        units = {layers.LSTM: slice(8, 10), layers.GRU: slice(8, 10)}.get(kind, slice(0, 2))
        value[..., units] = 0
        weight.assign(value)
    output = model.predict(np.random.default_rng(1).standard_normal((2, *SEQUENCE)), verbose=0)
    assert sparsity(model).dead_units == 2
    assert not output[..., :2].any()
    assert output[..., 2:].all()


ATTENTION = {
    "multi-head": lambda: layers.MultiHeadAttention(4, 3, value_dim=2),
    "grouped query": lambda: layers.GroupQueryAttention(3, 4, 2),
}


@pytest.mark.parametrize("kind", ATTENTION)
def test_heads(kind):
    query, value = keras.Input((5, 8)), keras.Input((7, 8))
    attention = ATTENTION[kind]()
    model = keras.Model([query, value], attention(query, value))
    assert sparsity(model).layers[0].heads == 4
    assert sparsity(model).layers[0].zero_heads == 0
    output = next(w for w in model.weights if "attention_output/kernel" in w.path)
    zeroed = ops.convert_to_numpy(output).copy()
    zeroed[0] = 0
    output.assign(zeroed)
    assert sparsity(model).layers[0].zero_heads == 1
    kernel = next(w for w in model.weights if "value/kernel" in w.path)
    zeroed = ops.convert_to_numpy(kernel).copy()
    zeroed[:, 1] = 0
    kernel.assign(zeroed)
    # Two query heads share a value head of the grouped kind.
    assert sparsity(model).layers[0].zero_heads == (2 if kind == "multi-head" else 3)


def test_multiply_adds_of_attention():
    query, value = keras.Input((5, 8)), keras.Input((7, 8))
    attention = layers.MultiHeadAttention(4, 3, value_dim=2)
    model = keras.Model([query, value], attention(query, value))
    projections = 5 * 8 * 4 * 3 + 7 * 8 * 4 * 3 + 7 * 8 * 4 * 2 + 5 * 4 * 2 * 8
    assert sparsity(model).macs == projections + 5 * 7 * 4 * (3 + 2)


def test_multiply_adds_of_wrapped_layers():
    inner = layers.TimeDistributed(layers.Dense(3))
    model = keras.Sequential([keras.Input(SEQUENCE), inner, layers.Bidirectional(layers.GRU(2))])
    assert sparsity(model).macs == 5 * 4 * 3 + 2 * 5 * (3 * 6 + 2 * 6)


def test_patterns_are_counted_along_inputs():
    kernel = np.ones((8, 3))
    kernel[0:2, 0] = kernel[4:6, 0] = 0
    kernel[0:3, 1] = kernel[4:7, 1] = 0
    model = model_of(layers.Dense(3, use_bias=False), (8,))
    model.set_weights([kernel])
    assert sparsity(model).rows[0].compliance == {"1:4": 2 / 6, "2:4": 4 / 6, "4:8": 2 / 3}
    odd = model_of(layers.Dense(3), (6,))
    assert sparsity(odd).rows[0].compliance == {}
