"""Every proximal operator and value in every float dtype, from tiny weights to huge ones."""

import functools

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import keras
import numpy as np
import oracles
import pytest
from catalogue import CASES, OF_MATRICES, PROX_CASES
from hypothesis import given, settings
from keras import ops

# The largest powers of two drawn, such that sums of their squares stay finite in float32.
REACH = {"float16": 14, "bfloat16": 40, "float32": 40, "float64": 40}
if keras.backend.backend() == "jax":
    REACH.pop("float64")  # JAX has it off unless the user turns it on.
SHAPES = [(4, 1), (3, 4), (2, 2, 3, 2)]

few = settings(max_examples=6)  # Each draws a whole array of sizes; eager JAX is slow.
exact = [c for c in PROX_CASES if c.values[0] not in OF_MATRICES]
every_value = pytest.mark.parametrize(("cls", "kwargs"), CASES)
every_prox = pytest.mark.parametrize(("cls", "kwargs"), exact)


@functools.cache
def penalty_like(cls, strength, *kwargs):
    """One instance for each case, so that each is compiled once."""
    return cls(strength, **dict(kwargs))


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float64" if "float64" in REACH else "float32"))


@st.composite
def weights(draw):
    """A dtype, and weights that it holds exactly: zeros, ties, tiny and huge ones among them."""
    dtype = draw(st.sampled_from(sorted(REACH)))
    shape = draw(st.sampled_from(SHAPES))
    signs = draw(hnp.arrays("int32", shape, elements=st.integers(-3, 3)))
    powers = draw(hnp.arrays("int32", shape, elements=st.integers(-REACH[dtype], REACH[dtype])))
    together = draw(st.booleans())
    scale = np.float32(2.0) ** (powers.flat[0] if together else powers)
    return dtype, (signs * scale).astype("float32")


strengths = st.sampled_from([0.0, 2.0**-20, 0.25, 3.0, 2.0**20])


@every_prox
@few
@given(drawn=weights(), strength=strengths, step=st.sampled_from([2.0**-10, 1.0, 64.0]))
def test_prox_in_any_dtype_is_that_of_float32_rounded(cls, kwargs, drawn, strength, step):
    dtype, w = drawn
    penalty = penalty_like(cls, strength, *kwargs.items())
    shrunk = penalty.prox(ops.convert_to_tensor(w, dtype), step)
    assert keras.backend.standardize_dtype(shrunk.dtype) == dtype
    wide = penalty.prox(ops.convert_to_tensor(w, "float32"), step)
    assert np.all(np.isfinite(numpy(wide)))
    if dtype == "float64":
        largest = np.max(np.abs(w))
        np.testing.assert_allclose(numpy(shrunk), numpy(wide), rtol=1e-3, atol=1e-5 * largest)
    else:
        np.testing.assert_array_equal(numpy(shrunk), numpy(ops.cast(wide, dtype)))


@every_prox
@few
@given(drawn=weights(), strength=strengths)
def test_prox_never_turns_a_weight_round_or_makes_zero_anything(cls, kwargs, drawn, strength):
    if cls.__name__ in ("TotalVariation", "L2SP", "SLOPE"):
        pytest.skip("draws weights towards each other, or to a reference")
    dtype, w = drawn
    shrunk = numpy(
        penalty_like(cls, strength, *kwargs.items()).prox(ops.convert_to_tensor(w, dtype), 1.0)
    )
    assert np.all(shrunk * np.sign(w) >= 0)
    assert np.all(np.abs(shrunk) <= np.abs(w))


@every_value
@few
@given(drawn=weights())
def test_value_in_any_dtype_is_that_of_float32(cls, kwargs, drawn):
    dtype, w = drawn
    penalty = penalty_like(cls, 0.5, *kwargs.items())
    value = penalty.value(ops.convert_to_tensor(w, dtype))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    expected = penalty.value(ops.convert_to_tensor(w, "float32"))
    np.testing.assert_allclose(numpy(value), numpy(expected), rtol=1e-6)


# A move of some weights that the proximal operator made equal has no derivative.
EQUALIZING = {"GroupLInf", "SLOPE", "SpectralNorm", "TotalVariation"}


@pytest.mark.skipif("float64" not in REACH, reason="JAX has no float64 by default")
@pytest.mark.parametrize(("cls", "kwargs"), PROX_CASES)
def test_prox_solves_its_problem_in_float64(cls, kwargs):
    """The objective, of values in NumPy, is level at its minimum, along all that is not zero."""
    draw = np.random.default_rng(1)
    w, step, penalty = draw.standard_normal((2, 2, 3, 2)), 0.3, cls(0.1, **kwargs)
    u = ops.convert_to_numpy(penalty.prox(ops.convert_to_tensor(w, "float64"), step))
    assert u.dtype == "float64"
    assert np.any(u)

    def slope(direction, h=1e-5):
        values = [
            0.5 * np.sum((x - w) ** 2) + step * oracles.value(penalty, x)
            for x in (u + h * direction, u - h * direction)
        ]
        return (values[0] - values[1]) / (2 * h)

    random = 0 if cls.__name__ in EQUALIZING else draw.standard_normal(w.shape) * (u != 0)
    assert abs(slope(u)) < 1e-8
    assert abs(slope(random)) < 1e-8
