"""Wrong uses, each refused where it is made: what was expected, what was received."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_reg as kr
from keras_reg import channels, regularize, regularizers, sparsity
from keras_reg.layers import ScheduledDropout
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import L1, NM, GroupLasso
from keras_reg.schedules import Function

ONES = np.ones((3, 2), "float32")


def net():
    return keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2, name="out")])


def regularize_channels():
    model = net()
    regularize(model, {channels(model): GroupLasso(0.1)})


def set_on(target, name, value):
    setattr(target, name, value)


REFUSED = {
    "a text for a bool": (lambda: L1(0.1, size_scaling="no"), ValueError, "size_scaling='no'"),
    "a number for a bool": (lambda: NM(2, 4, skip_unfit=1), ValueError, "skip_unfit=1"),
    "strict as a text": (lambda: regularize(net(), L1(0.1), strict="no"), ValueError, "'no'"),
    "a model for a weight": (lambda: L1(0.1)(net()), TypeError, "Expected a weight.*Sequential"),
    "no step": (lambda: L1(0.1).prox(ONES, None), ValueError, "`step`.*Received: step=None"),
    "a weight for a step": (
        lambda: L1(0.1).prox(0.5, ops.ones((3, 2))),
        ValueError,
        r"step of shape \(3, 2\) for a weight of shape \(\)",
    ),
    "data for a model": (lambda: Proximal("sgd", L1(0.1), model=ONES), TypeError, "`model`.*array"),
    "another `every`": (
        lambda: set_on(Proximal("sgd", L1(0.1)), "every", 2),
        AttributeError,
        "every",
    ),
    "another metric": (
        lambda: set_on(Proximal("sgd", L1(0.1)), "metric", "x"),
        AttributeError,
        "metric",
    ),
    "gradients of other shapes": (
        lambda: sparsity(net(), gradients={"out/kernel": ONES}),
        ValueError,
        r"out/kernel: \(3, 2\) for \(4, 2\)",
    ),
    "a text for a step": (
        lambda: set_on(ScheduledDropout(0.5), "step", "1"),
        ValueError,
        "`step`.*Received: step='1'",
    ),
    "part of a step": (
        lambda: set_on(ScheduledDropout(0.5), "step", 1.5),
        ValueError,
        "`step`.*whole number",
    ),
    "a rate above 1": (
        lambda: set_on(ScheduledDropout(0.5), "rate", 7),
        ValueError,
        "Received: rate=7",
    ),
    "a threshold below 0": (
        lambda: kr.ops.soft_threshold(ops.ones(3), -1),
        ValueError,
        "`threshold` >= 0. Received: threshold=-1",
    ),
    "a capped threshold below 0": (
        lambda: kr.ops.capped_soft_threshold(ops.ones(3), -0.5, 1.0),
        ValueError,
        "threshold=-0.5",
    ),
    "more than there are": (
        lambda: kr.ops.largest(ops.ones(3), 5),
        ValueError,
        "`count` to be a whole number from 0 to 3. Received: count=5",
    ),
    "part of a count": (
        lambda: kr.ops.largest_of_all([ops.ones(3)], 1.5),
        ValueError,
        "count=1.5",
    ),
    "a rate of 2 of an operation": (
        lambda: kr.ops.dropout(ops.ones(3), 2.0, 1, 0),
        ValueError,
        "0 <= `rate` <= 1. Received: rate=2.0",
    ),
    "channels of nothing": (lambda: channels(None), ValueError, "keras.Model. Received: NoneType"),
    "channels in a loss": (regularize_channels, ValueError, "Give them to.*Proximal"),
    "a function that returns a text": (
        lambda: L1(lambda step: "a"),
        ValueError,
        "function `strength` to return a number.*step 0",
    ),
    "a function that returns several numbers": (
        lambda: L1(Function(lambda step: ops.ones((3,)))),
        ValueError,
        r"shape \(3,\)",
    ),
    "a function that fails": (
        lambda: ScheduledDropout(lambda step: step.no_such_thing),
        ValueError,
        "Received: rate=<function",
    ),
}


@pytest.mark.parametrize("use", REFUSED)
def test_wrong_use_is_refused(use):
    make, error, match = REFUSED[use]
    with pytest.raises(error, match=match):
        make()


def test_a_rate_can_be_changed():
    layer = ScheduledDropout(0.5)
    layer.rate = 0.25
    assert layer.current_rate() == 0.25
    assert layer.get_config()["rate"] == 0.25


def test_one_step_for_each_weight_is_no_wrong_use():
    w = regularizers.L1(1.0).prox(ONES, ops.convert_to_tensor([0.5, 1.0]))
    np.testing.assert_array_equal(ops.convert_to_numpy(w), [[0.5, 0.0]] * 3)
