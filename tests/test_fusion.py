"""How often the compiled CPU program goes over the weights."""

import keras
import numpy as np
import pytest
from catalogue import CASES
from lowering import gradient, optimized, passes, training_call, update_step, written

import keras_reg as kr
from keras_reg import regularizers
from keras_reg.optimizers import proximal

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(BACKEND == "torch", reason="PyTorch compiles nothing")

W = np.random.default_rng(0).standard_normal((256, 512)).astype("float32")
STEP = np.float32(0.5)

SINGLE = [
    pytest.param(cls, kwargs, id=f"{cls.__name__}-{kwargs}")
    for cls, kwargs in (case.values for case in CASES)
    if issubclass(cls, regularizers.RadialPenalty) and cls(**kwargs).group_axis is None
]

# The update with TotalVariation reads neighbours, so that it cannot be in place.
OWN_GRADIENT = [
    case
    for case in CASES
    if case.values[0].differentiable
    and case.values[0]._gradient is not regularizers.Penalty._gradient
    and case.values[0] is not regularizers.TotalVariation
]

every_single = pytest.mark.parametrize(("cls", "kwargs"), SINGLE)


def count(function, *arrays):
    return len(passes(optimized(function, *arrays), W.size))


def test_passes_are_counted():
    """Of a program that nobody can fuse: a sort, and then the sum of its result."""

    def tail(w):
        return keras.ops.sum(keras.ops.square(keras.ops.sort(w)))

    assert count(tail, W) >= 2
    assert len(passes(optimized(tail, W), W.size + 1)) == 0


@every_single
def test_value_of_single_weights_writes_nothing_of_their_size(cls, kwargs):
    if cls.differentiable:
        assert written(optimized(cls(0.1, **kwargs).value, W), W.size) == []


def test_what_is_written_is_found():
    assert len(written(optimized(lambda w: 2 * w, W), W.size)) == 1


@every_single
def test_gradient_of_single_weights_is_one_loop(cls, kwargs):
    penalty = cls(0.1, **kwargs)
    if cls.differentiable:
        assert len(written(optimized(lambda w: gradient(penalty, w), W), W.size)) == 1


@pytest.mark.skipif(BACKEND != "jax", reason="TensorFlow compiles no donated arguments")
@pytest.mark.parametrize(("cls", "kwargs"), OWN_GRADIENT)
def test_an_update_in_place_copies_no_weight(cls, kwargs):
    """Which XLA does where it may read the old ones after they are overwritten."""
    import jax

    def step(w):
        value, slope = jax.value_and_grad(cls(0.1, **kwargs))(w)
        return w - 0.1 * slope, value

    program = jax.jit(step, donate_argnums=0).lower(W).compile().as_text()
    assert not [line for line in passes(program, W.size) if " copy(" in line]


@every_single
def test_prox_of_single_weights_is_one_loop(cls, kwargs):
    penalty = cls(0.1, **kwargs)
    assert count(lambda w, step: penalty.prox(w, step), W, STEP) == 1


@pytest.mark.parametrize(
    ("penalty", "more"),
    [
        (regularizers.L1(0.1), 0),
        (regularizers.MCP(0.1), 0),
        (regularizers.GroupLasso(0.1), 2),
        (regularizers.GroupLasso(0.1, group_axis=0), 2),
    ],
    ids=repr,
)
def test_proximal_adds_a_sum_and_a_loop_for_groups_and_nothing_for_single_weights(penalty, more):
    bare = count(*update_step(keras.optimizers.Adam(), W.shape))
    proximal = kr.optimizers.Proximal(keras.optimizers.Adam(), penalty)
    assert count(*update_step(proximal, W.shape)) == bare + more


def test_dropout_is_one_loop_and_stores_no_random_bits():
    layer = kr.layers.ScheduledDropout(kr.schedules.Linear(0.1, 0.5, steps=10))
    found = passes(optimized(*training_call(layer, W.shape)), W.size)
    assert len(found) == 1
    assert "f32[256,512]" in found[0].split(" fusion(")[0]


@pytest.mark.parametrize(
    ("penalty", "programs"), [(regularizers.L1(0.1), 1), (regularizers.TotalVariation(0.1), 0)]
)
def test_a_proximal_step_that_takes_long_is_a_program_of_its_own(penalty, programs, monkeypatch):
    found = []

    def compiled_in_graph(function, tensors):
        found.append(function(tensors))

    monkeypatch.setattr(proximal, "compiled_in_graph", compiled_in_graph)
    w = keras.Variable(W[:4, :4])
    optimizer = kr.optimizers.Proximal(keras.optimizers.SGD(0.1), penalty)
    optimizer.apply([keras.ops.ones((4, 4))], [w])
    assert len(found) == programs
    assert np.any(keras.ops.convert_to_numpy(w) != W[:4, :4] - 0.1)
