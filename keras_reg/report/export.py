"""Tables as dicts, JSON and CSV, and back."""

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

from keras_reg.report.rows import LayerSparsity, WeightSparsity

# In CSV a field that is a tuple or a dict is written as JSON.
_COLUMNS = [field.name for field in dataclasses.fields(WeightSparsity)]


def to_dict(table: Any) -> dict[str, Any]:
    """A table as plain numbers, strings, lists and dicts."""
    values = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    for name in ("rows", "layers"):
        values[name] = [_plain(row) for row in values[name]]
    return values


def from_dict(values: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the table that `to_dict` wrote."""
    rows = tuple(WeightSparsity(**{**row, "shape": tuple(row["shape"])}) for row in values["rows"])
    layers = tuple(
        LayerSparsity(**{**layer, "weights": tuple(layer["weights"])}) for layer in values["layers"]
    )
    return {**values, "rows": rows, "layers": layers}


def to_json(table: Any, path: str | Path | None = None) -> str:
    """A table as JSON, also written to a file if one is named."""
    return _written(json.dumps(to_dict(table), indent=1), path)


def from_json(text: str | Path) -> dict[str, Any]:
    """The arguments of the table in a JSON text or file."""
    return from_dict(json.loads(_read(text)))


def to_csv(table: Any, path: str | Path | None = None) -> str:
    """The rows of a table as CSV, also written to a file if one is named."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        # An empty field is None; JSON writes floats so that they come back the same.
        writer.writerow(
            {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in _plain(row).items()
                if value is not None
            }
        )
    return _written(buffer.getvalue(), path)


def from_csv(text: str | Path) -> tuple[WeightSparsity, ...]:
    """The rows in a CSV text or file."""
    rows = []
    for line in csv.DictReader(io.StringIO(_read(text))):
        path = line.pop("path")
        values = {name: json.loads(field) for name, field in line.items() if field}
        rows.append(WeightSparsity(**{**values, "path": path, "shape": tuple(values["shape"])}))
    return tuple(rows)


def _plain(row: Any) -> dict[str, Any]:
    values = dataclasses.asdict(row)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _read(text: str | Path) -> str:
    return text.read_text(encoding="utf-8") if isinstance(text, Path) else text
