"""Rows of a path as a table."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def columns(score_name: str) -> tuple[str, ...]:
    """The headings of `cells`."""
    left = ("inputs\nleft", "channels\nleft", "multiply-\nadds left")
    return ("strength", score_name, "training", "gap", "zeros", *left)


def cells(row: Any) -> tuple[str, ...]:
    """The figures of a `Row`, as text."""
    return (
        f"{row.strength:.4g}",
        f"{row.score:.4f}" + ("" if np.isnan(row.error) else f" ± {row.error:.4f}"),
        f"{row.training_score:.4f}",
        f"{row.gap:.4f}",
        f"{row.zeros:.1%}",
        *(
            "-" if one is None else f"{one:,}"
            for one in (row.inputs_left, row.channels_left, row.macs_left)
        ),
    )


def table(headings: Iterable[str], lines: Iterable[Iterable[str]], names: int = 0) -> Table:
    """A table of texts.

    Args:
        headings: the headings; a column without one is of words.
        lines: the lines.
        names: int. How many of the first columns are of words too.
    """
    drawn = Table(box=SIMPLE_HEAD)
    for number, heading in enumerate(headings):
        is_word = not heading or number < names
        drawn.add_column(heading, justify="left" if is_word else "right")
    for line in lines:
        drawn.add_row(*line)
    return drawn


def as_text(shown: Any) -> str:
    """What `rich` prints of an object, in 120 columns."""
    console = Console(width=120, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(shown)
    return capture.get().rstrip()
