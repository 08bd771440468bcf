"""Channel groups as text of 80 columns and as HTML."""

import html
from typing import Any

_WIDTH = 80
_HEAD = ("group", "channels", "params", "MACs", "read by, or why it stays")


def as_text(title: str, groups: Any, model: str) -> str:
    """The title, and a line for each group; params and MACs are those of one channel.

    Paths are shown without the model's own name at their start.
    """
    rows = [_HEAD, *(_cells(group, f"{model}/") for group in groups)]
    numbers = [max(len(row[column]) for row in rows) for column in (1, 2, 3)]
    rest = _WIDTH - sum(numbers) - 4 * 2
    name = min(max(len(row[0]) for row in rows), rest // 2)
    lines = [title]
    for row in rows:
        cells = [_cut(row[0], name).ljust(name)]
        cells += [cell.rjust(width) for cell, width in zip(row[1:4], numbers, strict=True)]
        lines.append("  ".join([*cells, _cut(row[4], rest - name)]).rstrip())
    return "\n".join(lines)


def as_html(title: str, groups: Any) -> str:
    """The same as a table, with nothing cut."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEAD)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(group, "")) + "</tr>"
        for group in groups
    )
    return f"<p>{html.escape(title)}</p><table><tr>{head}</tr>{rows}</table>"


def _cells(group: Any, prefix: str) -> tuple[str, str, str, str, str]:
    macs = "?" if group.macs is None else _short(group.macs)
    readers = ", ".join(name.removeprefix(prefix) for name in group.read_by)
    last = readers if group.pinned is None else f"stays: {group.pinned}"
    name = group.name.removeprefix(prefix)
    return name, f"{group.size:,}", _short(group.parameters), macs, last


def _short(number: int) -> str:
    """Three digits and a unit: 1.23M."""
    value: float = number
    for unit in ("", "k", "M", "G"):
        if value < 1000 or unit == "G":
            return f"{number}" if not unit else f"{value:.3g}{unit}"
        value /= 1000
    raise AssertionError


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
