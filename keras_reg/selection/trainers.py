"""How members are trained: at once where their network allows it, else one after the other."""

import re
import warnings
from typing import Any

import keras

from keras_reg.keras_private import layers_in
from keras_reg.ops.backend import xla_on_cpu
from keras_reg.ops.updates import can_stack
from keras_reg.selection.examples import Examples
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network
from keras_reg.selection.one_by_one import OneByOne
from keras_reg.selection.schedule import Batching
from keras_reg.selection.stacked import Stacked
from keras_reg.selection.stacked_variables import StackedVariables

# Stacked, they become grouped convolutions, which XLA makes slow on a CPU, and PyTorch does not: a
# path of 20 strengths on 5 folds of a small network took 94 times one `fit`, and 9 times one member
# after the other.
_CONVOLUTIONS = tuple(getattr(keras.layers, name) for name in dir(keras.layers) if "Conv" in name)
# Bytes of the states that are trained at once, where `chunk` is not given.
_BYTES_AT_ONCE = 2**30
_MEAN = "sum_over_batch_size"
# Keras's optimizers that move a weight by its own gradients alone.
_ELEMENTWISE = (
    keras.optimizers.SGD,
    keras.optimizers.Adam,
    keras.optimizers.Adamax,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
    keras.optimizers.Adagrad,
)


def trainer_of(
    network: Network, examples: Any, members: tuple[Member, ...], setting: Any
) -> OneByOne | Stacked:
    """A `Stacked` on JAX, a `StackedVariables` on other backends, or a `OneByOne`.

    Args:
        network: the network.
        examples: to train on.
        members: the members.
        setting: a `Setting`.
    Raises: ValueError if members have to be trained at once and cannot be.
    """
    lengths = [len(member.train) for member in members if member.train is not None]
    batching = Batching(setting.batch_size, max(lengths)) if lengths else None
    one_by_one = OneByOne(network, examples, batching, setting.chunk)
    if setting.stack is False or (setting.stack is None and _is_slower_stacked(network.model)):
        return one_by_one
    reason = why_not_stacked(network, examples, batching, members)
    if reason is None and batching is not None:
        fits = max(1, _BYTES_AT_ONCE // max(1, network.bytes))
        # Enough chunks for all processes.
        chunk = setting.chunk or min(fits, -(-len(members) // setting.jobs))
        if can_stack():
            return Stacked(network, examples, batching, chunk)
        trainer = StackedVariables(network, examples, batching, chunk)
        reason = _why_it_fails(trainer, members)
        if reason is None:
            return trainer
    if setting.stack:
        raise ValueError(f"Expected members that can be trained at once: {reason}")
    return one_by_one


def why_not_stacked(
    network: Network, examples: Any, batching: Batching | None, members: tuple[Member, ...]
) -> str | None:
    """Why members cannot be trained at once, or None if nothing is known to stand against it."""
    model, inner = network.model, network.proximal.inner_optimizer
    if not isinstance(examples, Examples) or batching is None:
        return "arrays are needed. Received: a dataset"
    if model.run_eagerly:
        return "a compiled step is needed. Received: run_eagerly=True"
    if getattr(inner, "use_ema", False):
        return "`fit` puts averages in place of weights at its end. Received: use_ema=True"
    lengths = {len(member.train) for member in members if member.train is not None}
    if batching.is_full and len(lengths) > 1 and not _takes_padding(model):
        return (
            "batches of all rows have to be equally long where the loss is no mean over the batch "
            f"or there is batch normalization. Received: training sets of {sorted(lengths)} rows"
        )
    return None if can_stack() else _why_not_outside_jax(network)


def _why_not_outside_jax(network: Network) -> str | None:
    """Why stacked weights cannot be updated as those of one member are."""
    model, where = network.model, keras.backend.backend()
    inner = network.proximal.inner_optimizer
    for name in ("train_step", "compute_loss"):
        if getattr(type(model), name) is not getattr(keras.Model, name):
            return f"Keras's own {name} is needed on {where}. Received: that of {type(model)}"
    if network.optimizer is not network.proximal or not _is_elementwise(inner):
        names = ", ".join(kind.__name__ for kind in _ELEMENTWISE)
        return f"one of Keras's {names} is needed on {where}. Received: {network.optimizer!r}"
    for name in ("clipnorm", "global_clipnorm", "weight_decay"):
        if getattr(inner, name) is not None:
            return f"an optimizer without {name} is needed on {where}. Received: {inner!r}"
    if network.proximal.metric != "euclidean":
        return f'metric="euclidean" is needed on {where}. Received: {network.proximal.metric!r}'
    variables = model.trainable_variables
    if any(getattr(variable, "constraint", None) is not None for variable in variables):
        return f"variables without a constraint are needed on {where}"
    if any(one.grouping for one in network.proximal.entries(variables)):
        return f"penalties on single variables are needed on {where}"
    return None


def _is_elementwise(optimizer: Any) -> bool:
    # Not a subclass: what a user writes in one may be anything. Those of a backend are Keras's too.
    is_kerass = type(optimizer).__module__.startswith("keras.")
    return is_kerass and isinstance(optimizer, _ELEMENTWISE)


def _is_slower_stacked(model: keras.Model) -> bool:
    return xla_on_cpu() and any(isinstance(layer, _CONVOLUTIONS) for layer in layers_in(model))


def _why_it_fails(trainer: StackedVariables, members: tuple[Member, ...]) -> str | None:
    try:
        with warnings.catch_warnings():
            # PyTorch warns where it falls back to a loop.
            warnings.filterwarnings("error", "There is a performance drop")
            trainer.trial(members)
    except Exception as error:  # Each operation that cannot be vectorized raises its own.
        # Keras says in which layer, in a line before the error itself, which is bold.
        lines = re.sub(r"\x1b\[\d+m", "", str(error)).splitlines()
        text = " ".join([line for line in lines if line.strip()][:2])
        return f"{keras.backend.backend()} cannot vectorize the network. {text}"
    return None


def _takes_padding(model: keras.Model) -> bool:
    """Whether rows with a weight of 0 change nothing, and others can make up for them."""
    losses = keras.tree.flatten(model.loss)
    means = all(getattr(one, "reduction", _MEAN) == _MEAN for one in losses)
    kinds = keras.layers.BatchNormalization
    return means and not any(isinstance(layer, kinds) for layer in layers_in(model))
