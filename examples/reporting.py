"""What the examples share: flags of the command line, tables, the smaller model, a saved plot."""

import argparse
import contextlib
import inspect
import io
import pathlib
import sys
import typing

import matplotlib
import rich
from rich.table import Table

import keras_reg as kr

matplotlib.use("Agg")


def command(main):
    """Calls `main` with the flags of the command line, one for each of its keyword arguments."""
    parser = argparse.ArgumentParser(description=sys.modules[main.__module__].__doc__)
    for name, parameter in inspect.signature(main).parameters.items():
        choices = typing.get_args(parameter.annotation) or None
        flag, default = f"--{name.replace('_', '-')}", parameter.default
        parser.add_argument(
            flag, type=type(default), default=default, choices=choices, help=f"default: {default}"
        )
    main(**vars(parser.parse_args()))


def show(title, results, formats):
    """Prints a row for each result: {name: {column: value}}, {column: format}."""
    table = Table(title=title)
    table.add_column("")
    for column in formats:
        table.add_column(column, justify="right")
    for name, row in results.items():
        table.add_row(name, *(format(row[column], form) for column, form in formats.items()))
    rich.print(table)


def quiet():
    """A context in which nothing is printed, for calls that print and cannot be told not to."""
    return contextlib.redirect_stdout(io.StringIO())


def smaller(model, x, y, metrics=("accuracy",)):
    """The model without what became zero, after a table of it beside the model that was trained."""
    small = kr.compact(model)
    rich.print(kr.compare({"trained": model, "compact": small}, x, y, metrics))
    return small


def save(figure, output, name):
    """Writes a figure to the folder `output` and says where."""
    path = pathlib.Path(output) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, bbox_inches="tight")
    print(f"plot: {path}")
