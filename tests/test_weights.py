"""Which variables are kernels, and which a pattern names."""

import contextlib

import keras
import numpy as np
import pytest

from keras_reg import sparsity
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import L1
from keras_reg.structure import check_pattern, is_kernel, kernels_of, match, path_of
from keras_reg.structure.weights import names_once

INPUT = (None, 8, 8, 4)
SEQUENCE = (None, 8, 4)

LAYERS = [
    (keras.layers.Dense(3), [(None, 4)], {"kernel"}),
    (keras.layers.Conv2D(3, 2), [INPUT], {"kernel"}),
    (keras.layers.SeparableConv2D(3, 2), [INPUT], {"depthwise_kernel", "pointwise_kernel"}),
    (keras.layers.Embedding(5, 2), [(None, 8)], {"embeddings"}),
    (keras.layers.PReLU(), [SEQUENCE], set()),
    (keras.layers.GRU(3, reset_after=True), [SEQUENCE], {"kernel", "recurrent_kernel"}),
    (keras.layers.LSTM(3), [SEQUENCE], {"kernel", "recurrent_kernel"}),
    (keras.layers.MultiHeadAttention(2, 3), [SEQUENCE] * 2, {"kernel"}),
    (keras.layers.BatchNormalization(), [INPUT], set()),
    (keras.layers.LayerNormalization(axis=(1, 2)), [SEQUENCE], set()),
    (keras.layers.GroupNormalization(2), [INPUT], set()),
]


def two_dense():
    hidden, output = keras.layers.Dense(4, name="hidden"), keras.layers.Dense(2, name="output")
    return keras.Sequential([keras.Input((3,)), hidden, output], name="model")


def at(path, shape):
    """A variable of this path."""
    *layers, name = path.split("/")
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(keras.name_scope(layer))
        return keras.Variable(np.ones(shape, "float32"), name=name)


def paths(found):
    return {pattern: [path_of(variable) for variable in found[pattern]] for pattern in found}


@pytest.mark.parametrize(
    ("layer", "shapes", "kernels"), LAYERS, ids=[type(case[0]).__name__ for case in LAYERS]
)
def test_kernels_of_a_layer(layer, shapes, kernels):
    fresh = type(layer).from_config(layer.get_config())
    fresh.build(*shapes)
    found = [weight for weight in fresh.weights if is_kernel(weight)]
    assert {weight.name for weight in found} == kernels
    left_out = {weight.name for weight in fresh.weights if not is_kernel(weight)}
    assert left_out <= {"alpha", "bias", "gamma", "beta", "moving_mean", "moving_variance"}


@pytest.mark.parametrize(
    "path",
    [
        *("vit/class_token", "deit/distillation_token", "dino/register_tokens", "mae/mask_token"),
        *("sam/pos_embed", "sam/rel_pos_h", "swin/relative_position_bias_table"),
        *("deberta/rel_embedding", "xlnet/mask_emb", "xlnet/segment_encoding"),
        *("gpt/position_embedding/embeddings", "dino/interpolated_position_embeddings"),
        "sam/positional_encoding_gaussian_matrix",
    ],
)
def test_learned_inputs_are_no_kernels(path):
    assert not is_kernel(at(path, (4, 3)))


@pytest.mark.parametrize(
    "path",
    [
        *("token_embedding/embeddings", "position_mixer/kernel", "experts/gate_up_proj"),
        *("word_tokens_projection/kernel", "feedforward_intermediate_dense/kernel"),
    ],
)
def test_kernels_in_layers_of_any_name(path):
    assert is_kernel(at(path, (4, 3)))


def test_one_vector_under_another_name_is_a_learned_input():
    assert not is_kernel(at("pooling/variable", (1, 1, 3)))
    assert is_kernel(at("conv/kernel", (1, 1, 3)))
    assert is_kernel(at("adapter/weights", (2, 1, 3)))


class Table(keras.layers.Layer):
    """Adds one row for each place: not a layer of Keras that looks up embeddings."""

    def build(self, shape):
        self.embeddings = self.add_weight(shape=shape[1:], name="embeddings")

    def call(self, x):
        return x + self.embeddings


def test_the_owner_of_embeddings_decides_where_it_is_known():
    x = keras.Input((4,), dtype="int32")
    words = keras.layers.Embedding(5, 3, name="words")(x)
    places = keras.layers.Embedding(5, 3, name="position_embedding")(x)
    flat = keras.layers.Flatten()(Table(name="where")(words + places))
    model = keras.Model(x, keras.layers.Dense(2, name="head")(flat))
    expected = ["words/embeddings", "head/kernel"]
    assert [variable.path for variable in kernels_of(model)] == expected
    assert [row.path for row in sparsity(model).rows] == expected
    proximal = Proximal("sgd", L1(0.1), model=model)
    again = Proximal.from_config(proximal.get_config())
    for optimizer in (proximal, again):
        pairs = optimizer.resolve(model.trainable_variables)
        assert [variable.path for _, variable in pairs] == expected
        left_out = ["position_embedding/embeddings", "where/embeddings"]
        assert sorted(optimizer.left_out(model.trainable_variables)) == left_out


def test_attention_has_four_kernels():
    attention = keras.layers.MultiHeadAttention(2, 3)
    attention.build(SEQUENCE, SEQUENCE)
    assert sum(is_kernel(weight) for weight in attention.weights) == 4


def test_integer_matrices_and_vectors_are_no_kernels():
    assert not is_kernel(keras.Variable([[1, 2]], dtype="int32", trainable=False, name="kernel"))
    assert not is_kernel(keras.Variable([1.0, 2.0], name="kernel"))
    assert is_kernel(keras.Variable([[1.0, 2.0]], dtype="bfloat16", name="kernel"))


def test_a_frozen_kernel_is_a_kernel():
    assert is_kernel(keras.Variable([[1.0]], trainable=False, name="kernel"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tests a TensorFlow API")
def test_a_tensorflow_variable_has_a_name():
    import tensorflow as tf

    variable = tf.Variable([[1.0]], name="weights")
    assert path_of(variable) == "weights:0"
    assert is_kernel(variable)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("hidden/kernel", ["model/hidden/kernel"]),
        ("model/hidden/kernel", ["model/hidden/kernel"]),
        ("kernel", ["model/hidden/kernel", "model/output/kernel"]),
        (".*/kernel", ["model/hidden/kernel", "model/output/kernel"]),
        ("(hidden|output)/bias", ["model/hidden/bias", "model/output/bias"]),
        ("hidden/.*", ["model/hidden/kernel", "model/hidden/bias"]),
    ],
)
def test_a_pattern_names_a_path_or_what_follows_a_slash(pattern, named):
    found = [
        path.removeprefix("model/")
        for path in paths(match([pattern], two_dense().weights))[pattern]
    ]
    assert found == [path.removeprefix("model/") for path in named]


@pytest.mark.parametrize("pattern", ["idden/kernel", "hidden", "hidden/kern", "hidden/kernel/", ""])
def test_a_part_of_a_name_is_not_enough(pattern):
    with pytest.raises(ValueError, match="Expected the pattern"):
        match([pattern], two_dense().weights)


def test_an_exact_path_wins():
    weights = [weight for weight in two_dense().weights if is_kernel(weight)]
    exact = weights[0].path
    for patterns in ([".*kernel", exact], [exact, ".*kernel"]):
        assert paths(match(patterns, weights)) == {exact: [exact], ".*kernel": [weights[1].path]}


def test_a_pattern_whose_only_variable_has_an_exact_path_is_no_error():
    weight = two_dense().layers[0].kernel
    assert paths(match(["hidden/.*", weight.path], [weight]))[weight.path] == [weight.path]


def test_two_patterns_on_one_variable_are_refused():
    with pytest.raises(ValueError, match=r"at most one pattern to match .*hidden/kernel. Received"):
        match(["hidden/.*", ".*/kernel"], two_dense().weights)


def test_nothing_matched_lists_the_nearest_paths():
    with pytest.raises(ValueError, match=r"hiden/kernel.*none of 4. The nearest: .*hidden/kernel"):
        match(["hiden/kernel"], two_dense().weights)
    with pytest.raises(ValueError, match="there are no variables"):
        match(["kernel"], [])


def twins():
    """Three variables of one path, and one with its own."""
    with keras.name_scope("tower"):
        same = [keras.Variable([[1.0]], name="kernel") for _ in range(3)]
    return [*same, keras.Variable([[1.0]], name="head")]


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["tower/kernel"], [[0, 1, 2]]),
        (["tower/kernel#2"], [[1]]),
        (["kernel#1"], [[0]]),
        ([".*#[23]"], [[1, 2]]),
        (["head#1"], [[3]]),
        (["kernel", "kernel#2"], [[0, 2], [1]]),
        (["tower/kernel#3", "tower/kernel", ".*#.*"], [[2], [], [0, 1, 3]]),
    ],
)
def test_a_number_tells_weights_of_one_path_apart(patterns, chosen):
    variables = twins()
    assert names_once(variables) == ["tower/kernel", "tower/kernel#2", "tower/kernel#3", "head"]
    found = match(patterns, variables)
    numbers = [
        [at for at, v in enumerate(variables) if any(v is f for f in found[p])] for p in patterns
    ]
    assert numbers == chosen


def test_names_of_a_larger_list_are_the_ones_that_count():
    first, second, third, _ = twins()
    found = match(["kernel#3"], [second, third], names_once([first, second, third])[1:])
    assert found["kernel#3"] == [third]


def test_an_error_on_a_shared_path_says_how_to_name_one():
    with pytest.raises(ValueError, match=r"match tower/kernel. Received.*`tower/kernel#2` the sec"):
        match(["tower/k.*", "kernel"], twins())
    with pytest.raises(ValueError, match=r"tower/kernel#3"):
        match(["tower/kernel#4"], twins())


def test_variables_keep_their_order():
    weights = two_dense().weights
    assert match(["kernel"], weights[::-1])["kernel"] == [weights[2], weights[0]]


@pytest.mark.parametrize("bad", ["(", "*kernel", None, 3])
def test_bad_expressions_are_refused(bad):
    with pytest.raises(ValueError, match="Expected a regular expression over variable paths"):
        check_pattern(bad)
