"""A table in a terminal, 80 columns wide."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

# Models with more weights than this are folded to a line for each layer, and with more layers than
# this to the layers with the largest share of zeros.
LINES = 30


def table(report: Any) -> Group:
    """Rows, totals and what follows from them."""
    drawn = Table(title="Exact zeros, and inputs and outputs that are all zero", box=SIMPLE_HEAD)
    is_folded = len(report.rows) > LINES and len(report.layers) > 0
    drawn.add_column("layer" if is_folded else "weight", overflow="fold", ratio=1)
    for name in ("size", "zeros", "sparsity", "inputs", "outputs"):
        drawn.add_column(name, justify="right")
    for line in _by_layer(report) if is_folded else map(_of_row, report.rows):
        drawn.add_row(*line)
    drawn.add_section()
    drawn.add_row("total", *_figures(report.size, report.zeros), *_groups(report.rows))
    return Group(drawn, *(Text(line) for line in totals(report)))


def totals(report: Any) -> list[str]:
    """What is known of the whole model, a line for each."""
    lines = []
    if report.layers:
        lines.append(f"parameters: {_left(report.parameters, report.parameters_left)}")
        lines.append(f"multiply-adds: {_macs(report)}")
    units, heads = (sum(getattr(one, name) for one in report.layers) for name in ("units", "heads"))
    if units:
        lines.append(f"dead units and channels: {report.dead_units:,} of {units:,}")
    if heads:
        zero = sum(layer.zero_heads for layer in report.layers)
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
    holding: dict[str, int] = {}
    for row in report.rows:
        for pattern, share in row.compliance.items():
            holding[pattern] = holding.get(pattern, 0) + (share == 1.0)
    found = [f"{pattern} in {count}" for pattern, count in holding.items() if count]
    return [f"N:M pattern kept by whole weights: {', '.join(found)} of {len(report.rows)}"] * bool(
        found
    )


def _left(whole: int, left: int | None) -> str:
    if left is None or not whole:
        return f"{whole:,}"
    return f"{whole:,}, without zero groups {left:,} ({left / whole:.1%})"


def _macs(report: Any) -> str:
    if report.macs is not None:
        return _left(report.macs, report.macs_left)
    known = [layer for layer in report.layers if layer.macs is not None]
    at_least = sum(layer.macs for layer in known)
    return f"unknown for {len(report.layers) - len(known)} layers; the others {at_least:,}"


def _of_row(row: Any) -> tuple[str, ...]:
    return (row.path, *_figures(row.size, row.zeros), *_groups([row]))


def _by_layer(report: Any) -> list[tuple[str, ...]]:
    """A line for each layer with rows; of many the sparsest, and one line for the others."""
    layers = [layer for layer in report.layers if layer.weights]
    sparsest = sorted(layers, key=lambda layer: -layer.sparsity)[: LINES - 1]
    shown = {layer.path for layer in (layers if len(layers) <= LINES else sparsest)}
    rows = {row.path: row for row in report.rows}
    lines: list[tuple[str, ...]] = []
    others: list[Any] = []
    for layer in layers:
        inside = [rows[path] for path in layer.weights]
        if layer.path in shown:
            lines.append((layer.path, *_figures(layer.size, layer.zeros), *_groups(inside)))
        else:
            others += inside
    if others:
        size, zeros = (sum(getattr(row, name) for row in others) for name in ("size", "zeros"))
        name = f"{len(layers) - len(lines)} less sparse layers"
        lines.append((name, *_figures(size, zeros), *_groups(others)))
    return lines


def _figures(size: int, zeros: int) -> tuple[str, str, str]:
    return f"{size:,}", f"{zeros:,}", f"{zeros / size if size else 0.0:.1%}"


def _groups(rows: Any) -> tuple[str, str]:
    inputs = (sum(row.zero_inputs for row in rows), sum(row.inputs for row in rows))
    outputs = (sum(row.zero_outputs for row in rows), sum(row.outputs for row in rows))
    return f"{inputs[0]}/{inputs[1]}", f"{outputs[0]}/{outputs[1]}"
