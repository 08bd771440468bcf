"""TopK and NM: the nearest weights with zeros in a pattern, by brute force; exact counts."""

import itertools

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from catalogue import PROJECTIONS
from keras import ops
from small_model import first_update

from keras_reg import regularizers, schedules
from keras_reg.ops import largest, largest_along, largest_of_all
from keras_reg.ops.backend import compiled
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import NM, TopK

BACKEND = keras.backend.backend()
SHAPES = [(1,), (7,), (4, 5), (3, 1), (2, 3, 4), (3, 3, 2, 4)]
SPARSITIES = [0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9, 0.99, 1]
EXAMPLES = [TopK(0.5), TopK(0.5, group_axis=-1), TopK(0.25, group_axis=(0, 1)), NM(2, 4), NM(1, 2)]

every_example = pytest.mark.parametrize("penalty", EXAMPLES, ids=repr)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def levels(shape, seed=0):
    """Weights of four sizes only, so that most are tied, none of them zero."""
    random = np.random.default_rng(seed)
    return (random.integers(1, 5, shape) * random.choice([-1, 1], shape)).astype("float32")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("draw", [normal, levels, lambda shape: np.ones(shape, "float32")])
def test_count_of_zeros_is_exact(shape, sparsity, draw):
    w = draw(shape)
    pruned = numpy(TopK(sparsity).prox(w, 0.1))
    assert np.sum(pruned == 0) == round(sparsity * w.size)
    assert np.all((pruned == 0) | (pruned == w))
    assert np.max(np.abs(w[pruned == 0]), initial=0) <= np.min(np.abs(w[pruned != 0]), initial=9)


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_count_from_a_schedule_is_that_of_the_number(sparsity):
    w = levels((8, 9))
    ramp = schedules.Linear(0.0, sparsity, steps=10)
    for iteration in (10, np.int32(25), ops.convert_to_tensor(11, "int32")):
        scheduled = TopK(ramp).prox(w, 0.1, iteration)
        np.testing.assert_array_equal(numpy(scheduled), numpy(TopK(sparsity).prox(w, 0.1)))


@pytest.mark.parametrize(("value", "zeros"), [(-0.5, 0), (1.5, 12)])
def test_schedule_that_leaves_the_range_is_clipped(value, zeros):
    pruned = TopK(schedules.Linear(value, value, steps=1)).prox(normal((3, 4)), 0.1, iteration=0)
    assert np.sum(numpy(pruned) == 0) == zeros


def test_count_is_exact_in_a_large_weight():
    w = np.round(normal((1000, 1000)), 1) + np.float32(0.05)
    assert np.sum(numpy(TopK(0.123457).prox(w, 0.1)) == 0) == 123457


@pytest.mark.parametrize(("group_axis", "groups"), [(-1, 6), (-2, 4), ((0, 1), 12), (0, 3)])
@pytest.mark.parametrize("sparsity", [0.25, 0.5, 5 / 6])
def test_groups_are_kept_or_dropped_whole(group_axis, groups, sparsity):
    w = levels((3, 4, 6))
    pruned = numpy(TopK(sparsity, group_axis).prox(w, 0.1))
    named = {axis % 3 for axis in (group_axis if isinstance(group_axis, tuple) else (group_axis,))}
    reduced = tuple(axis for axis in range(3) if axis not in named)
    dropped = np.all(pruned == 0, axis=reduced, keepdims=True)
    assert dropped.size == groups
    assert dropped.sum() == round(sparsity * groups)
    np.testing.assert_array_equal(pruned, np.where(dropped, 0, w))
    norms = np.sum(w.astype("float64") ** 2, axis=reduced, keepdims=True)
    assert norms[dropped].max(initial=0) <= norms[~dropped].min()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("draw", [normal, levels])
def test_top_k_keeps_the_subset_of_largest_norm(seed, draw):
    w = draw((2, 4), seed)
    squares = (w.astype("float64") ** 2).ravel()
    for zeros in range(9):
        best = max(sum(squares[list(kept)]) for kept in itertools.combinations(range(8), 8 - zeros))
        assert np.sum(numpy(TopK(zeros / 8).prox(w, 1.0)).astype("float64") ** 2) == (
            pytest.approx(best, rel=1e-12)
        )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("axis", [-1, -2, 0])
@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (3, 4), (1, 6)])
@pytest.mark.parametrize("draw", [normal, levels])
def test_nm_keeps_the_subset_of_largest_norm_in_every_block(seed, axis, n, m, draw):
    w = draw((12, 12, 12), seed)
    pruned = numpy(NM(n, m, axis).prox(w, 1.0))
    np.testing.assert_array_equal(pruned, np.where(pruned != 0, w, 0))
    before, after = (np.moveaxis(x, axis, -1).reshape(-1, m) for x in (w, pruned))
    assert np.all(np.sum(after != 0, axis=-1) == n)
    squares = before.astype("float64") ** 2
    subsets = itertools.combinations(range(m), n)
    best = np.max([squares[:, list(kept)].sum(-1) for kept in subsets], axis=0)
    np.testing.assert_allclose(np.sum(after.astype("float64") ** 2, -1), best, rtol=1e-12)


def test_of_equal_weights_the_first_are_kept():
    w = np.array([[1, -1, 2, 1]], "float32")
    np.testing.assert_array_equal(numpy(TopK(0.5).prox(w, 1.0)), [[1, 0, 2, 0]])
    np.testing.assert_array_equal(numpy(NM(3, 4, -1).prox(w, 1.0)), [[1, -1, 2, 0]])


def test_ranks_agree_with_a_stable_sort():
    w = levels((50,))
    for count in range(51):
        expected = np.zeros(50, bool)
        expected[np.argsort(-w, kind="stable")[:count]] = True
        np.testing.assert_array_equal(numpy(largest(ops.convert_to_tensor(w), count)), expected)


# Each list of shapes is compiled.
SEVERAL = [[(4,)], [(65, 2), (2, 3)], [(2, 3), (130, 1), (4,)]]


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    st.sampled_from(SEVERAL),
    st.sampled_from([[-2.0, 0.0, -0.0, 1.0], [0.5, 1e-30, np.inf], list(np.linspace(-1, 1, 999))]),
    st.floats(0, 1),
    st.integers(0, 9),
)
def test_ranks_of_several_tensors_agree_with_a_stable_sort(shapes, values, part, seed):
    random = np.random.default_rng(seed)
    tensors = [random.choice(values, shape).astype("float32") for shape in shapes]
    joined = np.concatenate([x.ravel() for x in tensors])
    count = round(part * joined.size)
    expected = np.zeros(joined.size, bool)
    expected[np.argsort(-joined, kind="stable")[:count]] = True
    marks = largest_of_all([ops.convert_to_tensor(x) for x in tensors], count)
    assert [mark.shape for mark in map(numpy, marks)] == shapes
    np.testing.assert_array_equal(np.concatenate([numpy(x).ravel() for x in marks]), expected)


def pruned_and_updated(size):
    """A tenth of the numbers is far above all others."""
    far = np.random.default_rng(1).permutation(size) < size // 10
    return np.abs(normal(size)) * 1e-3 + far


def with_infinities(size):
    numbers = normal(size)
    numbers[::3], numbers[1::3] = np.inf, -np.inf
    return numbers


@pytest.mark.parametrize(
    "draw",
    [normal, levels, lambda size: normal(size) ** 21, pruned_and_updated, with_infinities],
    ids=["normal", "levels", "many sizes", "gap", "infinities"],
)
def test_ranks_of_many_numbers_agree_with_a_stable_sort(draw):
    # So many that a sample shows where to begin.
    shapes = [(300, 150), (250, 200)]
    numbers = draw(95_000).astype("float32")
    tensors = [
        part.reshape(shape) for part, shape in zip(np.split(numbers, [45_000]), shapes, strict=True)
    ]
    order = np.argsort(-numbers, kind="stable")
    for count in (0, 1, 9_400, 9_500, 50_000, 94_999):
        marks = largest_of_all([ops.convert_to_tensor(x) for x in tensors], count)
        expected = np.isin(np.arange(95_000), order[:count])
        np.testing.assert_array_equal(np.concatenate([numpy(x).ravel() for x in marks]), expected)


@pytest.mark.parametrize("length", [2, 3, 16, 17, 150])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("draw", [normal, levels])
def test_largest_along_agrees_with_a_stable_sort(length, axis, draw):
    x = np.moveaxis(np.abs(draw((3, 2, length))), -1, axis)
    place = np.argsort(np.argsort(-x, axis=axis, kind="stable"), axis=axis, kind="stable")
    for count in (1, length // 2, length - 1):
        marked = numpy(largest_along(ops.convert_to_tensor(x), count, axis))
        np.testing.assert_array_equal(marked, place < count)


@pytest.mark.parametrize(
    "rank", [largest, lambda x, count: largest_along(x, count, 1)], ids=["all", "axis"]
)
def test_nan_ranks_as_the_largest(rank):
    x = ops.convert_to_tensor(np.array([[3, np.nan, 1, 2]], "float32"))
    for count, expected in [(1, [0, 1, 0, 0]), (2, [1, 1, 0, 0]), (3, [1, 1, 0, 1])]:
        np.testing.assert_array_equal(numpy(rank(x, count)), np.array([expected], bool))


def test_one_compilation_serves_every_sparsity():
    traces = []
    penalty = TopK(schedules.Polynomial(0.0, 1.0, steps=4, power=1))

    def prune(w, iteration):
        traces.append(iteration)
        return penalty.prox(w, 0.1, iteration)

    fast, w = compiled(prune), ops.convert_to_tensor(normal((4, 5)))
    zeros = [np.sum(numpy(fast(w, ops.convert_to_tensor(step, "int32"))) == 0) for step in range(6)]
    assert zeros == [0, 5, 10, 15, 20, 20]
    assert len(traces) == (6 if BACKEND == "torch" else 1)


@every_example
def test_step_zero_is_the_weight_itself(penalty):
    w = np.array([[np.nan, -0.0, 1e-42, np.inf], [1, 2, 3, 4]] * 2, "float32")
    for step in (0, 0.0, ops.zeros(())):
        same = numpy(penalty.prox(ops.convert_to_tensor(w), step))
        assert same.tobytes() == w.tobytes()


@every_example
def test_any_other_step_gives_the_same(penalty):
    w = normal((4, 6))
    short, long = numpy(penalty.prox(w, 1e-9)), numpy(penalty.prox(w, 1e3))
    np.testing.assert_array_equal(short, long)
    np.testing.assert_array_equal(numpy(penalty.prox(short, 1.0)), short)
    assert np.any(short == 0)


@every_example
def test_value_is_zero_on_the_set_and_infinite_off_it(penalty):
    w = normal((4, 6))
    projected = numpy(penalty.prox(w, 1.0))
    assert float(penalty.value(w)) == np.inf
    assert float(penalty.value(projected)) == 0.0
    assert float(penalty.value(0 * w)) == 0.0
    fuller = np.where((projected == 0) & (np.cumsum(projected == 0).reshape(w.shape) == 1), 1, 0)
    if getattr(penalty, "group_axis", None) is None:
        assert float(penalty.value(projected + fuller)) == np.inf


@every_example
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_weights_stay_visible(penalty, bad):
    w = normal((4, 4))
    w[1, 2] = w[2, 0] = bad
    np.testing.assert_array_equal(numpy(penalty.prox(w, 1.0))[[1, 2], [2, 0]], [bad, bad])
    everything = TopK(1.0, getattr(penalty, "group_axis", None))
    pruned = numpy(everything.prox(w, 1.0))
    np.testing.assert_array_equal(pruned[[1, 2], [2, 0]], [bad, bad])
    assert np.sum(pruned == 0) == 14


@every_example
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtype_is_kept(penalty, dtype):
    if dtype == "float64" and BACKEND == "jax":
        pytest.skip("JAX has no float64 unless it is switched on for the whole process")
    w = ops.cast(levels((4, 6)), dtype)
    pruned = penalty.prox(w, 0.5)
    assert pruned.dtype == w.dtype
    expected = numpy(penalty.prox(levels((4, 6)), 0.5))
    np.testing.assert_array_equal(numpy(ops.cast(pruned, "float32")), expected)


def test_norms_of_half_precision_groups_do_not_overflow():
    w = np.array([[60000, 50000], [1000, 50000]], "float16")
    pruned = numpy(TopK(0.5, group_axis=-1).prox(w, 1.0))
    np.testing.assert_array_equal(pruned, w * np.array([0, 1], "float16"))


@every_example
def test_config_round_trip_is_equal(penalty):
    config = keras.saving.serialize_keras_object(penalty)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(penalty)
    assert again.get_config() == penalty.get_config()
    assert repr(again) == repr(penalty)
    assert "strength" not in again.get_config()


def test_scheduled_sparsity_round_trips():
    penalty = TopK(schedules.Polynomial(0.5, 0.9, steps=8, delay=2), group_axis=(0, -1))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(penalty))
    assert again.sparsity.get_config() == penalty.sparsity.get_config()
    assert again.group_axis == (0, -1)


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, np.nan, "half", None, True])
def test_bad_sparsity_is_refused(sparsity):
    with pytest.raises(ValueError, match="sparsity"):
        TopK(sparsity)


@pytest.mark.parametrize("arguments", [(0, 4), (4, 4), (5, 4), (1.5, 4), (2, "4"), (True, 4)])
def test_bad_n_and_m_are_refused(arguments):
    with pytest.raises(ValueError, match=r"Expected `[nm]` to be"):
        NM(*arguments)


@pytest.mark.parametrize("axis", [None, 0.5, True, (), "rows"])
def test_bad_axis_is_refused(axis):
    with pytest.raises(ValueError, match="Expected `axis` to"):
        NM(axis=axis)


def test_shape_that_does_not_fit_names_the_variable():
    for penalty, message in [
        (NM(2, 4, axis=-1), r"m=4 to divide the length of axis -1 of \S*out/kernel"),
        (NM(2, 4, axis=2), r"`axis` to name distinct axes of \S*out/kernel of shape \(8, 6\)"),
        (TopK(group_axis=2), r"out/kernel of shape \(8, 6\)"),
    ]:
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, name="out")])
        with pytest.raises(ValueError, match=message):
            first_update(Proximal("sgd", penalty), model.trainable_variables)
        with pytest.raises(ValueError, match="shape"):
            penalty.prox(np.ones((8, 6), "float32"), 1.0)


@pytest.mark.parametrize("cls", sorted(PROJECTIONS, key=lambda cls: cls.__name__))
def test_what_a_condition_does_not_have_is_refused(cls):
    w = np.ones((4, 4), "float32")
    with pytest.raises(ValueError, match="useful gradient"):
        cls()(w)
    with pytest.raises(NotImplementedError, match=cls.__name__):
        cls().max_strength(w)
    with pytest.raises(NotImplementedError, match=cls.__name__):
        cls().stationarity(w, w)
    with pytest.raises(ValueError, match="float dtype"):
        cls().prox(np.ones((4, 4), "int32"), 1.0)


def test_every_projection_is_tested_here():
    assert set(regularizers.Projection.__subclasses__()) == PROJECTIONS


def test_scheduled_sparsity_needs_an_iteration():
    penalty = TopK(schedules.Linear(0.0, 0.5, steps=10))
    for use in (penalty.value, lambda w: penalty.prox(w, 0.1)):
        with pytest.raises(ValueError, match="Expected a float `sparsity` outside of Proximal"):
            use(np.ones((2, 2), "float32"))
