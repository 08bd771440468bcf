"""SparsityTable: what `sparsity(model)` returns."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group

from keras_reg.report import rendering
from keras_reg.report.analysis import Analysis, Layer
from keras_reg.report.counting import Reading, alive_units
from keras_reg.report.export import Exported, read_entries
from keras_reg.report.rows import LayerSparsity, WeightSparsity, fraction, row_of
from keras_reg.structure.channels.left import Entries
from keras_reg.structure.graph import product, total


@dataclasses.dataclass(frozen=True)
class SparsityTable(Exported):
    """What `sparsity(model)` returns: a row for each kernel, and totals. `print` draws it.

    Args:
        rows: tuple of `WeightSparsity`.
        layers: tuple of `LayerSparsity`.
        tolerance: float. What counts as near zero: |w| <= tolerance * max|w|, and not zero.
        penalty: float or None. Value of all penalties, of those on biases too.
        hint: str or None. What may help: that an L1 in the loss makes no exact zeros.
        compact_parameters: int or None. Parameters left without the channels that do nothing.
        compact_macs: int or None. Multiply-adds left without them.
        each_alone: str or None. Why channels are not known, so that zero groups are counted in each
            weight by itself.

    Example:
        >>> row = WeightSparsity("dense/kernel", (4, 2), zeros=6, zero_inputs=3, zero_outputs=0)
        >>> SparsityTable((row,)).sparsity
        0.75
    """

    tolerance: float = 0.0
    penalty: float | None = None
    hint: str | None = None
    compact_parameters: int | None = None
    compact_macs: int | None = None
    each_alone: str | None = None

    @property
    def size(self) -> int:
        """Number of weights in all rows."""
        return sum(row.size for row in self.rows)

    @property
    def zeros(self) -> int:
        """Exact zeros in all rows."""
        return sum(row.zeros for row in self.rows)

    @property
    def near_zeros(self) -> int:
        """Weights in all rows that are near zero, without exact zeros."""
        return sum(row.near_zeros for row in self.rows)

    @property
    def invalid(self) -> int:
        """Weights in all rows that are NaN or infinite."""
        return sum(row.invalid for row in self.rows)

    @property
    def sparsity(self) -> float:
        """Fraction of exact zeros over all rows."""
        return fraction(self.zeros, self.size)

    @property
    def group_sparsity(self) -> float:
        """Fraction of groups, by input and by output, over all rows, that are all zero."""
        zero = sum(row.zero_inputs + row.zero_outputs for row in self.rows)
        return fraction(zero, sum(row.inputs + row.outputs for row in self.rows))

    @property
    def parameters(self) -> int:
        """All parameters of the layers: those in rows, biases, normalization and counters."""
        return sum(layer.parameters for layer in self.layers) if self.layers else self.size

    @property
    def parameters_left(self) -> int | None:
        """Parameters left if the channels that do nothing were removed, with all that reads them.

        What does nothing is constant, or not read by anything that stays: weights of the layer that
        makes it and of its normalization are counted together with biases and all readers. Where
        `each_alone` says why channels are not known, zero groups are left out of each weight by
        itself.
        """
        if self.compact_parameters is not None:
            return self.compact_parameters
        left = total([row.left for row in self.rows])
        return None if left is None else self.parameters - self.size + left

    @property
    def macs(self) -> int | None:
        """Multiply-adds for one example; None if those of a layer with weights are not known."""
        return total([layer.macs for layer in self.layers]) if self.layers else None

    @property
    def macs_left(self) -> int | None:
        """Multiply-adds left if the same were removed; None if those of a layer are not known."""
        if self.compact_parameters is not None:
            return self.compact_macs
        return total([layer.macs_left for layer in self.layers]) if self.layers else None

    @property
    def dead_units(self) -> int:
        """Units and channels of which nothing is left, over all layers."""
        return sum(layer.dead_units for layer in self.layers)

    @property
    def churn(self) -> float | None:
        """Fraction of weights that became zero or ceased to be since the last report."""
        if any(row.churn is None for row in self.rows):
            return None
        return fraction(round(sum((row.churn or 0.0) * row.size for row in self.rows)), self.size)

    def logs(self, per_weight: bool = False) -> dict[str, float]:
        """The figures that `SparsityReport` puts into the logs.

        Args:
            per_weight: bool. Whether `sparsity/<path>` of each row is among them.

        Example:
            >>> SparsityTable((WeightSparsity("kernel", (4, 2), 6, 3, 0),)).logs(per_weight=True)
            {'sparsity': 0.75, 'group_sparsity': 0.5, 'penalty': 0.0, 'sparsity/kernel': 0.75}
        """
        figures = {
            "sparsity": self.sparsity,
            "group_sparsity": self.group_sparsity,
            "penalty": self.penalty or 0.0,
        }
        both = {"parameters_left": self.parameters_left, "macs_left": self.macs_left}
        figures |= {name: float(value) for name, value in both.items() if value is not None}
        rows = self.rows if per_weight else ()
        return {**figures, **{f"sparsity/{row.path}": row.sparsity for row in rows}}

    def with_churn(self, churn: dict[str, float | None]) -> "SparsityTable":
        """The table with the churn of each row taken from `churn`, by path."""
        rows = (dataclasses.replace(row, churn=churn.get(row.path)) for row in self.rows)
        return dataclasses.replace(self, rows=tuple(rows))

    def __iter__(self) -> Iterator[WeightSparsity]:
        return iter(self.rows)

    def __getitem__(self, path: str) -> WeightSparsity:
        for row in self.rows:
            if row.path == path:
                return row
        raise KeyError(f"{path!r}; the rows are {[row.path for row in self.rows]}")

    def __rich__(self) -> Group:
        return rendering.text(self)

    def _repr_html_(self) -> str:
        return rendering.html(self)

    def __str__(self) -> str:
        console = Console(width=80, color_system=None, force_jupyter=False)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def table_of(
    analysis: Analysis,
    reading: Reading,
    tolerance: float,
    penalties: dict[int, float],
    hint: str | None,
    left: Entries | str,
) -> SparsityTable:
    """The table of what was read in a model.

    Args:
        analysis: what is in the model.
        reading: what was counted.
        tolerance: float.
        penalties: the value of the penalties on each variable, by its `id`.
        hint: str or None.
        left: what is left without the channels that do nothing, or why that is not known.
    """
    rows = {
        id(kernel.variable): dataclasses.replace(
            row_of(kernel, reading.kernels[id(kernel.variable)]),
            penalty=penalties.get(id(kernel.variable)),
        )
        for kernel in analysis.kernels
    }
    layers = tuple(_layer(layer, rows, reading, penalties) for layer in analysis.layers)
    value = sum(penalties.values()) if penalties else None
    table = SparsityTable(tuple(rows.values()), layers, tolerance, value, hint)
    if isinstance(left, str):
        return dataclasses.replace(table, each_alone=left)
    return _compact(table, analysis, left)


def _compact(table: SparsityTable, analysis: Analysis, left: Entries) -> SparsityTable:
    """The table with what is left of all layers together."""
    owned = [variable for layer in analysis.layers for variable in layer.variables]
    sizes = {id(variable): math.prod(variable.shape) for variable in owned}
    entries = {**sizes, **left.entries}
    rows = total([row.macs_left for row in table.rows])
    layers = total([layer.macs_left for layer in table.layers])
    scores = None if rows is None or layers is None else layers - rows
    if scores is not None and left.scores is not None:
        scores = left.scores
    of_kernels = [product((entries[id(one.variable)], one.uses)) for one in analysis.kernels]
    return dataclasses.replace(
        table,
        compact_parameters=sum(entries[key] for key in sizes),
        compact_macs=total([*of_kernels, scores]),
    )


def _layer(layer: Layer, all_rows: dict, reading: Reading, penalties: dict) -> LayerSparsity:
    rows = [all_rows[id(variable)] for variable in layer.variables if id(variable) in all_rows]
    values = [penalties[id(v)] for v in layer.variables if id(v) in penalties]
    units, heads = (sum(one.number for one in some) for some in (layer.units, layer.heads))
    alive, alive_heads = (
        sum(alive_units(one, reading) for one in some) for some in (layer.units, layer.heads)
    )
    parameters = sum(math.prod(variable.shape) for variable in layer.variables)
    size = sum(row.size for row in rows)
    left = total([row.left for row in rows])
    # Without heads there are no scores, known or not.
    scores, scores_left = (product((layer.scores, n)) if heads else 0 for n in (heads, alive_heads))
    return LayerSparsity(
        layer.path,
        layer.kind,
        weights=tuple(row.path for row in rows),
        parameters=parameters,
        size=size,
        zeros=sum(row.zeros for row in rows),
        left=None if left is None else parameters - size + left,
        units=units,
        dead_units=units - alive,
        heads=heads,
        zero_heads=heads - alive_heads,
        macs=total([*(row.macs for row in rows), scores]),
        macs_left=total([*(row.macs_left for row in rows), scores_left]),
        penalty=sum(values) if values else None,
    )


def read_lines(path: str | Path) -> dict[str, list[Any]]:
    """Reads a file of `SparsityReport(path=...)`, in the form of Keras's `History.history`.

    A last line that a killed run left unfinished is dropped. Where a run was resumed, the lines of
    the same epoch and batch that came last count.

    Args:
        path: the file.

    Returns:
        A dict with `epoch`, `batch` (None at the end of an epoch), `table`, each a list with an
        entry for every measure, and the figures, those of each weight too, and other logs by name.

    Raises:
        ValueError: if a line is something else.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        ...     _ = file.write('{"epoch": 0, "ba')
        ...     file.flush()
        ...     read_lines(file.name)["epoch"]
        []
    """
    entries = list(read_entries(path).values())
    tables = [SparsityTable._from(entry["table"], entry["place"]) for entry in entries]
    history: dict[str, list[Any]] = {
        name: [entry[name] for entry in entries] for name in ("epoch", "batch")
    }
    history["table"] = tables
    both = zip(entries, tables, strict=True)
    logs = [{**entry["logs"], **table.logs(per_weight=True)} for entry, table in both]
    for name in dict.fromkeys(name for entry in logs for name in entry):
        history[name] = [entry.get(name) for entry in logs]
    return history
