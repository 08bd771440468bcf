"""Schedules: exact ends, any step dtype, and Keras's own beside them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import schedules
from keras_reg.layers import ScheduledDropout
from keras_reg.ops.backend import compiled
from keras_reg.regularizers import L1
from keras_reg.schedules import (
    Cyclic,
    Early,
    Linear,
    Polynomial,
    Scaled,
    check_number,
    check_value,
    evaluate,
    serialize,
)

NO_NUMBERS = [np.nan, np.inf, -np.inf, "0.5", None, True, [0.5], 1j, np.ones(2)]

RAMPS = [Linear, Polynomial]


@pytest.mark.parametrize("cls", RAMPS)
@pytest.mark.parametrize(("initial", "final"), [(0.1, 0.7), (1e-3, 0.0), (-1.0, 1 / 3), (2, 2)])
@pytest.mark.parametrize("delay", [0, 7])
def test_ends_are_exact(cls, initial, final, delay):
    ramp = cls(initial, final, steps=13, delay=delay)
    assert {float(ramp(step)) for step in range(delay + 1)} == {float(np.float32(initial))}
    after = (delay + 13, delay + 14, 10**6, 2**31 - 1)
    assert {float(ramp(step)) for step in after} == {float(np.float32(final))}


def test_line_between_the_ends():
    ramp = Linear(0.5, -1.5, steps=8, delay=3)
    expected = np.interp(np.arange(15), [3, 11], [0.5, -1.5])
    np.testing.assert_allclose([float(ramp(step)) for step in range(15)], expected, atol=1e-6)


@pytest.mark.parametrize("power", [0.5, 1, 2, 3, 4.5])
def test_polynomial_is_its_definition(power):
    ramp = Polynomial(0.5, -1.5, steps=8, power=power, delay=3)
    left = 1 - np.clip((np.arange(15) - 3) / 8, 0, 1)
    seen = [float(ramp(step)) for step in range(15)]
    np.testing.assert_allclose(seen, -1.5 + 2.0 * left**power, atol=1e-6)


def test_polynomial_of_power_one_is_a_line():
    line, ramp = Linear(0.2, 0.9, steps=7), Polynomial(0.2, 0.9, steps=7, power=1)
    assert [float(line(step)) for step in range(9)] == [float(ramp(step)) for step in range(9)]


@pytest.mark.parametrize("power", [0, -1, *NO_NUMBERS])
def test_bad_power_is_refused(power):
    with pytest.raises(ValueError, match="Expected `power` to be"):
        Polynomial(0.0, 1.0, steps=10, power=power)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_any_step_dtype(dtype):
    if dtype == "int64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no int64 unless it is switched on for the whole process")
    value = Linear(0.0, 1.0, steps=4)(ops.convert_to_tensor(3, dtype))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert tuple(value.shape) == ()
    assert float(value) == 0.75


def test_a_variable_is_a_step():
    step = keras.Variable(1, dtype="int32", trainable=False)
    assert float(Linear(0.0, 1.0, steps=4)(step)) == 0.25


def test_one_compilation_serves_every_step():
    ramp = compiled(Linear(0.0, 1.0, steps=4))
    assert [float(ramp(ops.convert_to_tensor(step))) for step in (0, 1, 4, 9)] == [0, 0.25, 1, 1]


@pytest.mark.parametrize("cls", RAMPS)
@pytest.mark.parametrize("name", ["initial", "final", "steps", "delay"])
def test_what_is_no_number_is_refused(cls, name):
    for bad in NO_NUMBERS:
        arguments = {"initial": 0.0, "final": 1.0, "steps": 10, "delay": 0, name: bad}
        with pytest.raises(ValueError, match=f"Expected `{name}` to be a finite number"):
            cls(**arguments)


@pytest.mark.parametrize(("name", "bad"), [("steps", 0), ("steps", -3), ("delay", -1)])
def test_counts_out_of_range_are_refused(name, bad):
    with pytest.raises(ValueError, match=rf"`{name}` to be a finite number and at least"):
        Linear(**{"initial": 0.0, "final": 1.0, "steps": 10, name: bad})


@pytest.mark.parametrize("name", ["steps", "delay"])
def test_broken_counts_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` to be a whole number"):
        Linear(**{"initial": 0.0, "final": 1.0, "steps": 10, name: 2.5})


def test_config_round_trip_is_equal():
    ramp = Linear(0.1, np.float32(0.25), steps=np.int64(10), delay=3.0)
    config = keras.saving.serialize_keras_object(ramp)
    assert config["registered_name"] == "keras_reg>Linear"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is Linear
    assert again.get_config() == {"initial": 0.1, "final": 0.25, "steps": 10, "delay": 3}
    assert {type(value) for value in again.get_config().values()} == {float, int}


def test_polynomial_config_round_trip_is_equal():
    ramp = Polynomial(0.1, 0.9, steps=10, power=2.5, delay=3)
    config = keras.saving.serialize_keras_object(ramp)
    assert config["registered_name"] == "keras_reg>Polynomial"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is Polynomial
    wanted = {"initial": 0.1, "final": 0.9, "steps": 10, "power": 2.5, "delay": 3}
    assert again.get_config() == wanted


def test_learning_rate_of_an_optimizer_in_a_fit():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[0.0]])
    # The gradient of -output is -1: each step adds its learning rate.
    model.compile(
        keras.optimizers.SGD(Linear(1.0, 0.0, steps=4)), loss=lambda true, output: -output
    )
    model.fit(np.ones((6, 1)), np.ones((6, 1)), batch_size=1, verbose=0)
    weight = ops.convert_to_numpy(model.layers[0].kernel).item()
    assert weight == 1.0 + 0.75 + 0.5 + 0.25


def test_keras_schedules_are_accepted():
    theirs = keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=2, decay_rate=0.25)
    assert check_value(theirs, "rate") is theirs
    assert float(evaluate(theirs, ops.convert_to_tensor(2))) == 0.125
    again = check_value(serialize(theirs), "rate")
    assert type(again) is type(theirs)
    assert again.get_config() == theirs.get_config()


def test_numbers_are_evaluated_and_serialized_as_they_are():
    assert serialize(0.1) == 0.1
    value = evaluate(0.1, 3)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert float(value) == float(np.float32(0.1))


@pytest.mark.parametrize("check", [check_number, check_value])
def test_bad_values_are_refused_by_name_and_range(check):
    wanted = "Expected `rate` to be a finite number and at least 0 and at most 1. Received: rate="
    for bad in (-0.1, 1.1, *NO_NUMBERS):
        with pytest.raises(ValueError, match=wanted):
            check(bad, "rate", at_least=0, at_most=1)


def test_refusal_mentions_schedules_where_one_is_accepted():
    with pytest.raises(ValueError, match=r"A schedule \(`keras_reg.schedules`\) is accepted too"):
        check_value("fast", "rate")


@pytest.mark.parametrize("number", [1, 0.5, np.float32(0.5), np.int64(3), np.array(2.0)])
def test_numbers_come_back_plain(number):
    plain = check_number(number, "rate")
    assert type(plain) in (int, float)
    assert plain == number


@pytest.mark.parametrize(
    "schedule",
    [
        Linear(0.1, -0.1, steps=4),
        Cyclic(-0.1, 0.1, steps=4),
        Early(-0.1, steps=4),
        Scaled(Linear(0.0, 0.1, steps=4), -1.0),
    ],
)
def test_strength_that_is_known_to_fall_below_zero_is_refused(schedule):
    with pytest.raises(ValueError, match=r"`strength` to stay at least 0.*which goes to -0.1"):
        L1(schedule)


@pytest.mark.parametrize("value", [-1.0, -np.inf, np.nan])
def test_strength_of_a_function_is_clipped_to_zero(value):
    penalty = L1(lambda step: ops.where(step < 2, value, 0.5))
    w = ops.convert_to_tensor(np.array([1.0, -0.25, np.nan], "float32"))
    # In the compiled step, as `Proximal` has it.
    prox = compiled(penalty.prox)
    one = ops.convert_to_tensor(1.0)
    before, after = (prox(w, one, ops.convert_to_tensor(step)) for step in (1, 2))
    np.testing.assert_array_equal(ops.convert_to_numpy(before), ops.convert_to_numpy(w))
    np.testing.assert_array_equal(ops.convert_to_numpy(after), [0.5, 0.0, np.nan])


@pytest.mark.parametrize(("value", "expected"), [(-0.5, 0), (np.nan, 0), (1.5, 1), (0.25, 0.25)])
def test_rate_of_a_function_is_clipped(value, expected):
    layer = ScheduledDropout(lambda step: ops.ones(()) * value, seed=1)
    assert layer.current_rate() == expected
    dropped = ops.convert_to_numpy(layer(ops.ones((1000,)), training=True)) == 0
    assert abs(np.mean(dropped) - expected) < 0.05


def test_checks_are_not_public():
    assert not [name for name in schedules.__all__ if name.startswith("check")]
