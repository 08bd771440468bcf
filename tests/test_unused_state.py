"""What Proximal adds to an optimizer: nothing for momentum and averages that are not there."""

import keras
import numpy as np
import pytest
from lowering import JAX, optimized, update_step

from keras_reg.optimizers import FixedSupport, Proximal
from keras_reg.regularizers import L1

OWN = ["strength_scale", "support_fixed"]
OPTIMIZERS = {
    "SGD": (lambda: keras.optimizers.SGD(0.1), []),
    "Adam": (lambda: keras.optimizers.Adam(0.1), []),
    "averaged": (lambda: keras.optimizers.SGD(0.1, use_ema=True), []),
    "momentum": (lambda: keras.optimizers.SGD(0.1, momentum=0.9), ["momentum_travel"]),
}


def names(optimizer):
    optimizer.build([keras.Variable(np.ones((3, 2), "float32"), name="kernel")])
    return [variable.path.rsplit("/", 1)[-1] for variable in optimizer.variables]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_variables_beside_those_of_the_optimizer_inside(name):
    make, more = OPTIMIZERS[name]
    assert names(Proximal(make(), L1(0.1))) == names(make()) + OWN + more
    assert names(FixedSupport(make())) == names(make())


@pytest.mark.skipif(not JAX, reason="JAX alone hands out the program of one update")
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_update_is_that_of_the_optimizer_and_a_proximal_step(name):
    """As many instructions as where both are written by hand, with nothing between them."""
    make, _ = OPTIMIZERS[name]
    inner, penalty = make(), L1(0.1)
    inner.build([keras.Variable(np.ones((32, 16), "float32"), name="kernel")])
    count = len(inner.variables)

    def by_hand(w, state, gradient):
        rate = state[[v.path for v in inner.variables].index(inner.learning_rate.path)]
        [w], after = inner.stateless_apply(state[:count], [gradient], [w])
        return [penalty.prox(w, rate * state[count])], [*after, *state[count:]]

    update, *arrays = update_step(Proximal(make(), penalty), (32, 16))
    assert instructions(update, arrays) == instructions(by_hand, arrays)


def instructions(function, arrays):
    return sum(" = " in line for line in optimized(function, *arrays).splitlines())
