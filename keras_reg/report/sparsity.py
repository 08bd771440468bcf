"""sparsity(model): what is exactly zero, as a table; and Meter, which measures again and again."""

import dataclasses
import re
import warnings
from typing import Any

import keras
import numpy as np

from keras_reg import structure
from keras_reg.report import penalties
from keras_reg.report.analysis import analyze
from keras_reg.report.counting import Reading, read_once, values
from keras_reg.report.rows import LayerSparsity, WeightSparsity
from keras_reg.report.table import SparsityTable, table_of
from keras_reg.structure.channels.left import Entries, Wiring

__all__ = ["LayerSparsity", "SparsityTable", "WeightSparsity", "sparsity"]

# What counts as near zero for the hint: where L1 in the loss leaves weights it cannot make zero.
_HINT_TOLERANCE, _HINT_SHARE = 1e-2, 0.25
_HINT = (
    "L1 in the loss leaves {share:.0%} of its weights near zero and makes none exactly zero. "
    "keras_reg.optimizers.Proximal(optimizer, L1(strength)) makes exact zeros."
)


def sparsity(
    model: keras.layers.Layer, tolerance: float = 0.0, gradients: Any = None
) -> SparsityTable:
    """Counts what is zero in every kernel and embedding matrix of a model, frozen ones too.

    Biases, normalization and counters have no row: their zeros are starting values, not sparsity.
    NumPy counts, on the host: nothing is compiled for one table. `SparsityReport`, which measures
    again and again, counts on the device, compiled.

    What is left of parameters and multiply-adds, `parameters_left` and `macs_left`, is what remains
    without the channels that do nothing: units, filters, heads and states that are constant, or
    that nothing reads. The figures of rows and layers are those of each weight by itself.

    The multiply-adds come from the graph of a Sequential or Functional model. Where code calls a
    layer, in a subclassed model or a custom layer, they are not known and are None. They are those
    of kernels and of attention scores, for one example; activations, biases and normalization do
    not count, as in published figures. Weights that a quantization packs, `"int4"` and the like,
    have no row; those of `"int8"` have one.

    Args:
        model: a built `keras.Model` or `keras.layers.Layer`.
        tolerance: float in [0, 1]. A weight is near zero if it is not zero and at most this
            fraction of its tensor's largest.
        gradients: dict from a weight's path, or the end of it after a slash, to the gradient of the
            loss without the penalty, or a list with one for each of `model.trainable_weights`. It
            gives the rows their `stationarity`, which tells a zero that the penalty holds from an
            accident.

    Returns:
        A `SparsityTable`.

    Raises:
        TypeError: if `model` is none.
        ValueError: if the model is not built or has no kernel, if the tolerance is out of range, or
            if gradients do not fit.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> _ = model.layers[0].kernel.assign([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
        >>> table = sparsity(model)
        >>> table.zeros, table.size, table.rows[0].zero_inputs, table.rows[0].zero_outputs
        (4, 6, 1, 0)
        >>> table.macs, table.macs_left, table.rows[0].macs_left
        (6, 6, 4)
    """
    return Meter(model, tolerance).measure(gradients)


class Meter:
    """Measures a model. What can be known beforehand is worked out once.

    Args:
        model: a built `keras.Model` or `keras.layers.Layer`. If its layers change, by quantization
            or LoRA, make another meter.
        tolerance: float in [0, 1].
        reader: `compiled_counting.CompiledReader`, where it measures again and again; None: NumPy
            counts.
    Raises: TypeError or ValueError as `sparsity` says.
    """

    def __init__(self, model: Any, tolerance: float = 0.0, reader: Any = None):
        self.tolerance = check_tolerance(tolerance)
        self.analysis = analyze(model)
        self._model = model
        self._terms = penalties.terms_of(model)
        lacking = penalties.lacking_zeros(self._terms)
        self._hinted = [one for one in self.analysis.kernels if id(one.variable) in lacking]
        self._tolerances = [
            tolerance or _HINT_TOLERANCE * (id(kernel.variable) in lacking)
            for kernel in self.analysis.kernels
        ]
        self._reader = reader and reader(self.analysis, self._tolerances)
        self._wiring: Wiring | None = None
        self._unknown = ""
        self._first_zero: dict[str, dict[str, np.ndarray]] = {}
        self._measures = 0
        self._has_warned = False

    def measure(self, gradients: Any = None) -> SparsityTable:
        """Reads the weights as they are now."""
        reader = self._reader
        reading = reader.read() if reader else read_once(self.analysis, self._tolerances)
        of_penalties = penalties.penalty_values(self._terms, is_compiled=reader is not None)
        hint = self._hint(reading)
        self._remember(reading)
        if not self.tolerance:  # What was near zero is of the hint alone.
            kernels = {key: counts._replace(near=0) for key, counts in reading.kernels.items()}
            reading = reading._replace(kernels=kernels)
        left = self._left(reading)
        table = table_of(self.analysis, reading, self.tolerance, of_penalties, hint, left)
        self._warn(table)
        return table if gradients is None else self._with_stationarity(table, gradients)

    def first_zero(self) -> dict[str, dict[str, np.ndarray]]:
        """For each row the measure, from 0, in which each group was first all zero; -1: in none."""
        return self._first_zero

    def _remember(self, reading: Reading) -> None:
        """Notes the groups that are zero now and were not before."""
        for kernel, counts in zip(self.analysis.kernels, reading.kernels.values(), strict=True):
            sides = {"inputs": counts.inputs, "outputs": counts.outputs}
            never = {side: np.full(len(alive), -1) for side, alive in sides.items()}
            known = self._first_zero.setdefault(kernel.path, never)
            for side, alive in sides.items():
                known[side][(known[side] < 0) & ~alive] = self._measures
        self._measures += 1

    def _hint(self, reading: Reading) -> str | None:
        counts = [reading.kernels[id(kernel.variable)] for kernel in self._hinted]
        size, near = sum(kernel.size for kernel in self._hinted), sum(one.near for one in counts)
        has_zeros = sum(one.alive for one in counts) < size
        is_due = bool(counts) and not has_zeros and near >= _HINT_SHARE * size
        return _HINT.format(share=near / size) if is_due else None

    def _left(self, reading: Reading) -> Entries | str:
        """What is left without the channels that do nothing, or why that is not known.

        Without a row, column or scale that is zero all of them do something, and the graph of the
        model is not read.
        """
        sides = [side for one in reading.kernels.values() for side in (one.inputs, one.outputs)]
        scales = [reading.vectors[id(v)] for v in self.analysis.vectors if v.name == "gamma"]
        if all(flags.all() for flags in (*sides, *scales)):
            return Entries({}, None)
        if self._wiring is None and not self._unknown:
            try:
                self._wiring = Wiring(self._model)
            except Exception as error:  # What the code of a user's model raises is not known here.
                self._unknown = f"{error}" or type(error).__name__
        return self._wiring.left(values) if self._wiring else self._unknown

    def _warn(self, table: SparsityTable) -> None:
        bad = [row.path for row in table if row.invalid]
        if bad and not self._has_warned:
            self._has_warned = True
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            warnings.warn(
                f"{table.invalid:,} weights are NaN or infinite, in {bad[0]}{more}", stacklevel=4
            )

    def _with_stationarity(self, table: SparsityTable, gradients: Any) -> SparsityTable:
        given = _by_variable(self._model, gradients)
        found = {
            term.key: penalties.distance(term, given[term.key])
            for term in self._terms
            if term.key in given
        }
        rows = []
        for row, kernel in zip(table, self.analysis.kernels, strict=True):
            distance, accidental = found.get(id(kernel.variable)) or (None, None)
            rows.append(dataclasses.replace(row, stationarity=distance, accidental=accidental))
        return dataclasses.replace(table, rows=tuple(rows))


def check_tolerance(tolerance: float) -> float:
    """Returns a valid tolerance. Raises: ValueError if it is not in [0, 1].

    Example:
        >>> check_tolerance(0.5)
        0.5
    """
    is_number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if not is_number or not 0.0 <= tolerance <= 1.0:
        raise ValueError(f"Expected a `tolerance` in [0, 1]. Received: tolerance={tolerance!r}")
    return tolerance


def _by_variable(model: Any, gradients: Any) -> dict[int, Any]:
    variables = list(model.trainable_weights)
    if isinstance(gradients, dict):
        found = structure.match([re.escape(path) for path in gradients], variables)
        named = [(v, given) for path, given in gradients.items() for v in found[re.escape(path)]]
    elif len(gradients) != len(variables):
        raise ValueError(
            f"Expected a gradient for each of {len(variables)} trainable weights. "
            f"Received: {len(gradients)}"
        )
    else:
        named = list(zip(variables, gradients, strict=True))
    present = [(v, given) for v, given in named if given is not None]
    wrong = [
        f"{structure.path_of(v)}: {tuple(getattr(given, 'shape', ()))} for {tuple(v.shape)}"
        for v, given in present
        if tuple(getattr(given, "shape", ())) != tuple(v.shape)
    ]
    if wrong:
        raise ValueError(
            f"Expected gradients of the shapes of their weights. Received: {', '.join(wrong)}"
        )
    return {id(v): given for v, given in present}
