"""What `regularize` refuses, and why; and a pretrained network of many layers."""

import warnings

import keras
import numpy as np
import pytest
from attach_models import configs, dense_model, fit, of
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


@pytest.mark.parametrize("kernel", ["kernel", "inside/kernel"])
def test_what_no_config_can_carry_is_refused(kernel):
    model = of((3,), Bare(name="bare"), layers.Dense(2, name="out"))
    with pytest.raises(ValueError, match=rf"holds the regularizer of .*bare/{kernel}"):
        kr.regularize(model, {f"bare/{kernel}": L1(0.1)})
    assert model.losses == []
    kr.regularize(model, {"out/kernel": L1(0.1)})
    assert len(model.losses) == 1


def test_a_config_that_carries_a_part_is_found_out():
    model = of((3,), Partial(name="partial"))
    kr.regularize(model, {"partial/kernel": L1(0.1)})
    assert len(keras.models.clone_model(model).losses) == len(model.losses) == 1
    with pytest.raises(ValueError, match=r"partial/inside/kernel"):
        kr.regularize(model, {"inside/kernel": L1(0.1)})


def test_a_model_without_a_config_is_refused():
    model = Subclassed([object()])
    model(np.zeros((1, 3), "float32"))
    with pytest.raises(ValueError, match=r"holds the regularizer of .*dense/kernel"):
        kr.regularize(model, L1(0.1))


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
