"""The lines that `SparsityReport(path=...)` writes, read back."""

import json
from pathlib import Path
from typing import Any

from keras_reg.report.table import SparsityTable


def read_lines(path: str | Path) -> dict[str, list[Any]]:
    """Reads a file of `SparsityReport(path=...)`, in the form of Keras's `History.history`.

    A line that a killed run left unfinished is dropped. Where a run was resumed, the lines of
    the same epoch and batch that came last count.

    Args:
        path: the file.

    Returns:
        A dict with `epoch`, `batch` (None at the end of an epoch), `table`, each a list with an
        entry for every measure, and the figures and other logs by name.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        ...     _ = file.write('{"epoch": 0, "ba')
        ...     file.flush()
        ...     read_lines(file.name)["epoch"]
        []
    """
    entries = {}
    for line in Path(path).read_text(encoding="utf-8").split("\n"):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        entries[entry["epoch"], entry["batch"]] = entry
    tables = [SparsityTable.from_dict(entry["table"]) for entry in entries.values()]
    history: dict[str, list[Any]] = {
        name: [entry[name] for entry in entries.values()] for name in ("epoch", "batch")
    }
    history["table"] = tables
    logs = [{**e["logs"], **t.logs()} for e, t in zip(entries.values(), tables, strict=True)]
    for name in dict.fromkeys(name for entry in logs for name in entry):
        history[name] = [entry.get(name) for entry in logs]
    return history
