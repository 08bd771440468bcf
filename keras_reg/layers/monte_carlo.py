"""Dropout at inference: many masks at the rates of one step, and schedules that stand still."""

import contextlib
import warnings
from collections.abc import Iterator

import keras

from keras_reg.keras_private import layers_in
from keras_reg.layers.scheduled import Scheduled


@contextlib.contextmanager
def mc_dropout(model: keras.layers.Layer, seed: int = 0) -> Iterator[None]:
    """A context in which training calls of a model are samples, not steps of its schedules.

    For Monte Carlo dropout: the mean of several outputs of `model(x, training=True)` and their
    spread. A training call looks the same whether an optimizer follows it or not, so that the
    layers of this package have to be told. Inside of the context their rates are those of the step
    that the model has reached, and every call draws other masks; on leaving it, seeds and counts
    are what they were. It acts on the layers' state, which compiled functions read too, without a
    retrace. The same seed at the same step gives the same samples.

    Where every rate is 0 at that step, all samples are alike, which a warning says.

    Do not train or save the model inside of it.

    Args:
        model: `keras.layers.Layer`, a model as a rule, with layers of `keras_reg.layers` in it.
        seed: int from 0 to 2**31 - 1.
    Raises: ValueError if the model has none of these layers, or seed is not as above.
    Reference: Gal & Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016.

    Example:
        >>> from keras import ops
        >>> from keras_reg.layers import ScheduledDropout
        >>> model = keras.Sequential([keras.Input((1000,)), ScheduledDropout(0.5, seed=1)])
        >>> with mc_dropout(model):
        ...     samples = [model(ops.ones((1, 1000)), training=True) for _ in range(20)]
        >>> 0.9 < float(ops.mean(ops.stack(samples))) < 1.1
        True
        >>> model.layers[0].step
        0
    """
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise ValueError(
            f"Expected `seed` to be an int from 0 to 2**31 - 1. Received: seed={seed!r}"
        )
    found = [layer for layer in _all_layers(model) if isinstance(layer, Scheduled)]
    if not found:
        raise ValueError(f"Expected a model with layers of keras_reg.layers. Received: {model!r}")
    if not any(layer.current_rate() > 0 for layer in found):
        steps = sorted({layer.step for layer in found})
        warnings.warn(
            f"Expected a rate above 0 to sample at. Received: rate 0 at step {steps[0]} in every "
            "layer of keras_reg.layers, so that all samples will be alike; `layer.step` can be set",
            stacklevel=3,
        )
    with contextlib.ExitStack() as stack:
        for layer in found:
            stack.enter_context(layer.sampling(seed))
        yield


def _all_layers(model: object) -> list:
    return [model, *layers_in(model)] if isinstance(model, keras.layers.Layer) else []
