"""What a path shows in a console: a bar while members are trained, and tables."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


@contextlib.contextmanager
def progress(total: int, shown: bool) -> Iterator[Callable[[int, str], None]]:
    """A bar, and a function that advances it by a number of steps, with a text.

    Warnings of weights that are all zero do not show meanwhile: they are where a path leads.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console()
    # In a file or a pipe a bar would be empty lines.
    hidden = not shown or not (console.is_terminal or console.is_jupyter)
    bar = Progress(*columns, console=console, disable=hidden, transient=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Every weight of", UserWarning)
        warnings.filterwarnings("ignore", 'install "ipywidgets"', UserWarning)
        # Of joblib, after Ctrl-C.
        warnings.filterwarnings("ignore", ".* tasks which were still being processed", UserWarning)
        with bar:
            task = bar.add_task("path", total=total)

            def advance(steps: int, text: str) -> None:
                bar.update(task, advance=steps, description=text)

            yield advance


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
