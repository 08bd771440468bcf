"""sparsity(model): what is exactly zero, as a table."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from keras_reg import structure
from keras_reg.ops.backend import compiled, read
from keras_reg.ops.counts import zero_counts


@dataclasses.dataclass(frozen=True)
class WeightSparsity:
    """One row of a `SparsityTable`: a weight and its exact zeros.

    Args:
        path: str. The variable's path.
        shape: tuple of ints.
        zeros: int. Exact zeros.
        zero_inputs: int. Slices along axis -2 (inputs, channels, rows) that are all zero.
        zero_outputs: int. Slices along axis -1 (units, filters, columns) that are all zero.
    """

    path: str
    shape: tuple[int, ...]
    zeros: int
    zero_inputs: int
    zero_outputs: int

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def sparsity(self) -> float:
        """Fraction of exact zeros."""
        return self.zeros / self.size if self.size else 0.0


@dataclasses.dataclass(frozen=True)
class SparsityTable:
    """What `sparsity(model)` returns: a row for each kernel, and totals. `print` draws it.

    Args:
        rows: tuple of `WeightSparsity`.

    Example:
        >>> row = WeightSparsity("dense/kernel", (4, 2), zeros=6, zero_inputs=3, zero_outputs=0)
        >>> SparsityTable((row,)).sparsity
        0.75
    """

    rows: tuple[WeightSparsity, ...]

    @property
    def size(self) -> int:
        """Number of weights in all rows."""
        return sum(row.size for row in self.rows)

    @property
    def zeros(self) -> int:
        """Exact zeros in all rows."""
        return sum(row.zeros for row in self.rows)

    @property
    def sparsity(self) -> float:
        """Fraction of exact zeros over all rows."""
        return self.zeros / self.size if self.size else 0.0

    def __iter__(self) -> Iterator[WeightSparsity]:
        return iter(self.rows)

    def __getitem__(self, path: str) -> WeightSparsity:
        for row in self.rows:
            if row.path == path:
                return row
        raise KeyError(f"{path!r}; the rows are {[row.path for row in self.rows]}")

    def __rich__(self) -> Table:
        table = Table(
            title="Exact zeros, and inputs and outputs that are all zero", box=SIMPLE_HEAD
        )
        table.add_column("weight", overflow="fold", ratio=1)
        for name in ("size", "zeros", "sparsity", "inputs", "outputs"):
            table.add_column(name, justify="right")
        for row in self.rows:
            table.add_row(
                row.path,
                f"{row.size:,}",
                f"{row.zeros:,}",
                f"{row.sparsity:.1%}",
                f"{row.zero_inputs}/{row.shape[-2]}",
                f"{row.zero_outputs}/{row.shape[-1]}",
            )
        table.add_section()
        table.add_row("total", f"{self.size:,}", f"{self.zeros:,}", f"{self.sparsity:.1%}", "", "")
        return table

    def __str__(self) -> str:
        console = Console(width=80, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()


def sparsity(model: keras.Model) -> SparsityTable:
    """Counts the exact zeros of every kernel and embedding matrix of a model, frozen ones too.

    Biases, normalization and counters are left out: their zeros are starting values, not sparsity.
    The counting runs on the device, compiled; three numbers for each weight come back.

    Args:
        model: a built `keras.Model` or `keras.layers.Layer`.

    Returns:
        A `SparsityTable`.

    Raises:
        ValueError: if the model is not built or has no kernel.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> _ = model.layers[0].kernel.assign([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
        >>> table = sparsity(model)
        >>> table.zeros, table.size, table.rows[0].zero_inputs, table.rows[0].zero_outputs
        (4, 6, 1, 0)
    """
    if not model.built:
        raise ValueError(
            f"Expected a built model: call it on data, or `build` it. Received: {model.name}, "
            "which has no weights yet"
        )
    kernels = [variable for variable in model.weights if structure.is_kernel(variable)]
    if not kernels:
        raise ValueError(
            "Expected a model with a kernel or an embedding matrix. Received: "
            f"{model.name} with weights {[weight.path for weight in model.weights]}"
        )
    counts = keras.ops.convert_to_numpy(_count([read(kernel) for kernel in kernels])).tolist()
    return SparsityTable(
        tuple(
            WeightSparsity(kernel.path, tuple(kernel.shape), *row)
            for kernel, row in zip(kernels, counts, strict=True)
        )
    )


def _count_all(weights: list[Any]) -> Any:
    return keras.ops.stack([zero_counts(weight) for weight in weights])


_count = compiled(_count_all)
