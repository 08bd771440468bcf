"""An optimizer like another for a smaller model: its rules name what is left of the channels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_reg.optimizers.channel_groups import ChannelGroup, ChannelGroups, Entries
from keras_reg.optimizers.proximal import Proximal
from keras_reg.optimizers.rules import Rules
from keras_reg.optimizers.wrapper import Wrapper
from keras_reg.structure import is_kernel
from keras_reg.structure.channels import Channels, Group, channels
from keras_reg.structure.layout import Weight, weights_in

# For a variable, an axis and indices on it: the variable of the smaller model and the indices that
# what stays has there, or None if the variable went.
Image = Callable[[Any, int, np.ndarray], tuple[Any, np.ndarray] | None]


def moved(optimizer: Any, model: Any, small: Any, image: Image) -> Any:
    """A new optimizer, without state, that trains a smaller model as another trains a model.

    Penalties on channels act on those that are left of them. What one of these is weighed by stays
    as it was.

    Args:
        optimizer: the `keras.optimizers.Optimizer` that trains the larger model.
        model: the larger model.
        small: the smaller model.
        image: finds indices on axes of the larger model's variables in the smaller model.
    Raises: ValueError if the optimizer cannot be made again from its config, or if a penalty on
        channels has none left.
    """
    try:
        new = type(optimizer).from_config(optimizer.get_config())
    except Exception as error:  # Of a user's class, and of Keras for one that is not registered.
        raise ValueError(
            "Expected an optimizer that can be made again from its config. "
            f"Received: {optimizer.name}: {error}"
        ) from error
    # A model is asked for its optimizers; here they stand alone.
    pairs = zip(Wrapper.within(optimizer), Wrapper.within(new), strict=True)
    for one, other in pairs:
        if isinstance(one, Proximal):
            other.take_rules(_rules(one, model, small, image))
    return new


def _rules(optimizer: Proximal, model: Any, small: Any, image: Image) -> Rules:
    given = optimizer.penalties
    if not isinstance(given, dict):
        return Rules(given, small)
    weights = weights_in(model, model.trainable_variables)
    penalties: dict[Any, Any] = {}
    for key, penalty in given.items():
        is_pattern = isinstance(key, str)
        penalties[key if is_pattern else _left(optimizer, key, weights, small, image)] = penalty
    return Rules(penalties, small)


def _left(
    optimizer: Proximal, given: Any, weights: Sequence[Weight], small: Any, image: Image
) -> ChannelGroups:
    """What is left of channels, as channels of the smaller model."""
    old = given if isinstance(given, ChannelGroups) else ChannelGroups.of(given)
    found = old.found(weights)
    images = [_images(group, found, image) for group in old.groups]
    every = channels(small)
    chosen, owners = [], []
    for group in every.free():
        owner = next((n for n, one in enumerate(images) if _is_of(group, one)), None)
        if owner is not None:
            chosen.append(group)
            owners.append(old.groups[owner])
    if not chosen:
        raise ValueError(
            "Expected that some channels of each penalty are left and can be removed. Received: "
            f"{optimizer.name}, a penalty on {old}. Compile the smaller model anew"
        )
    reads = any(_reads(part, found) for group in old.groups for part in group.parts)
    new = ChannelGroups.of(
        Channels(chosen, small.name, small.variables, readers=reads, times=every.times)
    )
    new.groups = [
        group._replace(cost=owner.cost) for group, owner in zip(new.groups, owners, strict=True)
    ]
    return new


def _images(
    group: ChannelGroup, found: dict[str, Any], image: Image
) -> dict[tuple[int, int], set[int]]:
    """By the smaller model's variables and axes, the indices of what is left of a group."""
    indices: dict[tuple[int, int], set[int]] = {}
    for part in group.parts:
        if part.is_maker and part.name in found:
            left = image(found[part.name], part.axis, part.indices.ravel())
            if left is not None:
                indices.setdefault((id(left[0]), part.axis), set()).update(left[1].tolist())
    return indices


def _is_of(group: Group, indices: dict[tuple[int, int], set[int]]) -> bool:
    """Whether a group of the smaller model is made of these indices alone."""
    made = [part for part in group.parts if "makes" in part.roles]
    return bool(made) and all(
        set(part.indices.ravel().tolist()) <= indices.get((id(part.variable), part.axis), set())
        for part in made
    )


def _reads(part: Entries, found: dict[str, Any]) -> bool:
    """Whether a penalty acts on the rows of what reads the channels."""
    return part.name in found and is_kernel(found[part.name]) and not part.is_maker
