"""What `regularize` refuses, and why; and a pretrained network of many layers."""

import warnings

import keras
import numpy as np
import pytest
from attach_models import configs, dense_model, fit, of, saved, value
from keras import layers

import keras_reg as kr

L1, L2, GroupLasso = kr.regularizers.L1, kr.regularizers.L2, kr.regularizers.GroupLasso


@keras.saving.register_keras_serializable("test_attach")
class Bare(layers.Layer):
    """A layer whose config has no place for a regularizer."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel")
        self.dense = layers.Dense(2, name="inside")
        self.dense.build((None, 2))

    def call(self, x):
        return self.dense(x @ self.kernel)


@keras.saving.register_keras_serializable("test_attach")
class Partial(Bare):
    """A layer whose config has a regularizer for its own kernel and none for the layer inside."""

    def __init__(self, kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, shape):
        super().build(shape)
        self.kernel.regularizer = self.kernel_regularizer

    def get_config(self):
        regularizer = keras.regularizers.serialize(self.kernel_regularizer)
        return {**super().get_config(), "kernel_regularizer": regularizer}


class Subclassed(keras.Model):
    """A model without a config."""

    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(len(units), name="dense")

    def call(self, x):
        return self.dense(x)


def subclassed():
    model = Subclassed([object()])
    model(np.zeros((1, 3), "float32"))
    return model


class Arguments(keras.Model):
    """A Functional model whose config holds the arguments of its constructor."""

    def __init__(self, units, **kwargs):
        x = keras.Input((3,))
        super().__init__(x, layers.Dense(units, name="hidden")(x), **kwargs)
        self.units = units

    def get_config(self):
        return {"units": self.units, "name": self.name}


# A model, a pattern, and why no config carries a penalty to what it names.
LOST = {
    "own": (lambda: of((3,), Bare(name="bare")), "bare/kernel", "Bare 'bare' has no `kernel_reg"),
    "inside": (
        lambda: of((3,), Bare(name="bare")),
        "inside/kernel",
        "config of Bare 'bare' holds the arguments of its constructor",
    ),
    "no config": (subclassed, "dense/kernel", "`get_config` raises NotImplementedError"),
    "arguments": (
        lambda: Arguments(2, name="mine"),
        "hidden/kernel",
        "config of Arguments 'mine' holds the arguments of its constructor",
    ),
    "nested": (
        lambda: of((3,), Arguments(2, name="mine")),
        "hidden/kernel",
        "config of Arguments 'mine' holds the arguments of its constructor",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_what_no_config_can_carry_acts_and_warns_why(name):
    make, pattern, reason = LOST[name]
    model = make()
    rules = {pattern: L1(0.1)}
    with pytest.raises(ValueError, match=rf"1 of 1 weights .*{reason}"):
        kr.regularize(model, rules, strict=True)
    assert model.losses == []
    with pytest.warns(UserWarning, match=rf"{reason}.*call `regularize` again") as caught:
        [row] = kr.regularize(model, rules)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    [kernel] = [weight for weight in model.weights if weight.path == row.path]
    size = np.sum(np.abs(keras.ops.convert_to_numpy(kernel)))
    np.testing.assert_allclose(value(model), 0.1 * size, rtol=1e-5)
    with pytest.warns(UserWarning, match="come back in"):
        assert len(kr.regularize(model, None)) == 1
    assert model.losses == []


@pytest.mark.filterwarnings("default:The penalties of:UserWarning")
def test_a_model_of_arguments_is_regularized_again_after_loading(tmp_path):
    keras.saving.register_keras_serializable("test_attach")(Arguments)
    model, rules = Arguments(2, name="mine"), L2(0.5)
    kr.regularize(model, rules)
    loaded = saved(model, tmp_path)
    assert loaded.losses == []
    kr.regularize(loaded, rules)
    np.testing.assert_allclose(value(loaded), value(model), rtol=1e-6)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.layers[1].get_weights()[0]
    model.train_on_batch(np.zeros((4, 3), "float32"), np.zeros((4, 2), "float32"))
    np.testing.assert_allclose(model.layers[1].get_weights()[0], 0.9 * before, rtol=1e-5)


def test_a_warning_made_an_error_changes_nothing():
    model = subclassed()
    with pytest.raises(UserWarning, match="1 of 1"):
        kr.regularize(model, L1(0.1))
    assert model.losses == []


def test_a_config_that_carries_a_part_is_found_out():
    model = of((3,), Partial(name="partial"))
    kr.regularize(model, {"partial/kernel": L1(0.1)})
    assert len(keras.models.clone_model(model).losses) == len(model.losses) == 1
    with pytest.raises(ValueError, match=r"partial/inside/kernel"):
        kr.regularize(model, {"inside/kernel": L1(0.1)}, strict=True)


@pytest.mark.parametrize("model", ["m", None, [1], L1(0.1)])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match=r"Expected `model` to be a keras.Model.*Received: model="):
        kr.regularize(model, L2(0.1))


def test_swapped_arguments_are_refused():
    with pytest.raises(TypeError, match=r"in the other order. Received: model=L1\("):
        kr.regularize(L1(0.1), dense_model())


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({"hiden/kernel": L1(0.1)}, ValueError, r"The nearest: .*hidden/kernel"),
        ({"hidden/.*": L1(0.1), ".*/kernel": L1(0.1)}, ValueError, "at most one pattern"),
        ({"(": L1(0.1)}, ValueError, "regular expression"),
        (kr.regularizers.L0(0.1), ValueError, r"useful gradient on .*hidden/kernel"),
        (L1(kr.schedules.Linear(0, 1, 9)), ValueError, r"float `strength` on .*hidden/kernel"),
        (GroupLasso(0.1, group_axis=2), ValueError, r"hidden/kernel of shape \(3, 4\)"),
        ({"hidden/kernel": "l1"}, TypeError, "penalty of keras_reg"),
        ({}, TypeError, "penalty of keras_reg"),
        (keras.regularizers.L1(0.1), TypeError, "penalty of keras_reg"),
    ],
)
def test_errors_change_nothing(rules, error, message):
    model = dense_model(bias_regularizer="l2")
    before = model.get_config()
    with pytest.raises(error, match=message):
        kr.regularize(model, rules)
    assert model.get_config() == before
    assert len(model.losses) == 1


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ValueError, match="Expected a built model"):
        kr.regularize(keras.Sequential([layers.Dense(2)]), L1(0.1))
    hollow = keras.Sequential([layers.Dense(2)])
    hollow.built = True  # As `build` leaves a subclassed model that does not build its layers.
    with pytest.raises(ValueError, match="Expected a built model: call it on data"):
        kr.regularize(hollow, L1(0.1))


@pytest.mark.parametrize("penalties", [L1(0.1), {"hidden/kernel": L1(0.1)}])
@pytest.mark.parametrize("fitted", [True, False])
def test_a_second_penalty_beside_proximal_is_refused(penalties, fitted):
    model = dense_model()
    model.compile(kr.optimizers.Proximal(keras.optimizers.SGD(0.1), penalties), "mse")
    if fitted:
        fit(model)
    with pytest.raises(ValueError, match=r"in the loss or in Proximal.*hidden/kernel"):
        kr.regularize(model, L2(0.1))
    assert model.losses == []
    if isinstance(penalties, dict):
        kr.regularize(model, {"out/kernel": L2(0.1)})
        fit(model)


def test_a_pretrained_network_of_many_layers(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    rows = kr.regularize(model, L2(1e-4))
    assert len(rows) == len(model.losses) == 53
    assert configs(keras.models.clone_model(model)) == configs(model)
