"""repr of the optimizers: the constructor call that makes them."""

import keras
import pytest

from keras_reg import schedules
from keras_reg.optimizers import FixedSupport, Proximal
from keras_reg.optimizers.shown import shown
from keras_reg.regularizers import L1, GroupLasso

CALLS = [
    "Proximal(Adam(learning_rate=0.001), L1(strength=0.1))",
    "Proximal(SGD(learning_rate=0.05, momentum=0.9, nesterov=True), "
    "{'a/kernel': L1(strength=0.1), 'b': GroupLasso(strength=0.2, group_axis=0)}, every=3)",
    "Proximal(AdamW(learning_rate=0.01, weight_decay=0.1), L1(strength=1), metric='adaptive')",
    "Proximal(SGD(learning_rate=ExponentialDecay(initial_learning_rate=0.1, decay_steps=9, "
    "decay_rate=0.5)), L1(strength=Linear(0.0, 0.1, steps=9)))",
    "FixedSupport(RMSprop(learning_rate=0.01, clipnorm=1.0))",
]
NAMES = {
    **{name: getattr(keras.optimizers, name) for name in ("Adam", "AdamW", "RMSprop", "SGD")},
    "ExponentialDecay": keras.optimizers.schedules.ExponentialDecay,
    **vars(schedules),
    **{kind.__name__: kind for kind in (FixedSupport, GroupLasso, L1, Proximal)},
}


@pytest.mark.parametrize("call", CALLS)
def test_the_call_that_is_shown_makes_the_same_optimizer(call):
    optimizer = eval(call, NAMES)
    again = eval(repr(optimizer), NAMES)
    assert repr(again) == repr(optimizer)
    assert _config(again) == _config(optimizer)
    given = call.split("L1(")[0].split("{")[0].rstrip("(), ")
    assert repr(optimizer).startswith(given)


def _config(optimizer):
    """A config without the names that Keras numbers."""
    config = optimizer.get_config()
    config["optimizer"]["config"].pop("name")
    return {key: value for key, value in config.items() if key != "name"}


def test_several_optimizers_are_shown_with_their_penalties():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    members = keras.optimizers.OptimizerMap(keras.optimizers.Adam(), {"a": keras.optimizers.SGD()})
    given = repr(Proximal(keras.optimizers.MultiOptimizer(members), L1(0.2)))
    assert "MultiOptimizer(SGD(learning_rate=0.01" in given
    assert "Adam(learning_rate=0.001)" in given
    assert "L1(strength=0.2" in given
    members = keras.optimizers.OptimizerMap(
        Proximal(keras.optimizers.Adam(), L1(0.2)),
        {"a": Proximal(keras.optimizers.SGD(), L1(0.1))},
    )
    given = shown(keras.optimizers.MultiOptimizer(members))
    assert "MultiOptimizer(Proximal(SGD(learning_rate=0.01), L1(strength=0.1" in given
