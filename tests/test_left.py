"""What is left without channels that do nothing: parameters and multiply-adds of all together."""

import itertools

import channel_models
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order
from test_channels import entries

import keras_reg as kr
from keras_reg.structure.channels import channels
from keras_reg.structure.channels.left import Wiring

ON_TORCH = keras.backend.backend() == "torch"
CHECKED = channel_models.MODELS if ON_TORCH else ["residual", "lstm", "post-norm"]


def left_of(model):
    left = Wiring(model).left(ops.convert_to_numpy).entries
    return sum(left.get(id(one), int(np.prod(one.shape))) for one in model.weights)


@pytest.mark.parametrize("name", CHECKED)
def test_what_is_left_of_a_model_without_one_channel_of_each_group(name):
    """All weights are drawn at random, so those of the channel are the only zeros."""
    model = channel_models.made(name)
    assert left_of(model) == model.count_params()
    seeds = sum(int(np.prod(one.shape)) for one in model.weights if "seed" in one.path)
    arrays = {id(one): ops.convert_to_numpy(one).copy() for one in model.weights}
    for group in channels(model).free():
        for part in group.parts:
            arrays[id(part.variable)][entries(part, 0)] = 0
    for one in model.weights:
        if "variance" not in one.path and "seed" not in one.path:
            one.assign(arrays[id(one)])
    counted = [np.count_nonzero(arrays[id(one)]) for one in model.weights if "seed" not in one.path]
    assert left_of(model) == sum(counted) + seeds


def kernels(sizes):
    shapes = itertools.pairwise(sizes)
    return st.tuples(
        *(
            st.lists(st.integers(0, 2), min_size=rows * columns, max_size=rows * columns).map(
                lambda flat, shape=(rows, columns): np.reshape(flat, shape).astype("float32") // 2
            )
            for rows, columns in shapes
        )
    )


def alive_units(arrays, sizes):
    """The units of each layer that an input reaches and that reach an output, by scipy."""
    starts = np.cumsum([0, *sizes])
    pairs = [
        np.add(np.argwhere(w), (starts[at], starts[at + 1]))
        for at, w in enumerate(arrays)
        if w.any()
    ]
    source, sink = starts[-1], starts[-1] + 1
    edges = [*([source, node] for node in range(sizes[0])), *np.concatenate(pairs).tolist()]
    edges += [[node, sink] for node in range(starts[-2], starts[-1])]
    graph = coo_matrix((np.ones(len(edges)), np.array(edges).T), shape=(sink + 1, sink + 1)).tocsr()
    there = breadth_first_order(graph, source, return_predecessors=False)
    back = breadth_first_order(graph.T.tocsr(), sink, return_predecessors=False)
    both = np.intersect1d(there, back)
    return [int(np.sum((both >= a) & (both < b))) for a, b in itertools.pairwise(starts)]


SIZES = (3, 4, 5, 4, 2)


@pytest.fixture(scope="module")
def wired():
    stack = [layers.Dense(size, activation="tanh") for size in SIZES[1:]]
    model = keras.Sequential([keras.Input(SIZES[:1]), *stack])
    return stack, Wiring(model)


@settings(max_examples=60, deadline=None)
@given(arrays=kernels(SIZES))
def test_units_stay_on_paths_from_inputs_to_outputs(wired, arrays):
    stack, wiring = wired
    if not all(array.any() for array in arrays):
        return
    alive = alive_units(arrays, SIZES)[1:-1]
    if not all(alive):
        return  # One unit stays anyway, and which is free.
    values = {id(layer.kernel): array for layer, array in zip(stack, arrays, strict=True)}
    left = wiring.left(lambda one: values.get(id(one), np.zeros(one.shape))).entries
    sizes = [SIZES[0], *alive, SIZES[-1]]
    for layer, rows, columns in zip(stack, sizes[:-1], sizes[1:], strict=True):
        assert (left[id(layer.kernel)], left[id(layer.bias)]) == (rows * columns, columns)


def convolutions(padding, gamma, beta):
    """A filter whose kernel is alive and whose normalization has this scale and offset."""
    x = keras.Input((8, 8, 3))
    norm = layers.BatchNormalization()
    y = layers.ReLU()(norm(layers.Conv2D(4, 3, use_bias=False)(x)))
    z = layers.Conv2D(5, 3, padding=padding)(y)
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(z)))
    norm.gamma.assign([gamma, 1, 1, 1])
    norm.beta.assign([beta, 1, 1, 1])
    return model


@pytest.mark.parametrize(
    ("padding", "gamma", "beta", "goes"),
    [
        *(("same", 0.0, 0.0, True), ("same", 0.0, 0.5, False), ("valid", 0.0, 0.5, True)),
        ("valid", 1.0, 0.0, False),
    ],
)
def test_constants_go_unless_a_convolution_pads(padding, gamma, beta, goes):
    model = convolutions(padding, gamma, beta)
    left = kr.sparsity(model).parameters_left
    assert left == model.count_params() - goes * (27 + 4 + 9 * 5)


def test_of_constants_that_padding_ends_one_is_left():
    model = convolutions("same", 0.0, 0.5)
    norm = next(one for one in model.layers if isinstance(one, layers.BatchNormalization))
    norm.gamma.assign([0, 0, 0, 1])
    norm.beta.assign([0.5, 0.7, 0.0, 1])
    left = kr.sparsity(model).parameters_left
    assert left == model.count_params() - 2 * (27 + 4 + 9 * 5) == kr.compact(model).count_params()


def test_a_report_counts_all_readers_of_a_dead_unit():
    x = keras.Input((6,))
    hidden = layers.Dense(5, activation="relu")
    y = hidden(x)
    model = keras.Model(x, [layers.Dense(3)(y), layers.Dense(4)(y)])
    kernel = np.ones((6, 5), "float32")
    kernel[:, :2] = 0
    hidden.kernel.assign(kernel)
    table = kr.sparsity(model)
    assert table.parameters_left == 6 * 3 + 3 + 3 * 3 + 3 + 3 * 4 + 4
    assert table.macs_left == 6 * 3 + 3 * 3 + 3 * 4
    assert table.each_alone is None
    assert table.logs()["macs_left"] == table.macs_left
    assert "without dead channels 49" in str(table)
    assert type(table).from_json(table.to_json()) == table


def test_a_layer_is_counted_weight_by_weight_and_says_so():
    layer = layers.Dense(3)
    layer.build((None, 4))
    layer.kernel.assign(np.eye(4, 3))
    table = kr.sparsity(layer)
    assert table.parameters_left == 3 * 3 + 3
    assert "keras.Model" in table.each_alone
    assert "counted in each weight alone" in " ".join(str(table).split())


DRAWN = (
    *("residual", "densenet", "inverted residual", "squeeze-excite", "grouped", "flattened"),
    *("lstm", "bidirectional", "pre-norm", "two outputs", "siamese", "separable", "group query"),
)


# On JAX that with attention, whose sizes are one there.
FIRST = "pre-norm" if keras.backend.backend() == "jax" else DRAWN[0]


@pytest.mark.parametrize("name", DRAWN if ON_TORCH else [FIRST])
def test_what_is_left_is_the_model_that_compact_makes(name):
    """Of each group some channels are drawn; all that makes, carries or reads them is zero."""
    model = channel_models.made(name)
    arrays = {id(one): ops.convert_to_numpy(one).copy() for one in model.weights}
    rng = np.random.default_rng(0)
    for group in channels(model).free():
        sides = [{"makes", "carries"}, {"reads"}][rng.integers(2)]
        for channel in rng.permutation(group.size)[: rng.integers(1, max(2, group.size))]:
            for part in group.parts:
                if part.roles & sides:
                    arrays[id(part.variable)][entries(part, channel)] = 0
    for one in model.weights:
        if "seed" not in one.path and "variance" not in one.path:
            one.assign(arrays[id(one)])
    table, small = kr.sparsity(model), kr.sparsity(kr.compact(model))
    assert table.parameters_left == small.parameters < table.parameters
    assert table.macs_left == small.macs
