"""Proximal: one update, where it acts, what it wraps and what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops
from small_model import dense_model, first_update, fit

from keras_reg import regularizers, schedules
from keras_reg.optimizers import Proximal

BACKEND = keras.backend.backend()


def one_update(optimizer, value=1.0, gradient=0.0, path="kernel"):
    """The value of a single weight after one update."""
    variable = keras.Variable([[value]], name=path)
    optimizer.apply([ops.convert_to_tensor([[gradient]])], [variable])
    return float(ops.convert_to_numpy(variable)[0, 0])


def test_update_is_that_of_the_optimizer_then_the_prox():
    # w = 1 - 0.5 * 0.4 = 0.8, then soft-thresholded by 0.5 * 0.6 = 0.3.
    optimizer = Proximal(keras.optimizers.SGD(0.5), regularizers.L1(0.6))
    assert one_update(optimizer, gradient=0.4) == pytest.approx(0.5, abs=1e-6)
    assert int(optimizer.iterations) == 1


OPTIMIZERS = "SGD RMSprop Adam AdamW Nadam Adamax Adagrad Adadelta Adafactor Lamb Lion Muon Ftrl"


@pytest.mark.parametrize("name", OPTIMIZERS.split())
def test_any_optimizer_inside(name):
    if not hasattr(keras.optimizers, name):
        pytest.skip(f"this Keras has no {name}")
    new, penalty = getattr(keras.optimizers, name), regularizers.L1(0.3)
    plain = keras.Variable([[1.0, 0.02], [-0.5, 0.4]], name="kernel")
    penalized = keras.Variable([[1.0, 0.02], [-0.5, 0.4]], name="kernel")
    gradient = ops.convert_to_tensor([[0.1, -0.01], [0.2, 0.3]])
    new(0.1).apply([gradient], [plain])
    Proximal(new(0.1), penalty).apply([gradient], [penalized])
    expected = ops.convert_to_numpy(penalty.prox(plain, step=0.1))
    np.testing.assert_allclose(ops.convert_to_numpy(penalized), expected, rtol=1e-6, atol=1e-7)
    assert np.any(expected != ops.convert_to_numpy(plain))


def test_threshold_that_reaches_the_weight_makes_an_exact_zero():
    assert one_update(Proximal(keras.optimizers.Adam(0.5), regularizers.L1(2.1))) == 0.0


def test_strength_zero_changes_nothing():
    plain, penalized = keras.optimizers.Adam(0.1), Proximal("adam", regularizers.L1(0.0))
    penalized.learning_rate = 0.1
    assert one_update(penalized, gradient=0.7) == one_update(plain, gradient=0.7)


def test_scheduled_strength_follows_the_iterations():
    optimizer = Proximal(keras.optimizers.SGD(1.0), regularizers.L1(schedules.Linear(0.0, 0.2, 2)))
    variable = keras.Variable([[1.0]], name="kernel")
    seen = []
    for _ in range(4):
        optimizer.apply([ops.zeros((1, 1))], [variable])
        seen.append(float(ops.convert_to_numpy(variable)[0, 0]))
    np.testing.assert_allclose(seen, [1.0, 0.9, 0.7, 0.5], atol=1e-6)


def test_scheduled_learning_rate_is_the_step_of_the_same_update():
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.1])
    optimizer = Proximal(keras.optimizers.SGD(rate), regularizers.L1(0.4))
    variable = keras.Variable([[1.0]], name="kernel")
    for expected in (0.8, 0.76):
        optimizer.apply([ops.zeros((1, 1))], [variable])
        np.testing.assert_allclose(ops.convert_to_numpy(variable), [[expected]], atol=1e-6)


@pytest.mark.parametrize("steps", [2, 3])
def test_gradient_accumulation_shrinks_at_update_steps_only(steps):
    inner = keras.optimizers.SGD(0.5, gradient_accumulation_steps=steps)
    optimizer = Proximal(inner, regularizers.L1(0.2))
    variable = keras.Variable([[1.0]], name="kernel")
    seen = []
    for _ in range(2 * steps):
        optimizer.apply([ops.zeros((1, 1))], [variable])
        seen.append(round(float(ops.convert_to_numpy(variable)[0, 0]), 5))
    assert seen == [1.0] * (steps - 1) + [0.9] * steps + [0.8]


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_single_penalty_spares_biases_and_normalization():
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(7, 4),
            keras.layers.BatchNormalization(),
            keras.layers.Conv1D(3, 2, bias_initializer="ones"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, bias_initializer="ones"),
        ]
    )
    model.compile(Proximal(keras.optimizers.SGD(1e-3), regularizers.L1(1e6)), "mse")
    model.fit(np.ones((4, 5), "int32"), np.ones((4, 2)), verbose=0)
    for variable in model.trainable_weights:
        is_zero = not np.any(ops.convert_to_numpy(variable))
        assert is_zero == (variable.name in ("kernel", "embeddings")), variable.path


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_patterns_choose_the_variables():
    model = dense_model()
    optimizer = Proximal(keras.optimizers.SGD(1e-3), {"hidden/kernel": regularizers.L1(1e6)})
    model.compile(optimizer, "mse")
    fit(model, epochs=1)
    assert not np.any(model.get_layer("hidden").get_weights()[0])
    assert np.all(model.get_layer("out").get_weights()[0])


def test_config_round_trip():
    optimizer = Proximal(
        keras.optimizers.SGD(0.1, momentum=0.9),
        {"a/kernel": regularizers.L1(0.1), "b.*": regularizers.GroupLasso(0.2, group_axis=(0, -1))},
        name="sparse",
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.name == "sparse"
    assert again.penalties["b.*"].group_axis == (0, -1)


def test_learning_rate_is_that_of_the_wrapped_optimizer():
    optimizer = Proximal(keras.optimizers.SGD(0.5), regularizers.L1(0.6))
    optimizer.learning_rate = 0.25
    assert float(optimizer.inner_optimizer.learning_rate) == 0.25
    assert one_update(optimizer) == pytest.approx(1 - 0.25 * 0.6, abs=1e-6)


def test_loss_scaling_goes_round_it():
    inner = keras.optimizers.SGD(0.5, loss_scale_factor=8.0)
    optimizer = Proximal(inner, regularizers.L1(0.6))
    assert float(optimizer.scale_loss(1.0)) == 8.0
    outer = keras.optimizers.LossScaleOptimizer(optimizer)
    assert inner.loss_scale_factor is None
    variable = keras.Variable([[1.0]], name="kernel")
    gradient = ops.convert_to_tensor([[np.float32(np.inf)]])
    outer.build([variable])
    if BACKEND == "jax":  # Keras skips steps in its stateless form alone there.
        state = [v.value for v in outer.variables]
        (value,), _ = outer.stateless_apply(state, [gradient], [variable.value])
        variable.assign(value)
    else:
        outer.apply([gradient], [variable])
    assert float(ops.convert_to_numpy(variable)[0, 0]) == 1.0


def test_several_optimizers_inside_each_give_their_own_step():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    fast, slow = keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.1)
    choose = keras.optimizers.OptimizerMap(slow, {"fast/kernel": fast})
    optimizer = Proximal(keras.optimizers.MultiOptimizer(choose), regularizers.L1(0.6))
    kernels = []
    for name in ("fast", "slow"):
        dense = keras.layers.Dense(1, name=name, kernel_initializer="ones")
        dense.build((None, 1))
        kernels.append(dense.kernel)
    optimizer.build(kernels)
    optimizer.apply([ops.zeros((1, 1))] * 2, kernels)
    values = [float(ops.convert_to_numpy(kernel)[0, 0]) for kernel in kernels]
    np.testing.assert_allclose(values, [0.7, 0.94], atol=1e-6)


def test_several_optimizers_wrapped_at_once_are_a_member_of_several_more():
    """Keras refuses a MultiOptimizer within another, but not one with a wrapper round it."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")

    def several(default, **others):
        named = keras.optimizers.OptimizerMap(default, others)
        return keras.optimizers.MultiOptimizer(named)

    inner = several(keras.optimizers.SGD(0.25), a=keras.optimizers.SGD(0.5))
    wrapped = Proximal(inner, {"[ab]": regularizers.L1(0.6)})
    optimizer = several(wrapped, c=keras.optimizers.SGD(0.125))
    weights = [keras.Variable([[1.0]], name=name) for name in "abc"]
    optimizer.apply([ops.ones((1, 1))] * 3, weights)
    values = [float(ops.convert_to_numpy(w)[0, 0]) for w in weights]
    np.testing.assert_allclose(values, [1 - 0.5 - 0.3, 1 - 0.25 - 0.15, 1 - 0.125], atol=1e-6)
    assert Proximal.within(optimizer) == [wrapped]


def test_variables_without_a_gradient_are_shrunk_as_if_it_were_zero():
    used, unused = keras.Variable([[1.0]], name="kernel"), keras.Variable([[1.0]], name="kernel")
    optimizer = Proximal(keras.optimizers.SGD(0.5), regularizers.L1(0.6))
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([ops.zeros((1, 1)), None], [used, unused])
    values = [float(ops.convert_to_numpy(variable)[0, 0]) for variable in (used, unused)]
    assert values == pytest.approx([0.7, 0.7], abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_gradient_never_becomes_a_zero(bad):
    optimizer = Proximal(keras.optimizers.SGD(0.5), regularizers.L1(0.6))
    assert not np.isfinite(one_update(optimizer, gradient=bad))


def update(penalties, **kwargs):
    first_update(Proximal("sgd", penalties), dense_model(**kwargs).trainable_variables)


def test_pattern_that_matches_nothing_lists_near_paths():
    with pytest.raises(ValueError, match=r"'hiden/kernel'.*hidden/kernel"):
        update({"hiden/kernel": regularizers.L1(0.1)})


def test_two_patterns_on_one_variable_are_refused():
    with pytest.raises(ValueError, match="hidden/kernel"):
        update({"hid.*/kernel": regularizers.L1(0.1), ".*den/kernel": regularizers.L1(0.1)})


def test_variable_regularized_twice_is_refused():
    with pytest.raises(ValueError, match=r"one penalty on .*hidden/kernel"):
        update(regularizers.L1(0.1), kernel_regularizer=regularizers.L2(0.1))


def test_group_axis_out_of_range_names_the_variable():
    with pytest.raises(ValueError, match=r"group_axis.*hidden/kernel of shape \(6, 8\)"):
        update({"hidden/kernel": regularizers.GroupLasso(0.1, group_axis=2)})


def test_model_without_kernels_is_refused():
    with pytest.raises(ValueError, match="kernel or embedding matrix"):
        first_update(Proximal("sgd", regularizers.L1(0.1)), [keras.Variable([1.0], name="gain")])


@pytest.mark.parametrize("optimizer", [None, 0.1, regularizers.L1(0.1), keras.optimizers.SGD])
def test_no_keras_optimizer_is_refused(optimizer):
    with pytest.raises(TypeError, match="optimizer"):
        Proximal(optimizer, regularizers.L1(0.1))


def test_momentum_that_never_fades_is_refused():
    with pytest.raises(ValueError, match="momentum below 1"):
        one_update(Proximal(keras.optimizers.SGD(0.1, momentum=1.0), regularizers.L1(0.1)))


def test_wrong_nesting_is_refused():
    for inner in (
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
        Proximal("sgd", regularizers.L1(0.1)),
    ):
        with pytest.raises(TypeError, match=r"LossScaleOptimizer|no other wrapper"):
            Proximal(inner, regularizers.L1(0.1))


@pytest.mark.parametrize("penalties", [None, {}, 0.1, {"a": 0.1}, keras.regularizers.L1(0.1)])
def test_no_penalties_are_refused(penalties):
    with pytest.raises(TypeError, match="penalties"):
        Proximal("sgd", penalties)


def test_bad_pattern_is_refused():
    with pytest.raises(ValueError, match="regular expression"):
        Proximal("sgd", {"dense(": regularizers.L1(0.1)})
