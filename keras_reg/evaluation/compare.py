"""compare(models, x, y): one table of what each model gained and what it costs."""

import csv
import dataclasses
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table

from keras_reg.evaluation.cost import file_size, latencies
from keras_reg.evaluation.exported import ExportCheck, check_exports, check_format
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
        exports: dict from a format to the `ExportCheck` of the model's file in it; empty unless
            formats were asked for.
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
    exports: dict[str, ExportCheck] = dataclasses.field(default_factory=dict)


# A column's heading, and what it shows of a row.
_COLUMNS: dict[str, Callable[[ModelResult], str]] = {
    "parameters": lambda row: _count(row.parameters),
    "zeros": lambda row: f"{row.sparsity:.1%}",
    "multiply-adds": lambda row: _count(row.macs),
    "left": lambda row: _count(row.macs_left),
    "file": lambda row: f"{row.file_size / 1024:,.1f} KiB",
    "latency": lambda row: f"{1e3 * row.latency:.2f} ms",
}
_EXPORT_COLUMNS: dict[str, Callable[[ExportCheck], str]] = {
    "file": lambda check: f"{check.size / 1024:,.1f} KiB",
    "zipped": lambda check: f"{check.zipped / 1024:,.1f} KiB",
    "latency": lambda check: f"{1e3 * check.latency:.3f} ms",
    "difference": lambda check: f"{check.difference:.1g}",
    "operations": lambda check: f"{check.operations:,}",
    "of keras_reg": lambda check: ", ".join(check.left) or "nothing",
}
# What a terminal of 80 columns has place for.
_SHORT = {
    "parameters": "params",
    "multiply-adds": "MACs",
    "operations": "ops",
    "of keras_reg": "keras_reg",
}


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

    def export_cells(self, format: str) -> list[list[str]]:  # noqa: A002
        """The table of the files of one format as text: the headings, then a line for each model.

        "difference" is the largest of the file's outputs from the model's, "of keras_reg" what is
        left of this package in the file.
        """
        lines = [
            [row.name, *(show(row.exports[format]) for show in _EXPORT_COLUMNS.values())]
            for row in self.rows
        ]
        return [["model", *_EXPORT_COLUMNS], *lines]

    def to_dict(self) -> list[dict[str, Any]]:
        """A dict of plain numbers for each row."""
        return [dataclasses.asdict(row) for row in self.rows]

    def to_csv(self, path: str | None = None) -> str:
        """The rows as CSV with plain numbers, also written to `path` if one is given."""
        flat = []
        for row in self.to_dict():
            scores, gaps, exports = row.pop("scores"), row.pop("gaps"), row.pop("exports")
            named = {f"{name} gap": value for name, value in gaps.items()}
            files = {
                f"{name} {figure}": check[figure]
                for name, check in exports.items()
                for figure in ("size", "zipped", "latency", "difference", "operations")
            }
            flat.append({"name": row.pop("name"), **scores, **named, **row, **files})
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        if path is not None:
            with open(path, "w", newline="") as file:
                file.write(text.getvalue())
        return text.getvalue()

    def _tables(self) -> list[tuple[str | None, list[list[str]]]]:
        """Titles and cells: the models, then their files in each format."""
        exports = {
            f"{name}, batch {check.batch}, threads: {check.threads or 'its own choice'}": name
            for name, check in self.rows[0].exports.items()
        }
        return [
            (None, self.cells()),
            *((title, self.export_cells(name)) for title, name in exports.items()),
        ]

    def __rich__(self) -> Group:
        return Group(*(_drawn(title, cells) for title, cells in self._tables()))

    def _repr_html_(self) -> str:
        return "".join(_as_html(title, cells) for title, cells in self._tables())

    def __str__(self) -> str:
        console = Console(width=120, color_system=None, force_jupyter=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get().rstrip()


def _drawn(title: str | None, cells: list[list[str]]) -> Table:
    headings, *lines = cells
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(_SHORT.get(heading, heading), justify="right", overflow="fold")
    for line in lines:
        table.add_row(*line)
    return table


def _as_html(title: str | None, cells: list[list[str]]) -> str:
    headings, *lines = ([html.escape(cell) for cell in line] for line in cells)
    caption = "" if title is None else f"<caption>{html.escape(title)}</caption>"
    head = "".join(f"<th>{cell}</th>" for cell in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines
    )
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def compare(
    models: Mapping[str, keras.Model],
    x: Any,
    y: Any,
    metrics: Sequence[Metric],
    training: tuple[Any, Any] | None = None,
    batch_size: int = 32,
    formats: str | Sequence[str] = (),
) -> Comparison:
    """Measures models side by side: scores, gap, zeros, multiply-adds, size and time.

    With `formats`, each model is exported too, and its file is run by the format's own runtime on
    the same batch, as by `check_export`: a table for each format has size, latency, the largest
    difference from the model, and the number of operations. Latencies are medians of calls that
    take turns among the models.

    Args:
        models: dict from names to built models with one output.
        x: inputs to compare on: an array, or a list or dict of arrays.
        y: targets: class numbers, one-hot rows or values.
        metrics: names among "accuracy", "precision", "recall", "f1", "roc_auc", "mse", "mae" and
            "r2", or functions of (targets, outputs). Outputs may be logits or probabilities.
        training: (x, y) the models were trained on, or None. With it, each score's generalization
            gap: that on the training data less that on `x` and `y`.
        batch_size: int. Examples in the prediction whose time is taken.
        formats: str or sequence of str. Formats of `keras.Model.export`, such as "onnx" or
            "litert"; `check_export` says which backend exports what.

    Returns:
        A `Comparison`.

    Raises:
        TypeError: if one is no model.
        ValueError: if there is no model, one is not built, a metric or a format is not known, or
            the format is not exported on this backend.
        ImportError: if scikit-learn, or what exports or runs a format, is missing.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> x, y = np.ones((4, 3), "float32"), np.zeros(4, int)
        >>> table = compare({"plain": model}, x, y, metrics=["accuracy"])
        >>> table["plain"].parameters, table["plain"].macs
        (8, 6)
    """
    if not isinstance(models, Mapping) or not models:
        raise ValueError(f"Expected a dict from names to models. Received: models={models!r:.200}")
    for model in models.values():
        check_built(model)
    checked = check_metrics(metrics)
    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    for format_ in formats:
        check_format(format_)
    batch = keras.tree.map_structure(lambda array: array[:batch_size], x)
    seconds = latencies(models, batch)
    exports = {format_: check_exports(models, format_, batch) for format_ in formats}
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
                seconds[name],
                {format_: checks[name] for format_, checks in exports.items()},
            )
        )
    return Comparison(tuple(rows))


def _scores(model: keras.Model, x: Any, y: Any, metrics: tuple[Metric, ...]) -> dict[str, float]:
    outputs = model.predict(x, verbose=0)
    return {name_of(metric): score(metric, y, outputs) for metric in metrics}


def _count(number: int | None) -> str:
    """A number; millions in short, so that a line has place in 80 columns."""
    if number is None:
        return "unknown"
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.2f}M"
