"""Every penalty, found by walking the subclasses, against its definition."""

import functools
import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import keras
import numpy as np
import oracles
import pytest
from catalogue import CASES, NONCONVEX, OF_MATRICES, PROX_CASES, STEEP
from gradients import value_and_gradient
from hypothesis import given, settings
from keras import ops

from keras_reg import regularizers, schedules
from keras_reg.ops.backend import compiled

# No strength makes these stop at zero.
NEVER_ZERO = {
    regularizers.L2,
    regularizers.L2SP,
    regularizers.ExclusiveLasso,
    regularizers.TotalVariation,
}
SHAPES = [(5, 1), (3, 4), (1, 1), (2, 2, 3, 2)]
# Each takes a compilation.
COMPILED = [(5, 1), (2, 2, 3, 2)]


every_penalty = pytest.mark.parametrize(("cls", "kwargs"), CASES)
every_proximable = pytest.mark.parametrize(("cls", "kwargs"), PROX_CASES)
every_radial = pytest.mark.parametrize(
    ("cls", "kwargs"), [c for c in CASES if issubclass(c.values[0], regularizers.RadialPenalty)]
)
# Those of matrices have a test of extreme weights of their own.
not_of_matrices = pytest.mark.parametrize(
    ("cls", "kwargs"), [c for c in PROX_CASES if c.values[0] not in OF_MATRICES]
)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@functools.cache
def penalty_like(cls, strength, *kwargs):
    """One instance for each case, so that each is compiled once."""
    return cls(strength, **dict(kwargs))


@functools.cache
def compiled_prox(penalty):
    return compiled(penalty.prox)


def weights(elements=None, shapes=SHAPES):
    plain = st.floats(-4, 4, width=32, allow_subnormal=False).map(
        lambda x: 0.0 if abs(x) < 1e-3 else x
    )
    if elements is None:
        elements = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), plain)
    return st.sampled_from(shapes).flatmap(
        lambda shape: hnp.arrays("float32", shape, elements=elements)
    )


strengths = st.sampled_from([0.0, 1e-3, 0.25, 1.5])
steps = st.sampled_from([1e-3, 0.5, 2.0])
# For tests whose every example differentiates, or makes penalties, anew.
fewer = settings(max_examples=settings().max_examples // 2)


@every_penalty
@given(w=weights())
def test_value_is_its_definition(cls, kwargs, w):
    penalty = penalty_like(cls, 0.3, *kwargs.items())
    value = penalty.value(w)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert tuple(value.shape) == ()
    np.testing.assert_allclose(numpy(value), oracles.value(penalty, w), rtol=1e-5, atol=1e-7)


@every_penalty
def test_value_is_zero_at_strength_zero(cls, kwargs):
    assert float(cls(0.0, **kwargs).value(np.array([[1.0, -2.0], [0.5, 0.0]], "float32"))) == 0.0


@every_proximable
@given(w=weights(), strength=strengths, step=steps, seed=st.integers(0, 99))
def test_prox_beats_every_candidate(cls, kwargs, w, strength, step, seed):
    penalty = penalty_like(cls, strength, *kwargs.items())
    best = numpy(penalty.prox(w, step))

    def objective(u):
        return 0.5 * np.sum((u - w.astype("float64")) ** 2) + step * oracles.value(penalty, u)

    random = np.random.default_rng(seed)
    scaled = [w * factor for factor in np.linspace(-0.5, 1.5, 21)]
    near = [
        best + scale * random.standard_normal(w.shape) * mask
        for scale in (1e-3, 0.1, 1.0)
        for mask in (1, best != 0, random.random(w.shape) < 0.3)
    ]
    for candidate in [*scaled, *near]:
        assert objective(best) <= objective(candidate) + 1e-5


@every_proximable
def test_prox_of_one_weight_is_the_lowest_point_of_a_grid(cls, kwargs):
    penalty, step = cls(0.5, **kwargs), 0.7
    grid = np.linspace(-4, 4, 8001)
    values = np.array([oracles.value(penalty, [[u]]) for u in grid])
    for w in (-1.7, -0.3, 0.0, 0.004, 0.6, 3.0):
        lowest = grid[np.argmin(0.5 * (grid - w) ** 2 + step * values)]
        assert abs(numpy(penalty.prox([[w]], step)).item() - lowest) < 1e-3, w


@every_proximable
@given(w=weights(st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)))
def test_prox_with_step_zero_is_the_weight_itself(cls, kwargs, w):
    np.testing.assert_array_equal(
        numpy(penalty_like(cls, 0.3, *kwargs.items()).prox(w, step=0.0)), w
    )


@every_penalty
@fewer
@given(w=weights(), seed=st.integers(0, 99))
def test_gradient_is_finite_and_matches_differences(cls, kwargs, w, seed):
    penalty = penalty_like(cls, 0.3, *kwargs.items())
    if not cls.differentiable:
        pytest.skip("of no use in a loss")
    _, gradient = value_and_gradient(penalty, w)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(value_and_gradient(penalty, 0 * w)[1], 0 * w)
    random = np.random.default_rng(seed)
    away = w + np.sign(random.standard_normal(w.shape)) * (np.abs(w) < 0.05)
    # Apart from each other too: equal weights are a kink of those that sort or compare them, and
    # matrix norms have kinks where singular values repeat or are zero, as those of (1, 1; 1, 1).
    away = away * (1.0 + 0.3 * random.random(w.shape))
    direction = random.standard_normal(w.shape)
    h = 1e-8
    ahead, behind = (oracles.value(penalty, away + sign * h * direction) for sign in (1, -1))
    _, gradient = value_and_gradient(penalty, away.astype("float32"))
    expected = (ahead - behind) / (2 * h)
    np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=2e-3, atol=2e-3)


@every_proximable
@fewer
@given(w=weights(), seed=st.integers(0, 99))
def test_max_strength_zeroes_and_a_little_less_does_not(cls, kwargs, w, seed):
    gradient = w + 0.1 * np.random.default_rng(seed).standard_normal(w.shape).astype("float32")
    highest = cls(**kwargs).max_strength(gradient)
    if math.isinf(highest):
        assert cls in NEVER_ZERO or kwargs.get("l1_ratio") == 0
        return
    if cls.__name__ in STEEP:
        assert highest == 0.0
        return
    at_zero = cls(highest * 1.001, **kwargs).stationarity(0 * gradient, gradient)
    np.testing.assert_array_equal(numpy(at_zero), 0 * numpy(at_zero))
    at_zero = cls(highest * 0.99, **kwargs).stationarity(0 * gradient, gradient)
    assert np.any(numpy(at_zero) > 0)
    if cls.__name__ in NONCONVEX:
        return
    # Zero is stationary if a gradient step from it comes back to it.
    assert np.all(numpy(cls(highest * 1.001, **kwargs).prox(-gradient, 1.0)) == 0)
    assert np.any(numpy(cls(highest * 0.99, **kwargs).prox(-gradient, 1.0)) != 0)


@every_proximable
def test_max_strength_of_no_gradient_is_zero(cls, kwargs):
    assert cls(**kwargs).max_strength(np.zeros((3, 2), "float32")) == 0.0


@every_proximable
@given(w=weights(), step=st.sampled_from([0.25, 1.0]))
def test_stationarity_is_zero_where_the_prox_lands(cls, kwargs, w, step):
    # u = prox(w) is optimal for 0.5 * ||u - w||**2 / step + penalty(u), by definition.
    penalty = penalty_like(cls, 0.4, *kwargs.items())
    u = numpy(penalty.prox(w, step))
    residual = numpy(penalty.stationarity(u, (u - w) / step))
    np.testing.assert_allclose(residual, np.zeros_like(residual), atol=3e-5)
    assert residual.shape == numpy(penalty.stationarity(u, u)).shape
    away = numpy(penalty.stationarity(u, (u - w) / step + 3.0))
    if cls.__name__ in STEEP:
        norms = [np.linalg.norm(group) for group in oracles.groups(u, penalty.group_axis)]
        away = away.ravel()[np.array(norms) > 0]
    assert np.all(away > 0.1)


@every_penalty
def test_config_round_trip_is_equal(cls, kwargs):
    penalty = cls(0.1, **kwargs)
    config = keras.saving.serialize_keras_object(penalty)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is cls
    assert again.get_config() == penalty.get_config()
    assert again.get_config()["strength"] == 0.1
    assert config["registered_name"] == f"keras_reg>{cls.__name__}"


@every_proximable
def test_scheduled_strength_round_trips_and_is_evaluated_in_prox(cls, kwargs):
    penalty = cls(schedules.Linear(0.0, 1.0, steps=4), **kwargs)
    again = cls.from_config(penalty.get_config())
    assert again.strength.get_config() == penalty.strength.get_config()
    w = np.array([[1.0, -2.0], [3.0, 0.5]], "float32")
    half = numpy(again.prox(w, 0.1, iteration=2))
    np.testing.assert_allclose(half, numpy(cls(0.5, **kwargs).prox(w, 0.1)), rtol=1e-6)


@every_proximable
@given(w=weights(shapes=COMPILED), step=steps)
def test_compiled_equals_eager(cls, kwargs, w, step):
    penalty = penalty_like(cls, 0.3, *kwargs.items())
    fast = compiled_prox(penalty)(*map(ops.convert_to_tensor, (w, np.float32(step))))
    # The singular value decomposition of TensorFlow's XLA is less exact than the others.
    atol = 2e-5 if cls in OF_MATRICES else 1e-6
    np.testing.assert_allclose(numpy(fast), numpy(penalty.prox(w, step)), rtol=1e-5, atol=atol)


@every_proximable
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtype_is_kept(cls, kwargs, dtype):
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is switched on for the whole process")
    plain = np.array([[1.0, -2.0], [0.5, 0.0]], "float32")
    w = ops.cast(plain, dtype)
    penalty = penalty_like(cls, 0.3, *kwargs.items())
    np.testing.assert_allclose(numpy(penalty.value(w)), oracles.value(penalty, plain), rtol=1e-3)
    shrunk = penalty.prox(w, step=0.5)
    assert shrunk.dtype == w.dtype
    exact = numpy(penalty.prox(plain, step=0.5))
    np.testing.assert_allclose(numpy(ops.cast(shrunk, "float32")), exact, rtol=1e-2)


@every_radial
def test_groups_of_one_equal_single_weights(cls, kwargs):
    grouping = ("group_axis", "size_scaling")
    other = {key: value for key, value in kwargs.items() if key not in grouping}
    row = np.array([[0.5, -2.0, 0.0]], "float32")
    grouped, single = cls(0.3, group_axis=-1, **other), cls(0.3, group_axis=None, **other)
    np.testing.assert_array_equal(numpy(grouped.prox(row, 0.5)), numpy(single.prox(row, 0.5)))
    assert float(grouped.value(row)) == float(single.value(row))


@every_proximable
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_weights_stay_visible(cls, kwargs, bad):
    w = np.array([[1.0, bad], [2.0, 3.0]], "float32")
    assert not np.isfinite(numpy(cls(0.1, **kwargs).prox(w, 0.1))[0, 1])


@not_of_matrices
def test_tiny_and_huge_weights(cls, kwargs):
    w = np.array([[1e-25, 1e15], [-1e-25, 1e15]], "float32")
    shrunk = numpy(cls(0.1, **kwargs).prox(w, 0.1))
    assert np.all(np.isfinite(shrunk))
    if cls is not regularizers.TotalVariation:  # It moves weights towards their neighbours.
        assert np.all(np.abs(shrunk) <= np.abs(w))
