"""compact: the same outputs, from as few channels as possible."""

import compact_models
import keras
import numpy as np
import pytest
from compact_models import MODELS, inputs_of, made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from zeroed import PATTERNS, zero_channels, zero_some

import keras_reg as kr
from keras_reg.compacting import removal
from keras_reg.structure.channels import channels

REFUSED = ("tied",)
FEW = ["residual", "masked", "causal"]
# PyTorch compiles nothing, so it takes them all.
CHECKED = [name for name in MODELS if name not in REFUSED]
CHECKED = CHECKED if keras.backend.backend() == "torch" else FEW


@pytest.fixture(autouse=True)
def fresh_names():
    keras.backend.clear_session()


def outputs(model, x):
    flat = keras.tree.flatten(model(x, training=False))
    return [np.array(ops.convert_to_numpy(one)) for one in flat]


def assert_same(model, small, x):
    for one, other in zip(outputs(model, x), outputs(small, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


def state(model):
    every = model._flatten_layers()
    nodes = [(list(map(id, one._inbound_nodes)), len(one._outbound_nodes)) for one in every]
    return nodes, [weight.tobytes() for weight in model.get_weights()], model.to_json()


def expected_lengths(model, pattern, seed):
    """Zeroes channels; gives the length that each axis of a kernel that makes channels can get."""
    rng, lengths = np.random.default_rng(seed), {}
    for group in channels(model).free():
        dead = rng.random(group.size) < 0.5
        dead[rng.integers(group.size)] = False
        zero_some(group, dead, PATTERNS[pattern])
        for part in group.parts:
            if "makes" in part.roles:
                left = int(np.sum(~dead)) * part.indices.shape[1]
                key = part.variable.path, part.axis
                lengths[key] = left + lengths.get(key, 0)
    return lengths


# Where what reads channels is zeroed, not what makes them.
ROWS = ("lstm", "flattened", "nested twice", "sequences", "shared tower", "siamese", "unet")
# Models in which more stays than is read, and why.
LARGER = {
    "group query": "one number for the size of keys and that of values",
    "cross attention": "heads, keys and values of one kernel",
    "custom": "the config of a layer of one's own",
    "sliced": "a slice that would be empty",
    "padded": "a constant that is not 0 is no longer one after padding",
}
if keras.backend.backend() == "jax":
    LARGER |= dict.fromkeys(("pre-norm", "post-norm", "causal"), "one size for keys and values")


@pytest.mark.parametrize("name", CHECKED)
def test_the_outputs_stay_and_every_dead_channel_goes(name):
    model = made(name)
    pattern = "rows" if name in ROWS else "whole"
    lengths = expected_lengths(model, pattern, seed=3)
    before, x = state(model), inputs_of(model)
    small = kr.compact(model, verify=False)
    assert state(model) == before
    assert_same(model, small, x)
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    shapes = {weight.path: weight.shape for weight in small.weights}
    larger = [key for key, length in lengths.items() if shapes[key[0]][key[1]] > length]
    assert name in LARGER or not larger


FOLDED = ["flattened", "no bias", "einsum", "siamese", "squeeze-excite", "residual", "gru"]


@pytest.mark.parametrize("name", FOLDED if len(CHECKED) > len(FEW) else FEW)
def test_constant_channels_keep_the_outputs(name):
    model = made(name)
    zero_channels(model, "kernels")
    assert_same(model, kr.compact(model, verify=False), inputs_of(model))


@pytest.mark.parametrize("name", FEW)
def test_a_smaller_model_saves_loads_and_trains(name, tmp_path):
    model = made(name)
    zero_channels(model, "whole")
    small, x = kr.compact(model), inputs_of(model)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert_same(small, loaded, x)
    small.compile("sgd", "mse")
    before = small.get_weights()
    small.fit(x, ops.zeros(np.shape(outputs(model, x)[0])), verbose=0)
    assert any(np.any(a != b) for a, b in zip(before, small.get_weights(), strict=True))


def dense_pair(**kwargs):
    model = compact_models.of((3,), layers.Dense(8, **kwargs, name="a"), layers.Dense(2, name="b"))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(("multiple", "left"), [(1, 3), (2, 4), (4, 4), (5, 5), (7, 7), (9, 8)])
def test_sizes_are_rounded_up(multiple, left):
    model = dense_pair()
    kernel = model.layers[0].kernel
    kernel.assign(np.where(np.arange(8) < 3, ops.convert_to_numpy(kernel), 0))
    small = kr.compact(model, multiple_of=multiple)
    assert small.layers[0].units == left
    assert_same(model, small, np.ones((2, 3), "float32"))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="compiles for every example")
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_dies_the_outputs_stay(data):
    model = made("inverted residual")
    groups = channels(model).free()
    for group in groups:
        dead = data.draw(st.lists(st.booleans(), min_size=group.size, max_size=group.size))
        roles = data.draw(st.sampled_from(sorted(PATTERNS)))
        zero_some(group, np.array(dead), PATTERNS[roles])
    assert_same(model, kr.compact(model, verify=False), inputs_of(model))


def test_a_unit_that_only_dead_units_read_goes_too():
    model = compact_models.of((3,), *(layers.Dense(n, activation="relu") for n in (4, 4, 4, 1)))
    first, second, third, last = (layer.kernel for layer in model.layers)
    last.assign([[1.0], [0.0], [0.0], [0.0]])
    third.assign(np.eye(4, k=0))
    second.assign(np.eye(4))
    small = kr.compact(model)
    assert [layer.units for layer in small.layers] == [1, 1, 1, 1]
    assert first.shape == (3, 4)


def test_a_model_without_zeros_is_equal():
    model = made("residual")
    for one, other in zip(kr.compact(model).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_axis_is_never_emptied():
    model = dense_pair()
    model.layers[0].kernel.assign(np.zeros((3, 8)))
    small = kr.compact(model)
    assert small.layers[0].units == 1
    assert_same(model, small, np.ones((2, 3), "float32"))


def test_states_go_on():
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 4))])
    model.add(layers.LSTM(5, stateful=True))
    model.add(layers.Dense(1))
    cell = model.layers[0].cell
    for weight in (cell.kernel, cell.recurrent_kernel, cell.bias):
        weight.assign(ops.convert_to_numpy(weight) * (np.arange(20) % 5 > 1))
    x = np.ones((2, 3, 4), "float32")
    model(x)
    before = np.array(ops.convert_to_numpy(model.layers[0].states[0]))
    small = kr.compact(model)
    assert small.layers[0].units == 3
    np.testing.assert_array_equal(ops.convert_to_numpy(model.layers[0].states[0]), before)
    for _ in range(2):
        assert_same(model, small, x)


def test_a_layer_that_fits_only_its_first_size_stays():
    start = keras.initializers.Constant(np.eye(4).tolist())
    model = compact_models.of(
        (4,), layers.Dense(4), layers.Dense(4, kernel_initializer=start), layers.Dense(2)
    )
    model.layers[0].kernel.assign(np.diag([1.0, 1.0, 0.0, 0.0]))
    assert [layer.units for layer in kr.compact(model).layers] == [4, 4, 2]


@keras.saving.register_keras_serializable(package="compact")
class Halved(layers.Layer):
    """Scales by a number that depends on how many channels there are."""

    def call(self, x):
        return x * (1.0 / x.shape[-1])


def test_what_depends_on_sizes_is_found_by_the_comparison():
    model = compact_models.of((3,), layers.Dense(8), Halved(), layers.Dense(2))
    model.layers[0].kernel.assign(np.eye(3, 8))
    assert kr.compact(model, verify=False).layers[0].units == 3
    assert kr.compact(model).layers[0].units == 8


@pytest.mark.parametrize("reader", [layers.Conv2D, layers.Conv2DTranspose])
def test_constants_that_padding_ends_become_one(reader):
    """Another branch sees them through a normalization, in another proportion."""
    x = keras.Input((6, 6, 2))
    y = layers.Conv2D(6, 3, activation="sigmoid", name="a")(x)
    norm = layers.BatchNormalization(name="norm")
    other = layers.Conv2D(3, 1, strides=1, name="c")(norm(y))
    padded = reader(3, 3, padding="same", name="b")(y)
    model = keras.Model(x, layers.Add()([padded, other]))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    kernel = model.get_layer("a").kernel
    kernel.assign(ops.convert_to_numpy(kernel) * (np.arange(6) < 2))
    small = kr.compact(model)
    assert [small.get_layer(name).kernel.shape[-1] for name in ("a", "c")] == [3, 3]
    assert small.get_layer("norm").gamma.shape == (3,)
    assert_same(model, small, rng.normal(size=(2, 6, 6, 2)).astype("float32"))


SCALE = 2.0


def test_a_lambda_keeps_its_function():
    function = lambda x: ops.tanh(x) * SCALE  # noqa: E731
    model = compact_models.of((3,), layers.Dense(8), layers.Lambda(function), layers.Dense(2))
    model.layers[0].kernel.assign(np.eye(3, 8))
    small = kr.compact(model)
    assert small.layers[0].units == 3
    assert small.layers[1].function is function
    assert_same(model, small, np.ones((2, 3), "float32"))


def test_a_layer_keeps_an_activation_that_is_not_registered():
    def leaky(x):
        return ops.maximum(x, 0.1 * x)

    model = dense_pair(activation=leaky)
    kernel, *others = model.get_weights()
    model.set_weights([kernel * (np.arange(8) < 3), *others])
    small = kr.compact(model)
    assert small.layers[0].units == 3
    assert small.layers[0].activation is leaky
    assert_same(model, small, np.ones((2, 3), "float32"))


def test_a_lambda_with_sizes_stays_and_says_why():
    function = lambda x: ops.reshape(x, (-1, 2, 4))  # noqa: E731
    model = compact_models.of((3,), layers.Dense(8), layers.Lambda(function), layers.Dense(2))
    model.layers[0].kernel.assign(np.eye(3, 8))
    found = kr.compacting.removable(model)
    assert not found.resized
    assert "may hold sizes" in found.stays[0].why


@keras.saving.register_keras_serializable(package="compact")
class Gain(layers.Layer):
    """Holds a variable for each channel."""

    def build(self, shape):
        self.gain = self.add_weight(shape=shape[-1:], initializer="ones", name="gain")

    def call(self, x):
        return x * self.gain


def test_rules_of_users_for_channels_and_constants():
    def rule(call):
        call.carries(call.operation.gain, 0, call.inputs[0].on(-1))
        return call.inputs[0]

    def constants(content):
        return [content.knowns[0] * np.array(ops.convert_to_numpy(content.operation.gain))]

    model = compact_models.of((3,), layers.Dense(8, "sigmoid"), Gain(), layers.Dense(2))
    model.layers[0].kernel.assign(np.eye(3, 8))
    model.layers[1].gain.assign(np.arange(8))
    kr.structure.register(Gain, channels=rule)
    assert kr.compact(model).layers[0].units == 8
    kr.structure.register(Gain, constants=constants)
    small = kr.compact(model)
    assert small.layers[0].units == 3
    assert_same(model, small, np.ones((2, 3), "float32"))


def test_a_wrong_model_is_not_returned(monkeypatch):
    monkeypatch.setattr(removal.Removal, "_spread", lambda self: False)
    with pytest.raises(ValueError, match=r"Expected the same outputs.*those of b by"):
        kr.compact(dense_pair())


def test_inputs_may_be_given():
    model = dense_pair()
    kr.compact(model, verify=np.ones((5, 3), "float32"))
    with pytest.raises(ValueError, match="incompatible"):  # It is these that the model is run on.
        kr.compact(model, verify=np.ones((5, 4), "float32"))


def test_what_cannot_be_done_is_said():
    with pytest.raises(ValueError, match=r"Expected a keras\.Model"):
        kr.compact(layers.Dense(2))
    with pytest.raises(ValueError, match="Expected a built model"):
        kr.compact(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="multiple_of=0"):
        kr.compact(dense_pair(), multiple_of=0)
    model = dense_pair()
    model.layers[0].enable_lora(2)
    with pytest.raises(ValueError, match="without LoRA weights"):
        kr.compact(model)
    model = dense_pair()
    model.layers[1].quantize("int8")
    with pytest.raises(ValueError, match="call `compact` first, then `quantize`"):
        kr.compact(model)
    with pytest.raises(ValueError, match="made again from its config"):
        kr.compact(made("tied"))


def test_what_goes_and_what_stays_is_said():
    stack = layers.Conv2D(6, 3, activation="sigmoid", name="a"), layers.Conv2D(4, 1, name="b")
    model = compact_models.of((8, 8, 1), *stack, layers.Conv2D(1, 3, padding="same", name="c"))
    first, second, _ = (layer.kernel for layer in model.layers)
    first.assign(np.where(np.arange(6) < 2, ops.convert_to_numpy(first), 0))
    second.assign(np.where(np.arange(4) < 3, ops.convert_to_numpy(second), 0))
    model.layers[1].bias.assign(np.arange(4.0))
    found = kr.compacting.removable(model)
    assert found.resized == (
        ("a", (3, 3, 1, 6), (3, 3, 1, 2), ()),
        ("b", (1, 1, 6, 4), (1, 1, 2, 4), ()),
    )
    assert found.stays == (("b", 1, "c reads it where it is not constant"),)
    assert list(found.compared) == ["c"]
    rounded = kr.compacting.removable(model, multiple_of=4)
    assert ("a", 2, "a multiple of 4") in rounded.stays
    small = kr.compact(model)
    assert found.parameters == (model.count_params(), small.count_params())
    assert found.macs == (kr.sparsity(model).macs, kr.sparsity(small).macs)
    lines = str(found).splitlines()
    assert "a (3, 3, 1, 6) -> (3, 3, 1, 2)" in lines
    assert max(map(len, lines)) <= 80


def test_scores_of_attention_are_among_the_multiply_adds():
    x = keras.Input((5, 8))
    attention = layers.MultiHeadAttention(4, 3, use_bias=False)
    model = keras.Model(x, layers.Dense(2)(attention(x, x)))
    for weight in attention.weights:  # Two heads of four.
        heads = np.arange(4)[:, None] < 2
        weight.assign(
            ops.convert_to_numpy(weight) * (heads if weight.shape[0] == 8 else heads[..., None])
        )
    found = kr.compacting.removable(model)
    assert found.macs == (kr.sparsity(model).macs, kr.sparsity(kr.compact(model)).macs)
    # Three projections in and one out, the scores and their weighted sum.
    per_head = 5 * 4 * 8 * 3 + 2 * 5 * 5 * 3
    assert found.macs == (4 * per_head + 5 * 8 * 2, 2 * per_head + 5 * 8 * 2)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="there they stay of one size")
def test_sizes_with_which_attention_does_not_run_on_jax_are_said():
    x = keras.Input((5, 8))
    attention = layers.MultiHeadAttention(2, 3, use_bias=False, name="attention")
    model = keras.Model(x, layers.Dense(2)(attention(x, x)))
    value = attention.value_dense.kernel
    value.assign(ops.convert_to_numpy(value) * (np.arange(3) < 2))
    found = kr.compacting.removable(model)
    assert found.notes == ("attention has keys of 3 and values of 2: JAX wants one size",)


@pytest.mark.once("tensorflow")
def test_what_layers_adapted_to_stays():
    words, bins = (
        layers.TextVectorization(9, output_sequence_length=3),
        layers.Discretization(num_bins=4, output_mode="one_hot"),
    )
    words.adapt(["a b c d", "b c"])
    bins.adapt(np.random.default_rng(0).normal(size=(50, 1)))
    text, number = keras.Input((1,), dtype="string", name="text"), keras.Input((1,), name="number")
    read = layers.LSTM(6)(layers.Embedding(9, 4)(words(text)))
    hidden = layers.Dense(5)(layers.Concatenate()([read, bins(number)]))
    model = keras.Model({"text": text, "number": number}, layers.Dense(2)(hidden))
    zero_channels(model, "whole")
    text = ops.convert_to_tensor([["b a c"], ["d e"], ["c"]], dtype="string")
    x = {"text": text, "number": ops.convert_to_tensor([[-1.0], [0.0], [2.0]])}
    small = kr.compact(model, verify=x)
    assert small.get_layer(words.name).get_vocabulary() == words.get_vocabulary()
    assert_same(model, small, x)
