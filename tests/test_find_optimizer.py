"""Proximal.of(model): the wrapper that a model trains with, wherever it is."""

import keras
import pytest

from keras_reg.optimizers import FixedSupport, Proximal
from keras_reg.regularizers import L1

PROXIMAL = "proximal"


def proximal() -> Proximal:
    return Proximal("sgd", L1(0.1), name=PROXIMAL)


def multi(*optimizers):
    """One optimizer for each variable of `compiled`'s model, in order."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    named = dict(zip((".*one/kernel", ".*two/kernel"), optimizers, strict=False))
    members = keras.optimizers.OptimizerMap(optimizers[-1], named)
    return keras.optimizers.MultiOptimizer(members)


def compiled(optimizer) -> keras.Model:
    dense = [keras.layers.Dense(2, use_bias=False, name=name) for name in ("one", "two")]
    model = keras.Sequential([keras.Input((3,)), *dense])
    model.compile(optimizer, "mse")
    return model


CASES = {
    "itself": proximal,
    "a loss scale": lambda: keras.optimizers.LossScaleOptimizer(proximal()),
    "a member": lambda: multi(proximal(), keras.optimizers.SGD()),
    "the default member": lambda: multi(keras.optimizers.SGD(), proximal()),
    "round several": lambda: Proximal(multi(keras.optimizers.SGD()), L1(0.1), name=PROXIMAL),
    "scaled, of several": lambda: keras.optimizers.LossScaleOptimizer(multi(proximal())),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_it_is_found(make):
    model = compiled(make())
    assert Proximal.of(model).name == PROXIMAL
    assert Proximal.all_of(model) == [Proximal.of(model)]
    assert FixedSupport.of(model) is None


@pytest.mark.parametrize("make", [lambda: "adam", lambda: FixedSupport("adam")])
def test_none_where_there_is_none(make):
    assert Proximal.of(compiled(make())) is None
    assert Proximal.of(keras.Sequential([keras.layers.Dense(2)])) is None
    assert Proximal.of(keras.layers.Dense(2)) is None


def test_several_are_listed_and_never_one_at_random():
    one, two = proximal(), Proximal("adam", L1(0.2), name="other")
    model = compiled(multi(one, two))
    assert Proximal.all_of(model) == [one, two]
    with pytest.raises(ValueError, match=r"Received 2.*'proximal', 'other'"):
        Proximal.of(model)


def test_a_member_acts_on_its_own_variables_alone():
    one, two = Proximal("sgd", L1(0.1)), Proximal("sgd", L1(0.2))
    model = compiled(multi(one, two))
    model.optimizer.build(model.trainable_variables)
    for optimizer, name in ((one, "one"), (two, "two")):
        [(_, variable)] = optimizer.resolve(model.trainable_variables)
        assert variable.path.endswith(f"{name}/kernel")
