"""compare(models, x, y): one table of what each model gained and what it costs."""

import csv
import dataclasses
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import keras
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from keras_reg.evaluation.cost import file_size, latency
from keras_reg.evaluation.scores import Metric, check_metrics, name_of, score
from keras_reg.report import sparsity
from keras_reg.report.analysis import check_built


@dataclasses.dataclass(frozen=True)
class ModelResult:
    """One row of a `Comparison`.

    Args:
        name: str. The model's name in the comparison.
        scores: dict from a metric's name to its value on the data compared on.
        gaps: dict from a metric's name to its value on the training data less that; empty without
            training data.
        parameters: int. All parameters.
        zeros: int. Exact zeros in kernels and embeddings.
        sparsity: float. Their fraction.
        macs: int or None. Multiply-adds for one example; None if they are not known.
        macs_left: int or None. Those left if the zero groups were removed.
        file_size: int. Bytes of the zipped `.keras` file without the optimizer.
        latency: float. Median seconds of a prediction, after a warm-up.
    """

    name: str
    scores: dict[str, float]
    gaps: dict[str, float]
    parameters: int
    zeros: int
    sparsity: float
    macs: int | None
    macs_left: int | None
    file_size: int
    latency: float


# A column's heading, and what it shows of a row.
_COLUMNS: dict[str, Callable[[ModelResult], str]] = {
    "parameters": lambda row: f"{row.parameters:,}",
    "zeros": lambda row: f"{row.sparsity:.1%}",
    "multiply-adds": lambda row: _count(row.macs),
    "left": lambda row: _count(row.macs_left),
    "file": lambda row: f"{row.file_size / 1024:,.1f} KiB",
    "latency": lambda row: f"{1e3 * row.latency:.2f} ms",
}
# What a terminal of 80 columns has place for.
_SHORT = {"parameters": "params", "multiply-adds": "MACs"}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` returns: a row for each model. `print` draws it, and so does a notebook.

    Args:
        rows: tuple of `ModelResult`.
    """

    rows: tuple[ModelResult, ...]

    def __getitem__(self, name: str) -> ModelResult:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r}; the models are {[row.name for row in self.rows]}")

    def cells(self) -> list[list[str]]:
        """The table as text: the headings, then a line for each model."""
        metrics, gaps = list(self.rows[0].scores), list(self.rows[0].gaps)
        headings = ["model", *metrics, *(f"{name} gap" for name in gaps), *_COLUMNS]
        lines = [
            [
                row.name,
                *(f"{row.scores[name]:.4g}" for name in metrics),
                *(f"{row.gaps[name]:+.3g}" for name in gaps),
                *(show(row) for show in _COLUMNS.values()),
            ]
            for row in self.rows
        ]
        return [headings, *lines]

    def to_dict(self) -> list[dict[str, Any]]:
        """A dict of plain numbers for each row."""
        return [dataclasses.asdict(row) for row in self.rows]

    def to_csv(self, path: str | None = None) -> str:
        """The rows as CSV with plain numbers, also written to `path` if one is given."""
        flat = []
        for row in self.to_dict():
            scores, gaps = row.pop("scores"), row.pop("gaps")
            named = {f"{name} gap": value for name, value in gaps.items()}
            flat.append({"name": row.pop("name"), **scores, **named, **row})
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        if path is not None:
            with open(path, "w", newline="") as file:
                file.write(text.getvalue())
        return text.getvalue()

    def __rich__(self) -> Table:
        headings, *lines = self.cells()
        table = Table(box=SIMPLE_HEAD)
        table.add_column(headings[0], overflow="fold")
        for heading in headings[1:]:
            table.add_column(_SHORT.get(heading, heading), justify="right", overflow="fold")
        for line in lines:
            table.add_row(*line)
        return table

    def _repr_html_(self) -> str:
        headings, *lines = ([html.escape(cell) for cell in line] for line in self.cells())
        head = "".join(f"<th>{cell}</th>" for cell in headings)
        body = "".join(
            "<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __str__(self) -> str:
        console = Console(width=120, color_system=None, force_jupyter=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()


def compare(
    models: dict[str, keras.Model],
    x: Any,
    y: Any,
    metrics: Sequence[Metric],
    training: tuple[Any, Any] | None = None,
    batch_size: int = 32,
) -> Comparison:
    """Measures models side by side: scores, gap, zeros, multiply-adds, size and time.

    Args:
        models: dict from names to built models with one output.
        x: inputs to compare on: an array, or a list or dict of arrays.
        y: targets: class numbers, one-hot rows or values.
        metrics: names among "accuracy", "precision", "recall", "f1", "roc_auc", "mse", "mae" and
            "r2", or functions of (targets, outputs). Outputs may be logits or probabilities.
        training: (x, y) the models were trained on, or None. With it, each score's generalization
            gap: that on the training data less that on `x` and `y`.
        batch_size: int. Examples in the prediction whose time is taken.

    Returns:
        A `Comparison`.

    Raises:
        TypeError: if one is no model.
        ValueError: if there is no model, one is not built, or a metric is not known.
        ImportError: if scikit-learn is missing.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> x, y = np.ones((4, 3), "float32"), np.zeros(4, int)
        >>> table = compare({"plain": model}, x, y, metrics=["accuracy"])
        >>> table["plain"].parameters, table["plain"].macs
        (8, 6)
    """
    if not isinstance(models, dict) or not models:
        raise ValueError(f"Expected a dict from names to models. Received: models={models!r}")
    for model in models.values():
        check_built(model)
    checked = check_metrics(metrics)
    batch = keras.tree.map_structure(lambda array: array[:batch_size], x)
    rows = []
    for name, model in models.items():
        table = sparsity(model)
        scores = _scores(model, x, y, checked)
        trained = {} if training is None else _scores(model, *training, checked)
        rows.append(
            ModelResult(
                name,
                scores,
                {metric: value - scores[metric] for metric, value in trained.items()},
                model.count_params(),
                table.zeros,
                table.sparsity,
                table.macs,
                table.macs_left,
                file_size(model),
                latency(model, batch),
            )
        )
    return Comparison(tuple(rows))


def _scores(model: keras.Model, x: Any, y: Any, metrics: tuple[Metric, ...]) -> dict[str, float]:
    outputs = model.predict(x, verbose=0)
    return {name_of(metric): score(metric, y, outputs) for metric in metrics}


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
