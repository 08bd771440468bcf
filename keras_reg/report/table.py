"""SparsityTable: what `sparsity(model)` returns."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group

from keras_reg.report import draw, export, html
from keras_reg.report.rows import LayerSparsity, WeightSparsity, fraction, total


@dataclasses.dataclass(frozen=True)
class SparsityTable:
    """What `sparsity(model)` returns: a row for each kernel, and totals. `print` draws it.

    Args:
        rows: tuple of `WeightSparsity`.
        layers: tuple of `LayerSparsity`.
        tolerance: float. What counts as near zero: |w| <= tolerance * max|w|, and not zero.
        penalty: float or None. Value of all penalties, of those on biases too.
        hint: str or None. What may help: that an L1 in the loss makes no exact zeros.

    Example:
        >>> row = WeightSparsity("dense/kernel", (4, 2), zeros=6, zero_inputs=3, zero_outputs=0)
        >>> SparsityTable((row,)).sparsity
        0.75
    """

    rows: tuple[WeightSparsity, ...]
    layers: tuple[LayerSparsity, ...] = ()
    tolerance: float = 0.0
    penalty: float | None = None
    hint: str | None = None

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
        """Parameters left if the zero groups were removed, from each weight by itself.

        What a removal would entail elsewhere, in biases and in the next layer, is not counted.
        """
        left = total([row.left for row in self.rows])
        return None if left is None else self.parameters - self.size + left

    @property
    def macs(self) -> int | None:
        """Multiply-adds for one example; None if those of a layer with weights are not known."""
        return total([layer.macs for layer in self.layers]) if self.layers else None

    @property
    def macs_left(self) -> int | None:
        """Multiply-adds left if the zero groups were removed, from each weight by itself."""
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

    def logs(self) -> dict[str, float]:
        """The figures that `SparsityReport` puts into the logs.

        Example:
            >>> SparsityTable((WeightSparsity("kernel", (4, 2), 6, 3, 0),)).logs()
            {'sparsity': 0.75, 'group_sparsity': 0.5, 'penalty': 0.0, 'sparsity/kernel': 0.75}
        """
        figures = {
            "sparsity": self.sparsity,
            "group_sparsity": self.group_sparsity,
            "penalty": self.penalty or 0.0,
        }
        return {**figures, **{f"sparsity/{row.path}": row.sparsity for row in self.rows}}

    def with_churn(self, churn: dict[str, float | None]) -> "SparsityTable":
        """The table with the churn of each row taken from `churn`, by path."""
        rows = (dataclasses.replace(row, churn=churn.get(row.path)) for row in self.rows)
        return dataclasses.replace(self, rows=tuple(rows))

    def to_dict(self) -> dict[str, Any]:
        """The table as plain numbers, strings, lists and dicts."""
        return export.to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SparsityTable":
        """The table that `to_dict` wrote."""
        return cls(**export.from_dict(values))

    def to_json(self, path: str | Path | None = None) -> str:
        """The table as JSON, which is also written to `path` if one is given."""
        return export.to_json(self, path)

    @classmethod
    def from_json(cls, text: str | Path) -> "SparsityTable":
        """The table that `to_json` wrote: its text, or the `Path` of its file."""
        return cls(**export.from_json(text))

    def to_csv(self, path: str | Path | None = None) -> str:
        """The rows as CSV, one line for each weight, also written to `path` if one is given."""
        return export.to_csv(self, path)

    @classmethod
    def from_csv(cls, text: str | Path) -> "SparsityTable":
        """The rows that `to_csv` wrote: its text, or the `Path` of its file. It has no layers."""
        return cls(export.from_csv(text))

    def __iter__(self) -> Iterator[WeightSparsity]:
        return iter(self.rows)

    def __getitem__(self, path: str) -> WeightSparsity:
        for row in self.rows:
            if row.path == path:
                return row
        raise KeyError(f"{path!r}; the rows are {[row.path for row in self.rows]}")

    def __rich__(self) -> Group:
        return draw.table(self)

    def _repr_html_(self) -> str:
        return html.table(self)

    def __str__(self) -> str:
        console = Console(width=80, color_system=None, force_jupyter=False)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())
