"""sparsity(model) on models of every make: shared, nested, subclassed, quantized, LoRA, custom."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reg import optimizers, regularizers, schedules
from keras_reg.report.sparsity import SparsityTable, sparsity


class Custom(layers.Layer):
    """A layer with a kernel of its own and a layer inside."""

    def build(self, shape):
        self.mixing = self.add_weight(shape=(shape[-1], 3), name="mixing")
        self.inner = layers.Dense(2)
        self.inner.build((None, 3))

    def call(self, x):
        return self.inner(ops.matmul(x, self.mixing))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(5)
        self.head = layers.Dense(3)

    def call(self, inputs):
        return self.head(self.hidden(inputs))


def assert_zeros_are_numpys(model):
    for row in sparsity(model):
        w = next(ops.convert_to_numpy(v) for v in model.weights if v.path == row.path)
        assert row.zeros == np.sum(w == 0), row.path


def test_a_shared_layer_is_counted_once_and_used_twice():
    shared, x = layers.Dense(4), keras.Input((4,))
    model = keras.Model(x, shared(shared(x)))
    table = sparsity(model)
    assert (len(table.rows), table.parameters, table.macs) == (1, 20, 32)


def test_a_nested_model_that_is_used_twice():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(4)])
    x, y = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([x, y], {"a": inner(x), "b": layers.Dense(2)(inner(y))})
    table = sparsity(model)
    assert len(table.rows) == 3
    assert table.macs == 2 * (12 + 12) + 8
    assert table.parameters == model.count_params()


def test_a_nested_model_on_another_shape_is_not_known():
    inner = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3)])
    model = keras.Sequential([keras.Input((8, 8, 3)), inner, layers.Flatten(), layers.Dense(1)])
    assert [layer.macs for layer in sparsity(model).layers] == [None, 72]


def test_a_subclassed_model_has_figures_but_no_multiply_adds():
    model = Subclassed()
    model(ops.ones((1, 4)))
    table = sparsity(model)
    assert table.parameters == 20 + 5 + 15 + 3
    assert table.macs is None
    assert table.layers[0].units == 5
    assert "unknown for 2 layers" in str(table)


def test_a_custom_layer_is_one_layer_with_its_weights():
    model = keras.Sequential([keras.Input((4,)), Custom(), layers.Dense(1)])
    first, second = sparsity(model).layers
    assert first.kind == "Custom"
    assert {path.rsplit("/", 1)[-1] for path in first.weights} == {"mixing", "kernel"}
    assert (first.parameters, first.macs, second.macs) == (12 + 8, None, 2)


def test_a_layer_that_cannot_say_its_shape_does_no_harm():
    class Silent(layers.Layer):
        is_silent = False

        def call(self, x):
            return x

        def compute_output_shape(self, shape):
            if self.is_silent:
                raise RuntimeError("no")
            return shape

    silent, dense = Silent(), layers.Dense(3)
    model = keras.Sequential([keras.Input((4,)), silent, dense])
    silent.is_silent = True
    assert len(sparsity(model).rows) == 1


@pytest.mark.parametrize("make", [layers.Dense, lambda n: layers.EinsumDense("ab,bc->ac", n)])
def test_int8(make):
    model = keras.Sequential([keras.Input((4,)), make(3)])
    model.layers[0].kernel.assign(np.eye(4, 3))
    model.layers[0].quantize("int8")
    [row] = sparsity(model, tolerance=0.5)
    assert (row.zeros, row.near_zeros, row.zero_inputs) == (9, 0, 1)


def test_an_int8_embedding():
    layer = layers.Embedding(5, 2)
    layer.build((None,))
    layer.embeddings.assign([[0, 0], [1, 2], [0, 1], [-1, 0.1], [2, 2]])
    layer.quantize("int8")
    [row] = sparsity(layer, tolerance=0.2)
    assert (row.zeros, row.near_zeros, row.zero_inputs) == (3, 1, 1)


def test_lora():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.layers[0].enable_lora(2)
    model.layers[0]._kernel.assign(np.zeros((4, 3)))
    table = sparsity(model)
    names = [row.path.rsplit("/", 1)[-1] for row in table]
    assert sorted(names) == ["kernel", "lora_kernel_a", "lora_kernel_b"]
    # The second factor starts at zero.
    assert table.layers[0].dead_units == 3
    model.layers[0].lora_kernel_b.assign(np.ones((2, 3)))
    assert sparsity(model).layers[0].dead_units == 0


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_precision(policy):
    layer = layers.Dense(3, dtype=policy)
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.kernel.assign(np.diag([0.001, 1, 1, 1])[:, :3])
    row = sparsity(model, tolerance=0.01).rows[0]
    assert (row.zeros, row.near_zeros) == (9, 1)


def test_two_weights_of_one_path_have_two_names():
    inner = [keras.Sequential([keras.Input((4,)), layers.Dense(4, name="d")], name="i")]
    outer = keras.Sequential([keras.Input((4,)), *inner, layers.Dense(4, name="d")], name="i")
    assert [row.path for row in sparsity(outer)] == ["i/d/kernel", "i/d/kernel#2"]


def test_penalties_in_the_loss_and_in_proximal():
    hidden = layers.Dense(3, kernel_regularizer="l2", bias_regularizer=regularizers.L1(1.0))
    model = keras.Sequential([keras.Input((4,)), hidden, layers.Dense(2, name="second")])
    hidden.bias.assign(np.ones(3))
    ramp = schedules.Linear(1.0, 3.0, steps=2)
    penalty = regularizers.GroupLasso(ramp, group_axis=-1)
    optimizer = optimizers.Proximal(keras.optimizers.SGD(0.1), {"second/kernel": penalty})
    model.compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(1)
    table = sparsity(model)
    w, v = (ops.convert_to_numpy(layer.kernel) for layer in model.layers)
    group = 2.0 * np.sqrt(3) * np.linalg.norm(v, axis=0).sum()
    assert table.rows[0].penalty == pytest.approx(0.01 * np.sum(w**2), rel=1e-5)
    assert table.rows[1].penalty == pytest.approx(group, rel=1e-5)
    assert table.penalty == pytest.approx(3 + 0.01 * np.sum(w**2) + group, rel=1e-5)
    assert table.layers[0].penalty == pytest.approx(3 + 0.01 * np.sum(w**2), rel=1e-5)


def test_stationarity_tells_a_true_zero_from_an_accident():
    layer = layers.Dense(2, use_bias=False, kernel_regularizer=regularizers.L1(0.5))
    model = keras.Sequential([keras.Input((2,)), layer])
    layer.kernel.assign([[0.0, 0.0], [1.0, -1.0]])
    gradient = np.array([[0.4, 0.8], [-0.5, 0.5]], "float32")
    for given in ({"kernel": gradient}, {layer.kernel.path: gradient}, [gradient]):
        row = sparsity(model, gradients=given).rows[0]
        assert row.accidental == 1
        assert row.stationarity == pytest.approx(0.3, rel=1e-5)
    assert sparsity(model).rows[0].stationarity is None
    with pytest.raises(ValueError, match="a gradient for each of 1 trainable weights"):
        sparsity(model, gradients=[gradient, gradient])


@pytest.mark.parametrize("penalty", ["l1", regularizers.L1(0.1)])
def test_hint_where_l1_in_the_loss_makes_no_zeros(penalty):
    layer = layers.Dense(2, kernel_regularizer=penalty)
    model = keras.Sequential([keras.Input((2,)), layer])
    assert sparsity(model).hint is None
    layer.kernel.assign([[1.0, 1e-4], [1e-3, 1.0]])
    assert "Proximal(optimizer, L1(strength)) makes exact zeros" in sparsity(model).hint
    assert sparsity(model).near_zeros == 0
    assert "hint: L1" in str(sparsity(model))
    layer.kernel.assign([[1.0, 0.0], [1e-3, 1.0]])
    assert sparsity(model).hint is None


@pytest.mark.parametrize("tolerance", [-0.1, 1.5, "a", True])
def test_bad_tolerances_are_refused(tolerance):
    layer = layers.Dense(2)
    layer.build((None, 2))
    with pytest.raises(ValueError, match="Expected a `tolerance`"):
        sparsity(layer, tolerance=tolerance)


def test_there_and_back(tmp_path):
    attention = layers.MultiHeadAttention(2, 4)
    x = keras.Input((5, 8))
    model = keras.Model(x, layers.Dense(2, kernel_regularizer="l1")(attention(x, x)))
    table = sparsity(model, tolerance=0.1)
    assert SparsityTable.from_dict(table.to_dict()) == table
    assert SparsityTable.from_json(table.to_json(tmp_path / "t.json")) == table
    assert SparsityTable.from_json(tmp_path / "t.json") == table
    assert SparsityTable.from_csv(table.to_csv(tmp_path / "t.csv")).rows == table.rows
    assert SparsityTable.from_csv(tmp_path / "t.csv").rows == table.rows


def test_html_holds_the_figures_and_sets_no_background():
    model = keras.Sequential([keras.Input((4,), name="<in>"), layers.Dense(2, name="a_b")])
    model.layers[0].kernel.assign([[0, 0], [0, 1], [1, 1], [1, 1]])
    html = sparsity(model)._repr_html_()
    for text in ("a_b/kernel", "37.5%", "width:37.5%", "1/4", "0/2", "multiply-adds: 8"):
        assert text in html
    # Black or white text or ground would vanish in one theme or the other.
    assert "color:inherit" in html
    assert not any(word in html for word in ("#fff", "#000", "white", "black"))


def test_long_models_are_folded():
    shared = [layers.Dense(4, name=f"layer_{i}") for i in range(50)]
    model = keras.Sequential([keras.Input((4,)), *shared])
    for layer in shared[40:]:
        layer.kernel.assign(np.zeros((4, 4)))
    lines = str(sparsity(model)).splitlines()
    assert len(lines) < 45
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "21 other layers" in text
    assert all(f"layer_{i}" in text for i in range(40, 50))
    assert "160/800" not in text
    assert "40/200" in text


def test_counts_beyond_what_float32_holds_are_exact():
    layer = layers.Dense(4099, use_bias=False, kernel_initializer="ones")
    layer.build((None, 4098))
    kernel = np.ones((4098, 4099), "float32")
    kernel[7, 5] = 0
    layer.kernel.assign(kernel)
    assert 4098 * 4099 > 2**24
    assert sparsity(layer).zeros == 1
    assert sparsity(layer).parameters_left == 4098 * 4099
