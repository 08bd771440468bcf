"""The schedules beyond the line: their definitions, their ends, and functions in their place."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import layers, regularizers, schedules
from keras_reg.ops.backend import compiled

STEPS = np.arange(0, 40)
KINDS = {
    "Linear": lambda **kw: schedules.Linear(0.1, 0.7, steps=20, **kw),
    "Polynomial": lambda **kw: schedules.Polynomial(0.1, 0.7, steps=20, **kw),
    "Cosine": lambda **kw: schedules.Cosine(0.1, 0.7, steps=20, **kw),
    "Exponential": lambda **kw: schedules.Exponential(0.1, 0.7, steps=20, **kw),
    "Curriculum": lambda **kw: schedules.Curriculum(0.7, steps=20, **kw),
    "Early": lambda **kw: schedules.Early(0.7, steps=20, **kw),
    "Early constant": lambda **kw: schedules.Early(0.7, steps=20, constant=True, **kw),
    "Late": lambda **kw: schedules.Late(0.7, steps=20, **kw),
    "Cyclic": lambda **kw: schedules.Cyclic(0.1, 0.7, steps=16, **kw),
}
# From the papers, in float64.
DONE = np.clip(STEPS / 20, 0, 1)
EXPECTED = {
    "Linear": 0.1 + 0.6 * DONE,
    "Polynomial": 0.7 - 0.6 * (1 - DONE) ** 3,
    "Cosine": 0.4 - 0.3 * np.cos(np.pi * DONE),
    "Exponential": 0.1 * 7**DONE,
    # Morerio: the share kept is (1 - t) exp(-gamma step) + t for a share t in the end.
    "Curriculum": 1 - ((1 - 0.3) * np.exp(-10 * STEPS / 20) + 0.3),
    "Early": np.interp(STEPS, [0, 20], [0.7, 0]),
    "Early constant": np.where(STEPS < 20, 0.7, 0.0),
    "Late": np.where(STEPS < 20, 0.0, 0.7),
    "Cyclic": 0.4 - 0.3 * np.cos(2 * np.pi * STEPS / 16),
}
each = pytest.mark.parametrize("kind", KINDS)


def values(schedule, steps=STEPS):
    return [float(ops.convert_to_numpy(schedules.evaluate(schedule, int(step)))) for step in steps]


@each
def test_a_schedule_is_its_definition(kind):
    np.testing.assert_allclose(values(KINDS[kind]()), EXPECTED[kind], atol=1e-6)


@each
def test_a_delay_moves_it_to_the_right(kind):
    plain, delayed = values(KINDS[kind]()), values(KINDS[kind](delay=5))
    assert delayed[:6] == [plain[0]] * 6
    assert delayed[5:] == plain[:-5]


@each
def test_far_steps_and_compiled_ones(kind):
    schedule = KINDS[kind]()
    fast = compiled(schedule)
    for step in (0, 7, 20, 33, 2**31 - 1):
        value = fast(ops.convert_to_tensor(step, "int32"))
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert tuple(value.shape) == ()
        np.testing.assert_allclose(float(value), values(schedule, [step])[0], atol=1e-5)
        assert 0.0 <= float(value) <= 0.700001


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("Cyclic", "Curriculum")])
def test_ends_are_exact(kind):
    ends = values(KINDS[kind](delay=3), (0, 3, 23, 24, 10**6))
    assert len(set(ends[:2])) == len(set(ends[2:])) == 1
    assert {ends[0], ends[-1]} <= {0.0, *(float(np.float32(value)) for value in (0.1, 0.7))}


@each
def test_config_round_trip_is_equal(kind):
    schedule = KINDS[kind](delay=4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: schedules.Exponential(0.0, 1.0, 5), "initial"),
        (lambda: schedules.Exponential(1.0, -1.0, 5), "final"),
        (lambda: schedules.Curriculum(0.5, 5, gamma=0), "gamma"),
        (lambda: schedules.Curriculum("x", 5), "value"),
        (lambda: schedules.Early(0.5, 0), "steps"),
        (lambda: schedules.Late(0.5, 5, delay=-1), "delay"),
        (lambda: schedules.Cyclic(0.1, 0.5, 1), "steps"),
        (lambda: schedules.Scaled(0.5, 2.0), "schedule"),
        (lambda: schedules.by_depth(0.5, 4, 4), "index"),
        (lambda: schedules.by_depth(0.5, 0, 0), "depth"),
        (lambda: schedules.Function(3), "function"),
    ],
)
def test_bad_arguments_are_refused(make, name):
    with pytest.raises(ValueError, match=f"Expected `{name}`"):
        make()


def test_rates_grow_with_depth():
    numbers = [schedules.by_depth(0.5, index, 5) for index in range(5)]
    np.testing.assert_allclose(numbers, [0.1, 0.2, 0.3, 0.4, 0.5])
    ramps = [schedules.by_depth(schedules.Linear(0.0, 0.5, 10), index, 5) for index in range(5)]
    np.testing.assert_allclose([values(ramp, [5])[0] for ramp in ramps], np.array(numbers) / 2)
    again = schedules.check_value(schedules.serialize(ramps[1]), "rate")
    assert again.get_config() == ramps[1].get_config()
    assert layers.ScheduledDropPath(ramps[1]).current_rate() == 0.0


@keras.saving.register_keras_serializable("tests")
def wave(step):
    return 0.5 + 0.25 * ops.sin(ops.cast(step, "float32"))


def test_a_function_is_a_schedule_of_a_layer(tmp_path):
    layer = layers.ScheduledDropout(wave, name="dropped")
    np.testing.assert_allclose(layer.current_rate(), 0.5)
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((6, 4)), np.ones((6, 1)), batch_size=3, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert again.rate.function is wave
    np.testing.assert_allclose(again.current_rate(), 0.5 + 0.25 * np.sin(2), rtol=1e-5)


def test_a_function_is_a_schedule_of_a_penalty():
    penalty = regularizers.L1(lambda step: 0.5 * ops.cast(step, "float32"))
    moved = penalty.prox(np.ones(2, "float32"), 0.1, iteration=4)
    np.testing.assert_allclose(ops.convert_to_numpy(moved), 1 - 0.1 * 0.5 * 4, rtol=1e-6)
    with pytest.raises(ValueError, match="Expected a float `strength`"):
        penalty(np.ones(2, "float32"))


def test_a_picture_of_schedules(tmp_path):
    shown = [make() for make in KINDS.values()] + [
        0.3,
        wave,
        schedules.by_depth(KINDS["Late"](), 0, 2),
    ]
    figure = schedules.plot(*shown)
    lines = figure.axes[0].get_lines()
    assert len(lines) == len(shown)
    x, y = lines[0].get_data()
    assert (x[0], x[-1]) == (0, 25)
    np.testing.assert_allclose(y, np.interp(x, [0, 20], [0.1, 0.7]), atol=1e-6)
    figure.savefig(tmp_path / "schedules.png")
    assert schedules.plot(0.3, steps=7).axes[0].get_xlim() == (0, 7)
    with pytest.raises(ValueError, match="at least one schedule, and a label for each"):
        schedules.plot()
    with pytest.raises(ValueError, match="at least one schedule, and a label for each"):
        schedules.plot(0.3, labels=["a", "b"])
