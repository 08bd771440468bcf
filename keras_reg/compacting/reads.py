"""Weights that read channels: which rows matter to which columns, and what constants add up to."""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_reg.structure.channels.labels import Array


class Read(NamedTuple):
    """A weight that channels are read with: a sum over its rows.

    Args:
        kernel: the variable.
        rows: dict from the axes that are summed to their labels.
        columns: dict from axes to labels: what a row contributes to.
        constant: array over the rows: what is known of what they are multiplied by.
        bias: variable that constants may be added to, the layer if it may get one, or None.
        place: tuple. Where in the bias.
        inside: array over the rows: what is known apart from the edges, where zeros are padded.
        values: array, or None. What the kernel is to be in the place of what it is.
    """

    kernel: Any
    rows: dict[int, Array]
    columns: dict[int, Array]
    constant: Array
    bias: Any
    place: tuple[Any, ...]
    inside: Array
    values: Array | None = None

    def numbers(self) -> Array:
        """The kernel's values."""
        if self.values is not None:
            return self.values
        return np.asarray(keras.ops.convert_to_numpy(self.kernel))

    def folded(self, reduce: Any) -> Array:
        """The kernel as (rows..., columns...), its other axes reduced."""
        return folded(self.numbers(), self.rows, self.columns, reduce)


class Need(NamedTuple):
    """Channels without which a result changes, each where one of its columns is kept.

    Args:
        labels: array of ints.
        columns: array of ints, or None if they are needed in any case.
        live: array of bool, (labels, columns).
    """

    labels: Array
    columns: Array | None
    live: Array


def folded(array: Array, rows: Any, columns: Any, reduce: Any) -> Array:
    """A kernel as (rows..., columns...), its other axes reduced."""
    others = tuple(set(range(array.ndim)) - {*rows, *columns})
    moved = np.transpose(array, [*rows, *columns, *others])
    axes = tuple(range(len(rows) + len(columns), array.ndim))
    return reduce(moved, axis=axes) if axes else reduce(moved[..., None], axis=-1)


def constant_columns(kernel: Any, rows: Any, columns: Any, constant: Array) -> Array:
    """For each column the sum over its rows, where all with a weight that is not 0 are known."""
    array = np.asarray(keras.ops.convert_to_numpy(kernel))
    live = folded(array, rows, columns, lambda x, axis: np.any(x != 0, axis=axis))
    lengths = live.shape[len(rows) :]
    live = live.reshape(constant.size, -1)
    flat = constant.reshape(-1)
    varies = live[np.isnan(flat)].any(axis=0)
    found = np.where(varies, np.nan, 0.0)
    given = np.flatnonzero(~np.isnan(flat) & (flat != 0))
    if given.size and not varies.all():
        sums = folded(array, rows, columns, lambda x, axis: x.sum(axis, dtype="float64"))
        found = found + flat[given] @ sums.reshape(constant.size, -1)[given]
    return found.reshape(lengths)
