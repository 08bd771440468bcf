"""A table in a terminal, 80 columns wide, and in a notebook."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from keras_reg.report.rows import COLUMNS, fraction

TITLE = "Exact zeros, and inputs and outputs that are all zero"
# Models with more weights than this are folded to a line for each layer, and with more layers than
# this to the layers with the largest share of zeros.
LINES = 30
# A terminal has room for the first of the columns only.
_ROOM = 5
# So many characters of a path a line has at least.
_LEAST = 20
_SPARSITY = "sparsity"


def _sum(name: str, rows: Any) -> int:
    return sum(getattr(row, name) for row in rows)


# What each column shows of the rows that a line stands for.
_SHOWN: dict[str, Callable[[Any], str]] = {
    "size": lambda rows: f"{_sum('size', rows):,}",
    "zeros": lambda rows: f"{_sum('zeros', rows):,}",
    _SPARSITY: lambda rows: f"{fraction(_sum('zeros', rows), _sum('size', rows)):.1%}",
    **{one.heading: one.show for one in COLUMNS.values() if one.heading and one.show},
}


class Line(NamedTuple):
    """A line of a table: its name, and the rows that it stands for."""

    name: str
    rows: Sequence[Any]

    @property
    def is_bad(self) -> bool:
        """Whether a weight in it is NaN or infinite."""
        return any(row.invalid for row in self.rows)


class _Path(NamedTuple):
    """A path that, where it is too long for one line, goes on in the next after a slash."""

    path: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text("\n".join(_folded(self.path, options.max_width)))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(_LEAST, len(self.path)), len(self.path))


def _folded(path: str, width: int) -> list[str]:
    lines = [""]
    for part in re.findall("[^/]*/?", path):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += _shortened(part, width)
    return lines


def _shortened(part: str, width: int) -> str:
    """A part of a path that is too long for a line by itself, without its middle."""
    if len(part) <= width:
        return part
    end = (width - 1) // 2
    return f"{part[: width - 1 - end]}\u2026{part[len(part) - end :]}"


def text(report: Any) -> Group:
    """Rows, totals and what follows from them."""
    heading, lines = lines_of(report)
    drawn = Table(title=TITLE, box=SIMPLE_HEAD)
    drawn.add_column(_Path(heading))
    shown = dict(list(_SHOWN.items())[:_ROOM])
    for name in shown:
        drawn.add_column(name, justify="right")
    for line in lines:
        style = "bold red" if line.is_bad else None
        drawn.add_row(_Path(line.name), *(show(line.rows) for show in shown.values()), style=style)
    drawn.add_section()
    drawn.add_row("total", *(show(report.rows) for show in shown.values()))
    return Group(drawn, *(Text(f"{line}", style) for line, style in notes(report)))


def html(report: Any) -> str:
    """Rows with a bar for the share of zeros, and the totals, in the reader's own colours."""
    heading, lines = lines_of(report)
    head = "".join(f"<th>{escape(name)}</th>" for name in (heading, *_SHOWN))
    body = "".join(_html_row(line) for line in lines)
    foot = _html_row(Line("total", report.rows))
    below = "<br>".join(
        f"<b class='kr-bad'>{escape(line)}</b>" if style else escape(line)
        for line, style in notes(report)
    )
    return (
        f"<style>{_STYLE}</style><div><table class='kr-report'><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody><tfoot>{foot}</tfoot></table><p>{below}</p></div>"
    )


_STYLE = (
    ".kr-report{border-collapse:collapse;font-variant-numeric:tabular-nums;color:inherit}"
    ".kr-report th,.kr-report td{padding:3px 10px;text-align:right;border:0;background:none;"
    "color:inherit}"
    ".kr-report th:first-child,.kr-report td:first-child{text-align:left;font-family:monospace}"
    ".kr-report thead th,.kr-report tfoot td{border-top:1px solid rgba(128,128,128,.6);"
    "border-bottom:1px solid rgba(128,128,128,.6)}"
    ".kr-report td.kr-share{text-align:left}"
    ".kr-bar{display:inline-block;width:110px;height:11px;margin-right:8px;text-align:left;"
    "background:rgba(128,128,128,.28);vertical-align:middle}"
    ".kr-bar>i{display:block;height:100%;background:#2f86d6}"
    ".kr-report tr.kr-bad td,.kr-bad{color:#d6302f;font-weight:bold}"
)


def _html_row(line: Line) -> str:
    cells = [f"<td>{escape(line.name)}</td>"]
    for name, show in _SHOWN.items():
        shown = escape(show(line.rows))
        if name == _SPARSITY:
            # The bar comes first, so that all of them start at one line.
            bar = f"<span class='kr-bar'><i style='width:{shown}'></i></span>"
            cells.append(f"<td class='kr-share' nowrap>{bar}{shown}</td>")
        else:
            cells.append(f"<td>{shown}</td>")
    return f"<tr{' class=kr-bad' * line.is_bad}>{''.join(cells)}</tr>"


def lines_of(report: Any) -> tuple[str, list[Line]]:
    """The heading of the names, and the lines: of many weights, the layers with the most zeros.

    What all names begin with stands in the heading alone.
    """
    is_folded = len(report.rows) > LINES and len(report.layers) > 0
    others: list[Line] = []
    if is_folded:
        lines, others = _by_layer(report)
    else:
        lines = [Line(row.path, [row]) for row in report.rows]
    start = _shared_start([line.name for line in lines])
    kind = "layer" if is_folded else "weight"
    lines = [Line(line.name.removeprefix(start), line.rows) for line in lines]
    return f"{kind} in {start}" if start else kind, lines + others


def _by_layer(report: Any) -> tuple[list[Line], list[Line]]:
    """A line for each layer with rows; of many the sparsest, and one line for the others."""
    layers = [layer for layer in report.layers if layer.weights]
    sparsest = sorted(layers, key=lambda layer: -layer.sparsity)[: LINES - 1]
    shown = {layer.path for layer in (layers if len(layers) <= LINES else sparsest)}
    rows = {row.path: row for row in report.rows}
    all_lines = [Line(layer.path, [rows[path] for path in layer.weights]) for layer in layers]
    lines = [line for line in all_lines if line.name in shown]
    others = [row for line in all_lines if line.name not in shown for row in line.rows]
    name = f"{len(layers) - len(lines)} other layers"
    return lines, [Line(name, others)] if others else []


def _shared_start(names: list[str]) -> str:
    """The leading parts, up to a slash, that two or more names share."""
    starts = [name.split("/")[:-1] for name in names]
    shared = []
    for parts in zip(*starts, strict=False):
        if len(names) < 2 or len(set(parts)) > 1:
            break
        shared.append(f"{parts[0]}/")
    return "".join(shared)


def notes(report: Any) -> list[tuple[str, str]]:
    """What is known of the whole model, a line and its style for each."""
    bad = [row.path for row in report.rows if row.invalid]
    found = [(f"NaN or infinite: {report.invalid:,} weights in {', '.join(bad)}", "bold red")]
    return found * bool(bad) + [(line, "") for line in totals(report)]


def totals(report: Any) -> list[str]:
    """Figures of the whole model."""
    lines = []
    if report.layers:
        of_zeros = "zero groups" if report.each_alone else "dead channels"
        left = _left(report.parameters, report.parameters_left, of_zeros)
        lines.append(f"parameters: {left}")
        lines.append(f"multiply-adds: {_macs(report, of_zeros)}")
        if report.each_alone:
            lines.append(f"zero groups are counted in each weight alone: {report.each_alone}")
    units, heads = (_sum(name, report.layers) for name in ("units", "heads"))
    if units:
        dead = f"{report.dead_units:,} of {units:,}"
        lines.append(f"dead units and channels, which have no weight left: {dead}")
    if heads:
        zero = _sum("zero_heads", report.layers)
        lines.append(f"attention heads that are zero: {zero:,} of {heads:,}")
    if report.tolerance:
        share = report.near_zeros / max(report.size, 1)
        lines.append(f"near zero (<= {report.tolerance:g} of the largest): {share:.1%}")
    lines += _patterns(report)
    if report.penalty:
        lines.append(f"penalty: {report.penalty:.6g}")
    if report.churn is not None:
        lines.append(f"changed since the last report: {report.churn:.2%}")
    return lines + ([f"hint: {report.hint}"] if report.hint else [])


def _patterns(report: Any) -> list[str]:
    """N:M patterns that hold in all blocks of a weight, if one does."""
    holding = Counter(p for row in report.rows for p, share in row.compliance.items() if share == 1)
    found = ", ".join(f"{pattern} in {count}" for pattern, count in sorted(holding.items()))
    return [f"N:M pattern kept by whole weights: {found} of {len(report.rows)}"] if found else []


def _left(whole: int, left: int | None, of_zeros: str) -> str:
    if left is None or not whole:
        return f"{whole:,}"
    return f"{whole:,}, without {of_zeros} {left:,} ({left / whole:.1%})"


def _macs(report: Any, of_zeros: str) -> str:
    if report.macs is not None:
        return _left(report.macs, report.macs_left, of_zeros)
    known = [layer for layer in report.layers if layer.macs is not None]
    at_least = sum(layer.macs for layer in known)
    return f"unknown for {len(report.layers) - len(known)} layers; the others {at_least:,}"
