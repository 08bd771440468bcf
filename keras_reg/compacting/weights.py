"""The values of the smaller model: what is kept of every variable, constants in the biases."""

import tempfile
from typing import Any

import keras
import numpy as np

from keras_reg.compacting.reads import Read
from keras_reg.compacting.removal import Removal
from keras_reg.compacting.survey import Survey
from keras_reg.keras_private import layers_in
from keras_reg.structure.channels.labels import Array


def states_of(layer: Any) -> list[Any]:
    """What stateful recurrent layers in a layer remember. Keras does not list it as variables."""
    every = [layer, *layers_in(layer)]
    states = [getattr(one, "states", None) for one in every if getattr(one, "stateful", False)]
    return [one for one in keras.tree.flatten(states) if isinstance(one, keras.Variable)]


def copy_files(layer: Any, other: Any) -> None:
    """Gives a layer what another one keeps in files next to its weights, such as a vocabulary."""
    for one, new in zip([layer, *layers_in(layer)], [other, *layers_in(other)], strict=True):
        if hasattr(one, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                one.save_assets(folder)
                new.load_assets(folder)


class Values:
    """What is kept of variables.

    Args:
        survey: what was read of the model.
        removal: what goes.
    """

    def __init__(self, survey: Survey, removal: Removal) -> None:
        self._survey, self._removal = survey, removal
        self._changed: dict[int, Array] = {
            key: read.values for key, read in survey.reads.items() if read.values is not None
        }
        self.new_biases: dict[int, Array] = {}
        for read in survey.reads.values():
            self._fold(read)

    def of(self, variable: Any) -> Array:
        """The values of a variable that stay."""
        return self.cut(variable, self._whole(variable))

    def cut(self, variable: Any, array: Array) -> Array:
        """The part of an array with the shape of a variable that stays."""
        for axis, kept in self.kept(variable).items():
            array = array.take(kept, axis)
        return array

    def kept(self, variable: Any) -> dict[int, Array]:
        """The indices that stay on the axes of a variable, where the axis has channels."""
        slots = {
            axis: self._survey.slots.get((id(variable), axis))
            for axis in range(len(variable.shape))
        }
        return {
            axis: self._removal.kept(slot.labels)
            for axis, slot in slots.items()
            if slot is not None
        }

    def scale(self, variable: Any, factor: float) -> None:
        """Multiplies a variable."""
        self._changed[id(variable)] = self._whole(variable) * factor

    def _whole(self, variable: Any) -> Array:
        found = self._changed.get(id(variable))
        return np.asarray(keras.ops.convert_to_numpy(variable)) if found is None else found

    def _fold(self, read: Read) -> None:
        """Adds what constant channels that go contributed to the bias."""
        gone = np.zeros((), bool)
        for labels in read.rows.values():
            gone = gone[..., None] | self._removal.gone(labels)
        given = gone & np.nan_to_num(read.constant).astype(bool)
        if not given.any():
            return
        sums = read.folded(lambda x, axis: x.sum(axis, dtype="float64"))
        lengths = sums.shape[given.ndim :]
        more = np.tensordot(read.constant[given], sums[given], axes=1).reshape(lengths)
        if isinstance(read.bias, keras.Variable):
            bias = np.array(self._whole(read.bias), "float64")
            bias[read.place] += more.reshape(bias[read.place].shape)
            self._changed[id(read.bias)] = bias
        else:
            (labels,) = read.columns.values()
            self.new_biases[id(read.bias)] = more[self._removal.kept(labels)]
