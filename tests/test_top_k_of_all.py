"""TopK(scope="all"): the variables of one rule ranked together, by brute force and in a fit."""

import keras
import numpy as np
import pytest
from keras import ops
from test_patterns_training import kernels_after_fit, model_with

from keras_reg import schedules
from keras_reg.ops.ranks import lamp_scores
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import TopK
from keras_reg.structure.layout import plain_layout, weights_in

BACKEND = keras.backend.backend()
SHAPES = [(6, 4), (4, 3), (70, 2)]


def draw(levels):
    random = np.random.default_rng(0)
    scales = (1.0, 0.2, 3.0)
    drawn = [
        scale * random.standard_normal(shape) for scale, shape in zip(scales, SHAPES, strict=True)
    ]
    return [(np.ceil(x * levels) / levels).astype("float32") for x in drawn]


def pruned(penalty, ws, layouts=None):
    layouts = layouts or [plain_layout(w.shape) for w in ws]
    placed = [penalty.placed(layout, "layer/kernel") for layout in layouts]
    grouping = penalty.together(placed, [w.shape for w in ws])
    penalty.check_grouping(grouping)
    together = penalty.prox_of_groups([ops.convert_to_tensor(w) for w in ws], grouping, 0.1)
    return [ops.convert_to_numpy(w) for w in together]


def after_two_epochs(model):
    x = np.random.default_rng(1).standard_normal((64, 8)).astype("float32")
    model.fit(x, x[:, :4], batch_size=16, epochs=2, shuffle=False, verbose=0)
    return [weight for weight in model.get_weights() if weight.ndim == 2]


@pytest.mark.parametrize("levels", [2, 1000])
@pytest.mark.parametrize("sparsity", [0.0, 0.31, 0.9, 1.0])
def test_the_largest_of_all_variables_stay(levels, sparsity):
    ws = draw(levels)
    joined = np.concatenate([w.ravel() for w in ws])
    expected = joined.copy()
    count = joined.size - round(sparsity * joined.size)
    kept = np.argsort(-np.abs(joined), kind="stable")[:count]
    expected[np.setdiff1d(np.arange(joined.size), kept)] = 0
    result = pruned(TopK(sparsity, scope="all"), ws)
    np.testing.assert_array_equal(np.concatenate([w.ravel() for w in result]), expected)


def test_groups_of_all_variables_are_ranked_by_their_norms():
    ws = draw(1000)
    norms = np.concatenate([np.linalg.norm(w.astype("float64"), axis=0) for w in ws])
    result = pruned(TopK(4 / 9, group_axis=-1, scope="all"), ws)
    alive = np.concatenate([np.any(w != 0, axis=0) for w in result])
    assert set(np.flatnonzero(alive)) == set(np.argsort(-norms)[:5])


def test_fan_in_makes_up_for_the_scale_of_wide_layers():
    random = np.random.default_rng(0)
    ws = [(random.standard_normal((n, 20)) / n**0.5).astype("float32") for n in (4, 400)]
    kept = [np.mean(w != 0) for w in pruned(TopK(0.5, scope="all", score="fan_in"), ws)]
    assert kept == pytest.approx([0.5, 0.5], abs=0.1)
    assert np.mean(pruned(TopK(0.5, scope="all"), ws)[0] != 0) > 0.9


def test_at_least_keeps_a_part_of_every_variable():
    ws = [np.full((4, 5), 1e-3, "float32"), draw(1000)[0]]
    result = pruned(TopK(0.75, scope="all", at_least=0.2), ws)
    assert [np.sum(w != 0) for w in result] == [4, 7]
    assert np.all(pruned(TopK(0.75, scope="all"), ws)[0] == 0)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_exact_count_over_the_model_in_a_fit_that_resumes(jit_compile, tmp_path):
    if jit_compile and BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly")
    ramp = TopK(schedules.Polynomial(0.25, 0.9, steps=8), scope="all")
    model = model_with(ramp, jit_compile)
    kernels_after_fit(model, 1)
    model.save(tmp_path / "model.keras")
    straight = after_two_epochs(model)
    resumed = after_two_epochs(keras.models.load_model(tmp_path / "model.keras"))
    for one, other in zip(straight, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    sizes = sum(kernel.size for kernel in straight)
    assert sum(np.sum(kernel == 0) for kernel in straight) == round(0.9 * sizes)


def test_every_rule_of_a_dict_ranks_its_own_variables():
    penalties = {"hidden/kernel": TopK(0.5, scope="all"), "out/.*": TopK(0.75, scope="all")}
    model = model_with(penalties)
    hidden, out = kernels_after_fit(model, 1)
    bias = model.get_layer("out").get_weights()[1]
    assert np.sum(hidden == 0) == hidden.size // 2
    assert np.sum(out == 0) + np.sum(bias == 0) == round(0.75 * (out.size + bias.size))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_rank_alike():
    import tensorflow as tf

    devices = ["CPU:0", "CPU:1"]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        model = model_with(TopK(0.5, scope="all"))
        hidden, out = kernels_after_fit(model)
    assert np.sum(hidden == 0) + np.sum(out == 0) == (hidden.size + out.size) // 2
    for weight in model.trainable_weights:
        copies = [copy.numpy() for copy in weight.value.values]
        np.testing.assert_array_equal(*copies)


def test_every_other_update_ranks_all_variables():
    model = model_with(TopK(0.5))
    optimizer = Proximal(keras.optimizers.SGD(0.01), TopK(0.5, scope="all"), every=2)
    model.compile(optimizer, "mse")
    hidden, out = kernels_after_fit(model, 1)
    assert np.sum(hidden == 0) + np.sum(out == 0) == (hidden.size + out.size) // 2


@pytest.mark.parametrize("backend_dtypes", [("float32", "float16"), ("float64", "float32")])
def test_variables_of_several_dtypes_keep_theirs(backend_dtypes):
    ws = [w.astype(dtype) for w, dtype in zip(draw(8), backend_dtypes, strict=False)]
    if BACKEND == "jax":
        ws = [w.astype("float32") if w.dtype == "float64" else w for w in ws]
    result = pruned(TopK(0.5, scope="all"), ws)
    assert [w.dtype for w in result] == [w.dtype for w in ws]
    size = sum(w.size for w in ws)
    assert sum(np.sum(w == 0) for w in result) == size // 2


def lamp_of(w):
    squares = np.square(w.astype("float64"))
    return np.array([one / squares[squares >= one].sum() for one in squares.ravel()])


def test_lamp_ranks_by_the_share_of_the_squares_that_are_not_smaller():
    ws = draw(1000)
    scores = np.concatenate([lamp_of(w) for w in ws])
    kept = set(np.argsort(-scores, kind="stable")[:40])
    result = pruned(TopK(1 - 40 / scores.size, scope="all", score="lamp"), ws)
    assert set(np.flatnonzero(np.concatenate([w.ravel() for w in result]))) == kept


def test_lamp_scores_of_equal_weights_are_equal():
    w = np.array([[1.0, -1.0, 2.0], [0.0, 1.0, 2.0]], "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(lamp_scores(w)).ravel(), lamp_of(w), rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_stay(value):
    ws = draw(1000)
    ws[0][0, 0] = value
    for score in ("magnitude", "lamp"):
        first, *others = pruned(TopK(0.9, scope="all", score=score), ws)
        np.testing.assert_array_equal(first[0, 0], value)
        assert all(np.isfinite(w).all() for w in others)


def layer_of(layer, shape):
    layer.build(shape)
    weights = [weight for weight in layer.weights if len(weight.shape) > 1]
    return weights_in(layer, weights)[0]


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"),
    [
        (keras.layers.Dense(7), (None, 5), 5),
        (keras.layers.Conv2D(7, 3), (None, 8, 8, 4), 36),
        (keras.layers.Conv2D(8, 3, groups=2), (None, 8, 8, 4), 18),
        (keras.layers.Conv2DTranspose(7, 3), (None, 8, 8, 4), 36),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (None, 8, 8, 4), 9),
        (keras.layers.Embedding(50, 6), (None, 3), 1),
        (keras.layers.EinsumDense("abc,cde->abde", (None, 2, 3)), (None, 4, 6), 6),
        (keras.layers.EinsumDense("abde,dec->abc", (None, 6)), (None, 4, 2, 3), 6),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_fan_in_is_that_of_the_layer(layer, shape, fan_in):
    """With fan_in, a weight ranks as one that is larger by the root in a layer of fan-in 1."""
    weight = layer_of(layer, shape)
    penalty = TopK(0.5, scope="all", score="fan_in")
    placed = [
        penalty.placed(weight.layout, weight.name),
        penalty.placed(plain_layout((1, 2)), "one/kernel"),
    ]
    grouping = penalty.together(placed, [weight.variable.shape, (1, 2)])
    w, root = np.ones(weight.variable.shape, "float32"), fan_in**0.5
    other = np.array([[root * 1.01, root * 0.99]], "float32")
    marks = penalty._marks([ops.convert_to_tensor(x) for x in (w, other)], grouping, None)
    assert ops.convert_to_numpy(marks[1]).tolist() == [[True, w.size == 1]]


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_named_axes_and_fan_in_are_those_of_each_layer_of_the_model():
    inputs = keras.Input((6, 6, 4))
    x = keras.layers.DepthwiseConv2D(3, name="dw")(inputs)
    x = keras.layers.Conv2D(5, 1, name="conv")(x)
    outputs = keras.layers.Dense(3, name="out")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    penalty = TopK(0.5, "outputs", scope="all", score="fan_in")
    optimizer = Proximal(keras.optimizers.SGD(1e-3), penalty, model=model)
    model.compile(optimizer, "mse")
    model.fit(np.ones((4, 6, 6, 4)), np.ones((4, 3)), verbose=0)
    kernels = [model.get_layer(name).get_weights()[0] for name in ("dw", "conv", "out")]
    axes = [(0, 1), (0, 1, 2), 0]
    dead = [np.sum(np.all(k == 0, axis=over)) for k, over in zip(kernels, axes, strict=True)]
    assert sum(dead) == 6


def test_a_variable_that_is_ranked_away_is_warned_of():
    model = model_with(TopK(0.5, scope="all"))
    kernel, bias = model.get_layer("out").get_weights()
    model.get_layer("out").set_weights([1e-6 * kernel, bias])
    model.optimizer.learning_rate = 1e-9
    with pytest.warns(UserWarning, match=r"Every weight of .*out/kernel.* `at_least`"):
        kernels_after_fit(model, 1)


def test_floor_holds_where_a_schedule_goes_beyond_it():
    falls = schedules.Function(lambda step: ops.where(step < 5, 1.0, 0.5))
    penalty = TopK(falls, scope="all", at_least=0.25)
    ws = draw(1000)
    grouping = penalty.together([penalty] * 3, [w.shape for w in ws])
    together = penalty.prox_of_groups([ops.convert_to_tensor(w) for w in ws], grouping, 0.1, 1)
    assert [np.sum(ops.convert_to_numpy(w) != 0) for w in together] == [6, 3, 35]


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("scope", ["variable", "all"])
def test_pruned_weights_stay_zero_between_two_steps(scope, jit_compile):
    if jit_compile and BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly")
    model = model_with(TopK(0.5))
    optimizer = Proximal(keras.optimizers.Adam(0.5), TopK(0.5, scope=scope), every=3)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    x = np.random.default_rng(1).standard_normal((16, 8)).astype("float32")
    supports = []
    for _ in range(9):
        model.fit(x, x[:, :4], batch_size=16, verbose=0)
        weights = [w for w in model.get_weights() if w.ndim == 2]
        supports.append(np.concatenate([w.ravel() != 0 for w in weights]))
    assert supports[1].all()
    half = supports[2].size // 2
    for first in (2, 5):
        for held in supports[first : first + 3]:
            np.testing.assert_array_equal(held, supports[first])
            assert held.sum() == half
    assert not np.array_equal(supports[2], supports[5])


def test_without_strength_nothing_is_held():
    model = model_with(TopK(0.5))
    model.compile(Proximal(keras.optimizers.Adam(0.05), TopK(0.5), every=2), "mse")
    kernels_after_fit(model, 1)
    model.optimizer.strength_scale = 0.0
    for kernel in kernels_after_fit(model, 1):
        assert np.all(kernel != 0)


def test_config_round_trip():
    penalty = TopK(schedules.Linear(0, 0.5, steps=3), "outputs", "all", "lamp", 0.25)
    again = keras.regularizers.deserialize(keras.regularizers.serialize(penalty))
    assert again.get_config() == penalty.get_config()
    assert TopK(0.5).get_config() == {**TopK(0.5, scope="variable").get_config()}


def test_several_learning_rates_or_a_score_in_the_adaptive_metric_are_refused():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    model = model_with(TopK(0.5))
    members = {"hidden": keras.optimizers.SGD(0.1), "out": keras.optimizers.SGD(0.2)}
    inner = keras.optimizers.MultiOptimizer(lambda v: members[v.path.split("/")[-2]])
    both = Proximal(inner, TopK(0.5, scope="all"))
    with pytest.raises(ValueError, match=r"Expected one optimizer.*hidden/kernel"):
        both.build(model.trainable_variables)
    adaptive = Proximal("adam", TopK(0.5, scope="all", score="lamp"), metric="adaptive")
    with pytest.raises(ValueError, match=r"whose score is the magnitude.*hidden/kernel"):
        adaptive.build(model.trainable_variables)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"scope": "model"}, "scope='model'"),
        ({"score": "sum"}, "score='sum'"),
        ({"at_least": 0.1}, "scope='variable'"),
        ({"of": "macs"}, "of='macs'"),
        ({"of": "weights", "scope": "all"}, "of='weights'"),
        ({"at_least": 2.0, "scope": "all"}, "at_least=2.0"),
        ({"sparsity": 0.95, "at_least": 0.1, "scope": "all"}, "sparsity=0.95"),
        (
            {"sparsity": schedules.Linear(0, 0.9, steps=9), "at_least": 0.2, "scope": "all"},
            "sparsity=Linear",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, expected):
    with pytest.raises(ValueError, match=f"Received.*{expected}"):
        TopK(**arguments)
