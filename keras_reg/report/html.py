"""A table in a notebook: bars in the reader's own colours, so that light and dark both read."""

from html import escape
from typing import Any

from keras_reg.report.draw import totals

_STYLE = (
    ".kr-report{border-collapse:collapse;font-variant-numeric:tabular-nums;color:inherit}"
    ".kr-report th,.kr-report td{padding:3px 10px;text-align:right;border:0;background:none;"
    "color:inherit}"
    ".kr-report th:first-child,.kr-report td:first-child{text-align:left;font-family:monospace}"
    ".kr-report thead th,.kr-report tfoot td{border-top:1px solid rgba(128,128,128,.6);"
    "border-bottom:1px solid rgba(128,128,128,.6)}"
    ".kr-bar{display:inline-block;width:110px;height:11px;margin-right:8px;text-align:left;"
    "background:rgba(128,128,128,.28);vertical-align:middle}"
    ".kr-bar>i{display:block;height:100%;background:#2f86d6}"
)
_COLUMNS = ("weight", "size", "zeros", "sparsity", "inputs", "outputs")


def table(report: Any) -> str:
    """All rows with a bar for the share of zeros, the totals, and the hint."""
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(
        _row(
            row.path,
            (row.size, row.zeros),
            f"{row.zero_inputs}/{row.inputs}",
            f"{row.zero_outputs}/{row.outputs}",
        )
        for row in report.rows
    )
    foot = _row("total", (report.size, report.zeros), "", "")
    notes = "<br>".join(escape(line) for line in totals(report))
    return (
        f"<style>{_STYLE}</style><div><table class='kr-report'><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody><tfoot>{foot}</tfoot></table><p>{notes}</p></div>"
    )


def _row(name: str, counts: tuple[int, int], inputs: str, outputs: str) -> str:
    size, zeros = counts
    share = zeros / size if size else 0.0
    bar = f"<span class='kr-bar'><i style='width:{share:.1%}'></i></span>{share:.1%}"
    cells = (escape(name), f"{size:,}", f"{zeros:,}", bar, inputs, outputs)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
