"""What "outputs" and "inputs" mean, on all layers of a model and where no model is known."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_reg as kr
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import NM, ExclusiveLasso, GroupLasso, GroupLInf, SparseGroupLasso, TopK


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def sizes(penalty, model):
    """The group axes of a penalty on each weight of a model, by the weight's path."""
    optimizer = Proximal("sgd", penalty, model=model)
    pairs = optimizer.resolve(model.trainable_variables)
    return {variable.path: placed.group_axis for placed, variable in pairs}


def of_all_kinds():
    """Layers whose kernels have their inputs and outputs on different axes."""
    x = inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(8, 3, name="plain")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="apart")(x)
    x = layers.Conv2DTranspose(8, 3, name="up")(x)
    x = layers.SeparableConv2D(8, 3, name="both")(x)
    x = layers.Reshape((-1, 8))(x)
    x = layers.Conv1D(8, 3, name="line")(x)
    x = layers.MultiHeadAttention(2, 4, name="heads")(x, x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(3, name="last")(x))


AXES = {
    "plain/kernel": ((3,), (2,)),
    "apart/kernel": ((2, 3), (2,)),
    "up/kernel": ((2,), (3,)),
    "both/depthwise_kernel": ((2, 3), (2,)),
    "both/pointwise_kernel": ((3,), (2,)),
    "line/kernel": ((2,), (1,)),
    "heads/query/kernel": ((1, 2), (0,)),
    "heads/key/kernel": ((1, 2), (0,)),
    "heads/value/kernel": ((1, 2), (0,)),
    "heads/attention_output/kernel": ((2,), (0, 1)),
    "last/kernel": ((1,), (0,)),
}
UNCLEAR = [
    "apart/kernel",
    "both/depthwise_kernel",
    "line/kernel",
    *(f"heads/{name}/kernel" for name in ("query", "key", "value", "attention_output")),
]


@pytest.mark.parametrize(("name", "at"), [("outputs", 0), ("inputs", 1)])
def test_a_model_tells_the_axes_of_every_layer(name, at):
    found = sizes(TopK(0.5, group_axis=name), of_all_kinds())
    assert found == {path: axes[at] for path, axes in AXES.items()}


def test_a_group_by_output_is_what_the_output_depends_on():
    """Zero one group of each kernel: one channel of the layer's output is the bias, and no other.

    By Keras's own forward pass, which knows nothing of this package.
    """
    x = np.random.default_rng(0).standard_normal((2, 5, 5, 4)).astype("float32")
    for layer in (
        layers.Conv2D(6, 3),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.Conv2DTranspose(6, 3),
        layers.EinsumDense("abcd,def->abcef", (5, 5, 2, 3)),
    ):
        model = keras.Sequential([keras.Input(x.shape[1:]), layer])
        kernel = layer.kernel
        axes = sizes(GroupLasso(), model)[kernel.path]
        value = numpy(kernel).copy()
        value[tuple(0 if axis in axes else slice(None) for axis in range(value.ndim))] = 0
        kernel.assign(value)
        out = numpy(layer(x))
        is_dead = ~np.any(np.reshape(out, (-1, np.prod(out.shape[3:]))), axis=0)
        assert is_dead.tolist() == [True] + [False] * (len(is_dead) - 1)


@pytest.mark.parametrize(
    "penalty", [GroupLasso(0.2), NM(2, 4), NM(2, 4, skip_unfit=True), TopK(0.5, "inputs")], ids=repr
)
def test_what_is_not_clear_without_a_model_is_refused_at_once(penalty):
    model = of_all_kinds()
    with pytest.raises(ValueError, match="Expected weights whose inputs and outputs") as error:
        Proximal("sgd", penalty).resolve(model.trainable_variables)
    listed = error.value.args[0].split("meanings: ")[1].split(". Give")[0]
    # Nothing in the names of "apart" and "up" says what they are, but two columns a channel do not
    # look like one column each.
    assert set(UNCLEAR) - {"apart/kernel"} == set(listed.split(", "))
    assert "model=model" in str(error.value)
    assert "by number" in str(error.value)


@pytest.mark.parametrize(
    ("path", "shape", "outputs"),
    [
        ("dense/kernel", (8, 4), (1,)),
        ("words/embeddings", (8, 4), (1,)),
        ("conv2d_3/kernel", (3, 3, 4, 8), (3,)),
        ("mixed/kernel", (3, 3, 3, 4, 8), (4,)),
        ("conv1d/kernel", (3, 4, 8), (2,)),
        ("conv_out/kernel", (1, 1, 8, 1), (3,)),
        ("separable_conv2d/pointwise_kernel", (1, 1, 4, 8), (3,)),
        ("dense/bias", (8,), (0,)),
        ("depthwise_conv2d/kernel", (3, 3, 8, 1), None),
        ("block/dw/kernel", (3, 3, 8, 1), None),
        ("mystery/kernel", (3, 3, 8, 1), None),
        ("conv2d_transpose/kernel", (3, 3, 8, 4), None),
        ("separable_conv1d/depthwise_kernel", (3, 8, 1), None),
        ("multi_head_attention/query/kernel", (8, 2, 4), None),
        ("einsum_dense/kernel", (2, 3, 4, 5), None),
        ("custom/table", (2, 3, 4, 5), None),
    ],
)
def test_what_a_path_and_a_shape_tell(path, shape, outputs):
    layout = kr.structure.layout.layout_from_path(path, shape)
    assert (None if layout is None else layout.outputs) == outputs


def test_a_bare_tensor_has_outputs_last_and_inputs_before():
    w = np.random.default_rng(0).standard_normal((3, 4, 5)).astype("float32")
    for cls in (GroupLasso, GroupLInf, SparseGroupLasso, ExclusiveLasso):
        for name, axis in [("outputs", -1), ("inputs", -2)]:
            named, numbered = cls(0.3, group_axis=name), cls(0.3, group_axis=axis)
            np.testing.assert_array_equal(numpy(named.prox(w, 0.5)), numpy(numbered.prox(w, 0.5)))
            assert float(named(w)) == float(numbered(w))
            assert named.max_strength(w) == numbered.max_strength(w)
            np.testing.assert_array_equal(
                numpy(named.stationarity(w, w)), numpy(numbered.stationarity(w, w))
            )
            assert named.get_config()["group_axis"] == name
        assert cls().group_axis == "outputs"
    assert NM().axis == "inputs"


def test_in_a_layer_the_path_decides():
    for layer, shape in [(layers.Dense(4), (None, 3)), (layers.Conv2D(4, 2), (None, 5, 5, 3))]:
        layer.kernel_regularizer = GroupLasso(0.1)
        layer.build(shape)
        expected = float(GroupLasso(0.1, group_axis=-1)(numpy(layer.kernel)))
        assert numpy(layer.losses[0]) == pytest.approx(expected)
    layer = layers.DepthwiseConv2D(2, depthwise_regularizer=GroupLasso(0.1))
    layer.build((None, 5, 5, 3))
    with pytest.raises(ValueError, match=r"several meanings: depthwise_conv2d\S*/kernel"):
        _ = layer.losses


def test_a_report_values_a_penalty_in_a_layer_as_its_loss_does():
    layer = layers.Dense(4, kernel_regularizer=GroupLasso(0.1))
    model = keras.Sequential([keras.Input((3,)), layer])
    assert kr.sparsity(model).penalty == pytest.approx(numpy(layer.losses[0]))


@pytest.mark.filterwarnings("ignore:The penalties of 4 of 11 weights will be missing")
def test_regularize_knows_the_model():
    model = of_all_kinds()
    rows = kr.regularize(model, GroupLasso(0.1))
    assert {row.path: row.penalty.group_axis for row in rows} == {p: a[0] for p, a in AXES.items()}
    by_hand = sum(
        float(GroupLasso(0.1, group_axis=AXES[v.path][0])(numpy(v)))
        for v in model.trainable_variables
        if v.path in AXES
    )
    assert numpy(sum(model.losses)) == pytest.approx(by_hand, rel=1e-5)


def test_nm_meets_its_pattern_on_every_kernel_that_fits():
    model = of_all_kinds()
    optimizer = Proximal("sgd", NM(2, 4, skip_unfit=True), model=model)
    model.compile(optimizer, "mse")
    model.fit(np.ones((4, 8, 8, 4), "float32"), np.ones((4, 3)), verbose=0)
    compliance = {row.path: row.compliance.get("2:4") for row in kr.sparsity(model).rows}
    left_out = {path for path in optimizer.left_out(model.trainable_variables) if path in AXES}
    assert left_out == {"apart/kernel", "both/depthwise_kernel"}
    assert {compliance[path] for path in set(AXES) - left_out} == {1.0}


def test_blocks_run_over_several_axes_as_over_one():
    w = np.random.default_rng(0).standard_normal((4, 2, 6, 2)).astype("float32")
    for axes in [(1, 2), (2, 0), (0, 3, 1), (-1, 1)]:
        pruned = numpy(NM(2, 4, axes).prox(w, 1.0))
        flat = np.moveaxis(w, axes, range(-len(axes), 0)).reshape(
            -1, np.prod([w.shape[a] for a in axes])
        )
        expected = numpy(NM(2, 4, axis=-1).prox(flat, 1.0))
        after = np.moveaxis(pruned, axes, range(-len(axes), 0)).reshape(flat.shape)
        np.testing.assert_array_equal(after, expected)


def test_all_weights_that_do_not_fit_are_named_at_once():
    model = keras.Sequential(
        [keras.Input((3,)), *(layers.Dense(n, name=f"d{n}") for n in (6, 4, 5, 2))]
    )
    with pytest.raises(ValueError, match="divide the length") as error:
        Proximal("sgd", NM(2, 4)).resolve(model.trainable_variables)
    assert [f"d{n}/kernel" in str(error.value) for n in (6, 4, 5, 2)] == [True, True, False, True]
    skipping = Proximal("sgd", NM(2, 4, skip_unfit=True))
    assert [v for _, v in skipping.resolve(model.trainable_variables)] == [model.layers[2].kernel]
    left_out = [model.layers[at].kernel.path for at in (0, 1, 3)]
    assert skipping.left_out(model.trainable_variables) == left_out
    none = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="divide the length"):
        skipping.resolve(none.trainable_variables)


def test_a_loaded_optimizer_needs_no_model(tmp_path):
    model = of_all_kinds()
    model.compile(Proximal("sgd", {".*kernel": GroupLasso(0.01)}, model=model), "mse")
    model.fit(np.ones((4, 8, 8, 4), "float32"), np.ones((4, 3)), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert set(again.optimizer.get_config()["axes"]) == {*UNCLEAR, "up/kernel"}
    pairs = again.optimizer.resolve(again.trainable_variables)
    assert {v.path: p.group_axis for p, v in pairs} == {path: a[0] for path, a in AXES.items()}
    again.fit(np.ones((4, 8, 8, 4), "float32"), np.ones((4, 3)), verbose=0)


def test_a_model_that_is_built_later():
    model = keras.Sequential([layers.Conv1D(3, 2, name="a"), layers.Flatten(), layers.Dense(1)])
    model.compile(Proximal("sgd", GroupLasso(0.1), model=model), "mse")
    model.fit(np.ones((4, 6, 2), "float32"), np.ones((4, 1)), verbose=0)
    pairs = Proximal.of(model).resolve(model.trainable_variables)
    assert [placed.group_axis for placed, _ in pairs] == [(2,), (1,)]


def test_a_variable_of_another_model_is_refused():
    first, second = of_all_kinds(), of_all_kinds()
    with pytest.raises(ValueError, match="Expected variables of the model"):
        Proximal("sgd", GroupLasso(), model=first).resolve(second.trainable_variables)


def test_a_weight_without_inputs_is_refused():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="out")])
    with pytest.raises(ValueError, match=r"Expected \S*out/bias of shape \(3,\) to have inputs"):
        Proximal("sgd", {"out/bias": GroupLasso(0.1, "inputs")}).resolve(model.trainable_variables)


def test_one_penalty_serves_weights_of_the_same_axes():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(4)])
    pairs = Proximal("sgd", GroupLasso()).resolve(model.trainable_variables)
    again = Proximal("sgd", GroupLasso()).resolve(model.trainable_variables)
    assert pairs[0][0] is pairs[1][0]
    assert pairs[0][0] is not again[0][0]
