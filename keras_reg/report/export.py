"""Tables as dicts, JSON, CSV and the lines of `SparsityReport(path=...)`, and back."""

import csv
import dataclasses
import io
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from keras_reg.report.rows import LayerSparsity, WeightSparsity

# How each line of a log starts.
LINE_START = '{"epoch": '


@dataclasses.dataclass(frozen=True)
class Exported:
    """Rows and layers, which can be written and read again with all that a table has besides.

    Args:
        rows: tuple of `WeightSparsity`.
        layers: tuple of `LayerSparsity`.
    """

    rows: tuple[WeightSparsity, ...]
    layers: tuple[LayerSparsity, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The table as plain numbers, strings, lists and dicts."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {name: [_plain(row) for row in values[name]] for name in ("rows", "layers")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The table that `to_dict` wrote."""
        return cls._from(values, "the dict")

    def to_json(self, path: str | Path | None = None) -> str:
        """The table as JSON, which is also written to `path` if one is given."""
        return _written(json.dumps(self.to_dict(), indent=1), path)

    @classmethod
    def from_json(cls, text: str | Path) -> Self:
        """The table that `to_json` wrote: its text, or the `Path` of its file."""
        content, place = _read(text)
        try:
            values = json.loads(content)
        except json.JSONDecodeError as error:
            raise ValueError(
                "Expected the JSON that `SparsityTable.to_json` wrote, or the pathlib.Path of its "
                f"file. Received: {place}, which is none from line {error.lineno} on "
                f"({error.msg}): {_shortened(_line(error.doc, error.lineno))}"
            ) from None
        return cls._from(values, place)

    def to_csv(self, path: str | Path | None = None) -> str:
        """The rows as CSV, one line for each weight, also written to `path` if one is given."""
        buffer = io.StringIO()
        names = [field.name for field in dataclasses.fields(WeightSparsity)]
        writer = csv.DictWriter(buffer, names, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            # An empty field is None; JSON writes floats so that they come back the same.
            writer.writerow(
                {
                    name: value if isinstance(value, str) else json.dumps(value)
                    for name, value in _plain(row).items()
                    if value is not None
                }
            )
        return _written(buffer.getvalue(), path)

    @classmethod
    def from_csv(cls, text: str | Path) -> Self:
        """The rows that `to_csv` wrote: its text, or the `Path` of its file. It has no layers."""
        return cls(tuple(_rows_of_csv(*_read(text))))

    @classmethod
    def _from(cls, values: Any, place: str) -> Self:
        """The table of a dict that came from somewhere, as an error says."""
        _check_fields(cls, values, place)
        made = dict(values)
        for name, kind in (("rows", WeightSparsity), ("layers", LayerSparsity)):
            rows = enumerate(values.get(name, ()))
            made[name] = tuple(_row(kind, row, f"{place}, {name}[{at}]") for at, row in rows)
        return cls(**made)


def _rows_of_csv(content: str, place: str) -> Iterator[WeightSparsity]:
    reader = csv.DictReader(io.StringIO(content))
    _check_names(WeightSparsity, dict.fromkeys(reader.fieldnames or ()), f"{place}, line 1")
    for line in reader:
        where = f"{place}, line {reader.line_num}"
        # A missing field at the end of a line is None, and one too many has no name.
        if None in line or None in line.values():
            raise ValueError(
                f"Expected a field for each of {len(reader.fieldnames or ())} names. "
                f"Received: {where}: {_shortened(_line(content, reader.line_num))}"
            )
        try:
            values = {n: f if n == "path" else json.loads(f) for n, f in line.items() if f}
        except json.JSONDecodeError:
            raise ValueError(
                f"Expected fields that `SparsityTable.to_csv` wrote. Received: {where}: {line}"
            ) from None
        yield _row(WeightSparsity, values, where)


def open_log(path: str | Path) -> None:
    """Makes a log ready: its folder, and an end without the line that a killed run left unfinished.

    Raises: ValueError if it cannot be written, or holds something else, which is left as it is.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            file.seek(0)
            content = file.read()
            start = content[: len(LINE_START)].decode(errors="replace")
            if LINE_START.startswith(start):
                file.truncate(content.rfind(b"\n") + 1)
    except OSError as error:
        raise ValueError(
            f"Expected a `path` that can be written to. Received: path={str(path)!r} ({error})"
        ) from None
    if not LINE_START.startswith(start):
        raise ValueError(
            "Expected `path` to be a new file or one of a `SparsityReport`. Received: "
            f"path={str(path)!r}, which starts with {start!r}"
        )


def append_line(path: str | Path, entry: dict[str, Any]) -> None:
    """Adds a line to a log. The file is closed after it, so that it survives the process."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(entry)}\n")


def read_entries(path: str | Path) -> dict[tuple, dict[str, Any]]:
    """The lines of a log by epoch and batch; of several, the last.

    Raises: ValueError if a line is something else. The last, which has no newline, may be cut off.
    """
    entries = {}
    lines = Path(path).read_bytes().decode(errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        try:
            entry = json.loads(line) if line.strip() else None
        except json.JSONDecodeError:
            if number == len(lines) and LINE_START.startswith(line[: len(LINE_START)]):
                continue
            raise ValueError(_foreign(where, line)) from None
        if entry is None:
            continue
        if not isinstance(entry, dict) or not {"epoch", "batch", "logs", "table"} <= set(entry):
            raise ValueError(_foreign(where, line))
        entries[entry["epoch"], entry["batch"]] = {**entry, "place": where}
    return entries


def _foreign(where: str, line: str) -> str:
    return (
        "Expected a line of JSON with epoch, batch, logs and table, as `SparsityReport(path=...)` "
        f"writes it. Received: {where}: {_shortened(line)}"
    )


def _row(kind: type, values: Any, place: str) -> Any:
    _check_fields(kind, values, place)
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def _check_fields(kind: type, values: Any, place: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"Expected a dict of {kind.__name__}. Received: {place}: {values!r}")
    _check_names(kind, values, place)
    for field in dataclasses.fields(kind):
        if field.name in values and not _fits(values[field.name], field.type):
            name = field.type.__name__ if isinstance(field.type, type) else field.type
            raise ValueError(
                f"Expected {field.name!r} of {kind.__name__} to be {name}. "
                f"Received: {place}: {_shortened(repr(values[field.name]))}"
            )


def _check_names(kind: type, values: dict, place: str) -> None:
    fields = dataclasses.fields(kind)
    missing = [
        field.name
        for field in fields
        if field.default is field.default_factory is dataclasses.MISSING
        and field.name not in values
    ]
    unknown = [name for name in values if name not in {field.name for field in fields}]
    if missing or unknown:
        raise ValueError(
            f"Expected the fields of {kind.__name__}. Received: {place}, where {missing} are "
            f"missing and {_shortened(repr(unknown))} are not known"
        )


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value read from JSON is one of an annotated type; of collections the outer one."""
    origin = typing.get_origin(kind) or kind
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(kind))
    accepted = {float: (int, float), tuple: (list, tuple)}.get(origin, origin)
    return isinstance(value, accepted) and not (isinstance(value, bool) and origin in (int, float))


def _line(text: str, number: int) -> str:
    return "".join(text.splitlines()[number - 1 : number])


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


def _plain(row: Any) -> dict[str, Any]:
    values = dataclasses.asdict(row)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _read(text: str | Path) -> tuple[str, str]:
    """A text or the text of a file, and what to call it."""
    if isinstance(text, Path):
        return text.read_bytes().decode(errors="replace"), str(text)
    if not isinstance(text, str):
        raise TypeError(f"Expected a text, or the pathlib.Path of a file. Received: {text!r}")
    return text, "the text"
