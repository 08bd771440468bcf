"""How many weights are zero, how many can be, and the warning when all are."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import regularizers
from keras_reg.callbacks import SparsityReport
from keras_reg.optimizers import Proximal
from keras_reg.optimizers.zeros import most_zeros


@pytest.mark.parametrize(
    ("penalty", "zeros"),
    [
        (regularizers.L1(1e-4), 24),
        (regularizers.L1(0.0), 0),
        (regularizers.L2(0.1), 0),
        (regularizers.L2SP(0.1, reference=0.5), 0),
        (regularizers.ElasticNet(0.1, l1_ratio=0.0), 0),
        (regularizers.ElasticNet(0.1), 24),
        (regularizers.GroupLasso(0.1, group_axis=-1, weights=np.array([1, 0, 1, 0])), 12),
        (regularizers.GroupLInf(0.1), 24),
        (regularizers.MCP(0.1), 24),
        (regularizers.ExclusiveLasso(0.1, group_axis=-1), 20),
        (regularizers.SLOPE(0.1), 24),
        (regularizers.SparseGroupLasso(0.1), 24),
        (regularizers.TotalVariation(0.1), 0),
        (regularizers.NuclearNorm(0.1), 24),
        (regularizers.TopK(0.75), 18),
        (regularizers.NM(2, 3), 8),
        (regularizers.L1(lambda step: ops.where(step < 100, 0.1, 0.0)), 0),
    ],
)
def test_zeros_of_the_strongest_penalty(penalty, zeros):
    assert most_zeros(penalty, keras.Variable(np.ones((6, 4)))) == zeros


def fit(model, epochs=1):
    x = np.random.default_rng(0).standard_normal((32, 4)).astype("float32")
    model.fit(x, x[:, :2], epochs=epochs, verbose=0)


def model_with(strength):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    model.compile(Proximal(keras.optimizers.SGD(0.05), regularizers.L1(strength)), "mse")
    return model


def test_kernels_that_are_all_zero_are_warned_of_once():
    model = model_with(1e3)
    with pytest.warns(UserWarning, match=r"dense.*/kernel \(L1.* is zero at step 1: .* SGD") as one:
        fit(model)
    assert sum("Every weight of" in str(each.message) for each in one) == 1
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        fit(model)


def test_a_report_warns_in_the_epoch_and_not_again_at_the_end():
    model, x, told = model_with(1e3), np.ones((32, 4), "float32"), []

    def count(*_):
        told.append(sum("Every weight of" in str(each.message) for each in seen))

    counting = keras.callbacks.LambdaCallback(on_epoch_end=count)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(x, x[:, :2], epochs=2, verbose=0, callbacks=[SparsityReport(verbose=0), counting])
    count()
    assert told == [1, 1, 1]


def test_a_weight_that_is_left_is_enough():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        fit(model_with(1e-4))
