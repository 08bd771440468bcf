"""A bar that shows how far a path is."""

import contextlib
import warnings
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


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
        with bar:
            task = bar.add_task("path", total=total)

            def advance(steps: int, text: str) -> None:
                bar.update(task, advance=steps, description=text)

            yield advance
