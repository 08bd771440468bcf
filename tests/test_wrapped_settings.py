"""What a Keras optimizer offers, asked of a wrapper: it is the optimizer inside that answers."""

import copy
import inspect

import keras
import numpy as np
import pytest
from keras import ops
from small_model import data, dense_model, fit, weights_of

from keras_reg import regularizers
from keras_reg.optimizers import FixedSupport, Proximal
from keras_reg.regularizers import L1

WRAP = {
    "Proximal": lambda inner: Proximal(inner, L1(0.0)),
    "FixedSupport": lambda inner: FixedSupport(inner),
}
wrapped = pytest.mark.parametrize("wrap", WRAP.values(), ids=WRAP)
SETTINGS = {
    "weight_decay": 0.1,
    "clipnorm": 0.5,
    "clipvalue": 0.5,
    "global_clipnorm": 0.5,
    "use_ema": True,
    "ema_momentum": 0.5,
    "ema_overwrite_frequency": 3,
    "gradient_accumulation_steps": 2,
    "loss_scale_factor": 8.0,
    "learning_rate": 0.25,
    "beta_1": 0.5,
    "epsilon": 0.1,
}


@wrapped
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_read_and_set_inside(wrap, name):
    inner, value = keras.optimizers.Adam(), SETTINGS[name]
    outer = wrap(inner)
    setattr(outer, name, value)
    for optimizer in (inner, outer):
        got = getattr(optimizer, name)
        assert (float(got) if name == "learning_rate" else got) == value


@wrapped
def test_no_public_attribute_is_a_copy_of_its_own(wrap):
    inner = keras.optimizers.Adam()
    outer = wrap(inner)
    own = {"name", "built", "inner_optimizer", "every", "metric"}
    assert {name for name in vars(outer) if not name.startswith("_")} <= own
    assert {name for name in vars(inner) if not name.startswith("_")} <= set(dir(inner))
    for name in dir(keras.optimizers.Adam()):
        if not name.startswith("_"):
            assert hasattr(outer, name), name


def test_every_public_method_of_keras_is_accounted_for():
    # A new one in a later Keras is to be looked at: does the wrapper's own copy of it act?
    public = {
        name
        for name, _ in inspect.getmembers(keras.optimizers.Optimizer)
        if not name.startswith("_")
    }
    forwarded = {name for name in public if name in vars(Proximal.__mro__[1])}
    inherited = {"assign", "assign_add", "assign_sub", "stateless_apply", "get_config"}
    assert public - forwarded - inherited == set()


@wrapped
@pytest.mark.parametrize("by", ["var_list", "var_names"])
def test_variables_are_excluded_from_weight_decay(wrap, by):
    model = dense_model()
    kernel = model.get_layer("hidden").kernel
    named = {"var_list": [kernel]} if by == "var_list" else {"var_names": ["kernel"]}
    after = []
    for around in (lambda inner: inner, wrap):
        through = around(keras.optimizers.AdamW(0.1, weight_decay=0.5))
        again = keras.models.clone_model(model)
        again.set_weights(model.get_weights())
        if by == "var_list":
            named = {"var_list": [again.get_layer("hidden").kernel]}
        through.exclude_from_weight_decay(**named)
        again.compile(through, "mse")
        fit(again, epochs=1)
        after.append(weights_of(again))
    for one, two in zip(*after, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@wrapped
def test_a_step_that_would_leave_weights_uncorrected_is_refused(wrap):
    with pytest.raises(NotImplementedError, match="`apply`"):
        wrap("sgd").update_step(1.0, None, 0.1)


@wrapped
def test_a_variable_is_added_inside(wrap):
    outer = wrap("sgd")
    before = len(outer.variables)
    variable = outer.add_variable((2,), name="mine")
    assert any(variable is one for one in outer.inner_optimizer.variables)
    assert len(outer.variables) == before + 1


@wrapped
def test_unknown_names_are_errors_and_copies_work(wrap):
    outer = wrap("adam")
    with pytest.raises(AttributeError, match="momentun"):
        _ = outer.momentun
    again = copy.deepcopy(outer)
    assert again.get_config() == outer.get_config()


def several(wrap_members=lambda inner: inner):
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    hidden = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5)
    members = {".*hidden/.*": wrap_members(hidden)}
    default = wrap_members(keras.optimizers.SGD(0.1, momentum=0.5))
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(default, members))


@wrapped
@pytest.mark.parametrize("name", ["use_ema", "clipnorm", "weight_decay"])
def test_a_setting_of_several_optimizers_is_refused(wrap, name):
    outer = wrap(several())
    with pytest.raises(AttributeError, match=rf"`{name}` of one optimizer.*MultiOptimizer"):
        getattr(outer, name)
    with pytest.raises(AttributeError, match=name):
        setattr(outer, name, 1)


def trained(optimizer):
    keras.utils.set_random_seed(1)
    model = dense_model()
    model.compile(optimizer, keras.losses.MeanSquaredError())
    fit(model)
    return model


@pytest.mark.parametrize("strength", [0.0, 0.05])
def test_members_wrapped_each_do_what_one_round_all_does(strength):
    inside = trained(several(lambda inner: Proximal(inner, L1(strength))))
    outside = trained(Proximal(several(), L1(strength)))
    for one, two in zip(weights_of(inside), weights_of(outside), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
        assert np.array_equal(one == 0, two == 0)


@wrapped
def test_members_that_are_wrapped_are_not_wrapped_again(wrap):
    with pytest.raises(TypeError, match="no other wrapper"):
        wrap(several(lambda inner: Proximal(inner, L1(0.05))))


def test_members_chosen_in_build_are_not_wrapped_again():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    member = Proximal("sgd", L1(0.05))
    optimizer = Proximal(keras.optimizers.MultiOptimizer(lambda variable: member), L1(0.05))
    with pytest.raises(TypeError, match="no other wrapper"):
        optimizer.build(dense_model().trainable_variables)


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_several_are_saved_and_loaded(place, tmp_path):
    wrap = lambda inner: Proximal(inner, L1(0.05))  # noqa: E731
    model = trained(several(wrap) if place == "inside" else wrap(several()))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    state = [variable.numpy() for variable in model.optimizer.variables]
    loaded = [variable.numpy() for variable in again.optimizer.variables]
    assert len(state) == len(loaded)
    for one, two in zip(state, loaded, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("place", ["alone", "inside", "outside"])
@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_averages_are_swapped_in(place):
    wrap = lambda inner: Proximal(inner, L1(3.0))  # noqa: E731
    adam = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5)
    make = {
        "alone": lambda: wrap(adam),
        "inside": lambda: several(wrap),
        "outside": lambda: wrap(several()),
    }
    keras.utils.set_random_seed(1)
    model = dense_model()
    model.compile(make[place](), "mse")
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    fit(model, callbacks=[swap])
    assert np.any(weights_of(model)[0] == 0)
    assert np.isfinite(model.evaluate(*data(), verbose=0, callbacks=[swap]))


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "2", None, True])
def test_a_bad_strength_scale_is_refused(bad):
    optimizer = Proximal("sgd", L1(0.1))
    with pytest.raises(ValueError, match="`strength_scale` to be a finite number"):
        optimizer.strength_scale = bad
    assert float(ops.convert_to_numpy(optimizer.strength_scale)) == 1.0


@pytest.mark.parametrize("scale", [2, np.float32(2), np.array(2.0)])
def test_a_number_of_any_kind_is_a_strength_scale(scale):
    optimizer = Proximal("sgd", L1(0.1))
    optimizer.strength_scale = scale
    assert float(ops.convert_to_numpy(optimizer.strength_scale)) == 2.0


STRENGTHS = {
    "negative": (lambda step: ops.cast(-1.0, "float32"), 1.0),
    "nan": (lambda step: ops.cast(float("nan"), "float32"), 1.0),
    "negative scale": (lambda step: ops.cast(1.0, "float32"), -1.0),
    "nan scale": (lambda step: ops.cast(1.0, "float32"), float("nan")),
}


@pytest.mark.parametrize("metric", ["euclidean", "adaptive"])
@pytest.mark.parametrize(("strength", "scale"), STRENGTHS.values(), ids=STRENGTHS)
def test_a_strength_that_is_none_does_nothing_in_the_compiled_step(strength, scale, metric):
    after = []
    for penalty in (L1(strength), None):
        keras.utils.set_random_seed(1)
        model = dense_model()
        inner = keras.optimizers.Adam(0.01)
        optimizer = Proximal(inner, penalty, metric=metric) if penalty else inner
        if penalty:
            optimizer.strength_scale.assign(scale)
        model.compile(optimizer, "mse")
        fit(model, epochs=1)
        after.append(weights_of(model))
    for one, two in zip(*after, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("penalty", [L1(0.1), regularizers.TopK(0.5), regularizers.GroupLasso(1)])
def test_a_step_that_is_none(penalty):
    w = ops.convert_to_tensor(np.arange(1, 5, dtype="float32").reshape(2, 2))
    for bad in (-1, -0.5, float("nan"), float("inf"), np.float32(-1), "0.1"):
        with pytest.raises(ValueError, match="`step` to be a finite number"):
            penalty.prox(w, bad)
    for bad in (-1.0, float("nan")):
        out = penalty.prox(w, ops.convert_to_tensor(bad, "float32"))
        np.testing.assert_array_equal(ops.convert_to_numpy(out), ops.convert_to_numpy(w))
