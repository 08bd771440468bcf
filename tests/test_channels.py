"""Channels against what numerical gradients say, and against groups worked out by hand."""

import channel_models
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers, ops
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from weight_gradients import weight_gradients

import keras_reg as kr
from keras_reg.structure import is_kernel
from keras_reg.structure.channels import channels
from keras_reg.structure.channels.labels import Labels


def entries(part, channel):
    """The index of a channel's entries in a variable."""
    return (slice(None),) * part.axis + (part.indices[channel],)


def mark(groups, roles):
    """For each variable, which entries belong to one channel of each group, by parts in `roles`.

    Of each group another one, so that what is joined by mistake or not joined shows.
    """
    marked = {}
    for channel, group in enumerate(groups):
        for part in group.parts:
            if part.roles & roles:
                shape = part.variable.shape
                flags = marked.setdefault(id(part.variable), np.zeros(shape, bool))
                flags[entries(part, channel % group.size)] = True
    return marked


def loss(outputs):
    """A sum in which every output has a factor of its own."""
    flat = keras.tree.flatten(outputs)
    rng = np.random.default_rng(3)
    return sum(ops.sum(ops.multiply(x, rng.normal(size=x.shape).astype("float32"))) for x in flat)


# PyTorch compiles nothing, so it takes them all.
FEW = ["residual", "lstm", "post-norm"]
CHECKED = channel_models.MODELS if keras.backend.backend() == "torch" else FEW


@pytest.mark.parametrize("name", CHECKED)
def test_gradients_vanish_where_a_zero_channel_is_read_and_nowhere_else(name):
    model = channel_models.made(name)
    assert bool(assert_gradients_vanish(model)) == (name not in NOTHING_FREE)


NOTHING_FREE = ("shared", "tied", "closed", "overridden")


def assert_gradients_vanish(model):
    """Of rows that read a channel of each free group that is set to zero. Returns these groups."""
    free = channels(model).free()
    written, whole = {"makes", "carries"}, {"makes", "carries", "reads"}
    zeros = mark(free, written)
    for weight in model.weights:
        if id(weight) in zeros and "variance" not in weight.path:
            weight.assign(np.where(zeros[id(weight)], 0, ops.convert_to_numpy(weight)))
    x = channel_models.inputs_of(model)
    gradients = weight_gradients(model, x, loss)
    read, any_part = mark(free, {"reads"}), mark(free, whole)
    parts = [part for group in channels(model) for part in group.parts]
    # Most rows of an embedding matrix are not used for a batch; biases of keys change nothing.
    variables = [part.variable for part in parts if is_kernel(part.variable)]
    known = {id(variable) for variable in variables if "embedding" not in variable.path}
    # What carries channels goes along with makers: only for pure readers rows are known to vanish.
    for key in known & set(gradients):
        vanished = gradients[key] == 0
        must = read.get(key, np.zeros_like(vanished)) & ~zeros.get(key, np.zeros_like(vanished))
        assert np.all(vanished[must])
        assert np.all(any_part.get(key, np.zeros_like(vanished))[vanished])
    return free


def parts_of(group):
    return {(part.variable.path, part.axis) for part in group.parts}


def named_residual():
    x = keras.Input((8, 8, 3))
    first = layers.Conv2D(6, 3, padding="same", name="first")(x)
    y = layers.Conv2D(4, 1, use_bias=False, name="second")(first)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.Conv2D(6, 1, name="third")(layers.ReLU()(y))
    z = layers.Flatten()(layers.Add()([first, y]))
    return keras.Model(x, layers.Dense(2, name="out")(z), name="net")


def test_groups_are_those_worked_out_by_hand():
    model = named_residual()
    outer, inner, out = channels(model)
    assert parts_of(outer) == {
        *(("first/kernel", 3), ("first/bias", 0), ("second/kernel", 2)),
        *(("third/kernel", 3), ("third/bias", 0), ("out/kernel", 0)),
    }
    assert (outer.size, outer.made_by, outer.read_by) == (6, ["first", "third"], ["second", "out"])
    assert outer.parameters == 27 + 1 + 4 + 4 + 1 + 64 * 2
    assert outer.macs == 64 * (27 + 4 + 4) + 64 * 2
    norm = {(f"norm/{name}", 0) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert parts_of(inner) == {("second/kernel", 3), ("third/kernel", 2), *norm}
    assert (inner.size, inner.carried_by, inner.parameters) == (4, ["norm"], 6 + 6 + 4)
    assert (out.size, out.pinned) == (2, "an output of the model")
    rows = next(part for part in outer.parts if part.variable.path == "out/kernel").indices
    assert np.array_equal(rows, np.arange(384).reshape(64, 6).T)


def test_a_report_counts_the_same_multiply_adds():
    model = named_residual()
    counted = sum(group.size * (group.macs or 0) for group in channels(model))
    # A kernel between two groups is counted with both, the first one, which reads pixels, with one.
    first = 64 * 27 * 6
    assert counted == 2 * kr.sparsity(model).macs - first


@pytest.mark.parametrize("name", ["residual", "custom", "siamese", "nested twice", "overridden"])
def test_the_model_is_left_as_it_was(name):
    model = channel_models.made(name)
    model.compile("sgd", "mse")
    every = model._flatten_layers()

    def state():
        nodes = [(list(map(id, one._inbound_nodes)), len(one._outbound_nodes)) for one in every]
        return nodes, [weight.tolist() for weight in model.get_weights()], model.to_json()

    before, serial = state(), int(layers.Dense(1).name.rpartition("_")[2] or 0)
    channels(model)
    assert state() == before
    assert int(layers.Dense(1).name.rpartition("_")[2]) == serial + 1
    assert model.compiled
    assert model.losses == []


REASONS = {
    "closed": "Closed 'closed': its call fails on symbolic tensors",
    "tied": "the code of Tied 'tied' computes with its numbers",
    "overridden": "ops.Mean runs over them",
    "pre-norm": "LayerNormalization 'layer_normalization' averages over them",
}


@pytest.mark.parametrize("name", REASONS)
def test_what_is_pinned_says_why(name):
    keras.backend.clear_session()
    reasons = [group.pinned for group in channels(channel_models.made(name)) if group.pinned]
    assert any(reason.startswith(REASONS[name]) for reason in reasons)


def test_layers_with_parts_of_kernels_are_pinned():
    model = channel_models.of((3,), layers.Dense(4, name="a"), layers.Dense(4), layers.Dense(2))
    model.layers[1].enable_lora(2)
    (first, *others) = channels(model)
    assert "LoRA" in first.pinned
    model.layers[0].quantize("int8")
    assert "quantized" in channels(model)[0].pinned
    assert all(group.pinned for group in others)


class Halves(keras.layers.Layer):
    """Multiplies each half of its inputs by a weight."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1] // 2,), name="scale")

    def call(self, x):
        first, second = np.split(x, 2, axis=-1)
        return ops.concatenate([first * self.scale, second * self.scale], axis=-1)

    def compute_output_shape(self, shape):
        return shape


def test_a_rule_of_ones_own():
    model = channel_models.of((3,), layers.Dense(4, name="a"), Halves(), layers.Dense(2))
    assert channels(model)[0].pinned

    def rule(call):
        x = call.inputs[0]
        first, second = np.split(x.on(-1), 2)
        call.join(first, second)
        call.carries(call.operation.scale, 0, first)
        return x

    kr.structure.register(Halves, channels=rule)
    group = channels(model)[0]
    assert (group.size, group.pinned) == (2, None)
    assert group.parameters == 2 * 3 + 2 + 1 + 2 * 2


def test_a_rule_that_does_not_fit_pins_its_inputs():
    class Wrong(Halves):
        pass

    kr.structure.register(Wrong, channels=lambda call: [])
    model = channel_models.of((3,), layers.Dense(4, name="a"), Wrong(), layers.Dense(2))
    assert "does not fit its rule" in channels(model)[0].pinned


def test_a_subclassed_model_is_opened():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = layers.Dense(5, name="hidden"), layers.Dense(2, name="out")

        def call(self, x):
            return self.out(ops.relu(self.hidden(x)))

    model = Net()
    with pytest.raises(ValueError, match="Expected a built model"):
        channels(model)
    model(np.zeros((2, 3), "float32"))
    group = channels(model)[0]
    assert (group.size, group.made_by, group.read_by) == (5, ["net/hidden"], ["net/out"])
    with pytest.raises(ValueError, match=r"Expected a keras\.Model"):
        channels(layers.Dense(2))


def test_selections_and_tables():
    found = channels(named_residual())
    assert [group.name for group in found.without("out")] == ["first", "second"]
    assert [group.name for group in found.matching("th.*|out")] == ["first", "out"]
    assert found["second"] is found[1]
    assert len(found[1:]) == 2
    with pytest.raises(ValueError, match="Expected a regular expression that matches"):
        found.matching("absent")
    with pytest.raises(KeyError, match="Expected the name of a group"):
        found["absent"]
    text = str(channels(channel_models.made("pre-norm")))
    assert max(map(len, text.splitlines())) <= 80
    page = found._repr_html_()
    assert page.count("<tr>") == 4
    assert "stays: an output of the model" in page
    as_dict = found.to_dict()["first"]
    assert as_dict["parameters"] == 165
    assert as_dict["pinned"] is None
    weights = sum(weight.size for weight in named_residual().get_weights())
    assert found.share == pytest.approx(1 - 2 / weights)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), max_size=30))
def test_joined_labels_are_connected_components(pairs):
    labels = Labels()
    labels.fresh(20)
    first, second = np.array([*pairs, (1, 1)]).T
    labels.join(first, second, "never fixed")
    roots, _ = labels.solve()
    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(21, 21))
    _, expected = connected_components(graph, directed=False)
    same = roots[:, None] == roots
    assert np.array_equal(same, expected[:, None] == expected)


SMALLEST = {
    "MobileNetV3Small": 0.99,
    "MobileNetV2": 0.99,
    "MobileNetV3Large": 0.99,
    "ResNet50": 0.99,
    "MobileNet": 0.99,
    "EfficientNetB0": 0.99,
    "EfficientNetV2B0": 0.99,
    "DenseNet121": 0.99,
    "Xception": 0.99,
    # Its widths are normalized over, all but those inside the blocks.
    "ConvNeXtTiny": 0.9,
}


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="reads the same on each backend")
@pytest.mark.parametrize("name", SMALLEST)
def test_most_of_an_application_can_go(name):
    size = 75 if name == "Xception" else 32
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    found = channels(model)
    assert found.share > SMALLEST[name]
    reasons = {group.pinned.split()[0] for group in found if group.pinned}
    assert reasons <= {"softmax", "an", "LayerNormalization"}


def test_dropout_with_schedules_passes_channels():
    dropped = kr.layers.ScheduledDropConnect(layers.Dense(4, name="b"), 0.5)
    stack = layers.Dense(5, name="a"), kr.layers.ScheduledDropout(0.5), dropped, layers.Dense(2)
    sizes = [group.size for group in channels(channel_models.of((3,), *stack)).free()]
    assert sizes == [5, 4]


class Counting(keras.layers.Layer):
    """Assigns to a variable whenever it is called."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign(self.count + 1)
        return ops.tanh(x)


def test_opening_a_layer_assigns_nothing():
    model = channel_models.of((3,), layers.Dense(4, name="a"), Counting(), layers.Dense(2))
    model.layers[1].count.assign(5.0)
    assert channels(model)[0].pinned is None
    assert float(ops.convert_to_numpy(model.layers[1].count)) == 5.0


LITERALS = {
    "array": lambda x: x * np.arange(4.0, dtype="float32"),
    "bound": lambda x: ops.clip(x, np.zeros(4, "float32"), 1.0),
    "indices": lambda x: ops.take(x, np.array([3, 1, 2, 0]), axis=-1),
    "mean": lambda x: ops.mean(x, axis=-1, keepdims=True),
    "sorted": ops.sort,
    "time": lambda x: layers.LSTM(2)(x[..., None]),
}


@pytest.mark.parametrize("name", LITERALS)
def test_channels_that_meet_something_of_fixed_length_stay(name):
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dense(2)(LITERALS[name](layers.Dense(4)(x))))
    assert channels(model)[0].pinned


def test_slices_keep_the_channels_that_they_take_apart():
    x = keras.Input((3,))
    y = layers.Dense(4, name="a")(x)
    model = keras.Model(x, layers.Dense(2, name="b")(ops.add(y[:, :2], y[:, 2:])))
    group = channels(model)[0]
    assert (group.size, group.pinned, group.parameters) == (2, None, 2 * 3 + 2 + 2)


class Gated(keras.layers.Layer):
    """Takes its tensors by name, a mask too."""

    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(4, name="inner")

    def build(self, x_shape, **shapes):
        self.inner.build(x_shape)

    def call(self, x, mask_of_gates=None, gates=None):
        return self.inner(x) * gates * mask_of_gates[..., None]


def test_an_opened_layer_gets_its_tensors_by_name():
    x, gates, mask = keras.Input((5, 3)), keras.Input((5, 6)), keras.Input((5,))
    gated = Gated()(layers.Dense(6)(x), gates=layers.Dense(4)(gates), mask_of_gates=mask)
    model = keras.Model([x, gates, mask], layers.Dense(2)(gated))
    assert sorted(group.size for group in channels(model).free()) == [4, 6]


def test_an_embedding_by_operations():
    class Table(keras.layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=(11, 4), name="embeddings")

        def call(self, x):
            return ops.take(self.table, x, axis=0)

    x = keras.Input((5,), dtype="int32")
    model = keras.Model(x, layers.Dense(2)(Table()(x)))
    assert [group.size for group in channels(model).free()] == [4]
