"""paths: several penalties, or networks, on the same folds."""

import inspect
import pathlib
from typing import Any

from rich.table import Table

from keras_reg.selection.console import as_text, cells, columns, table
from keras_reg.selection.examples import Batches, examples_of
from keras_reg.selection.members import split
from keras_reg.selection.path import begin, fill, path
from keras_reg.selection.plots import draw_paths
from keras_reg.selection.preparing import Prepared
from keras_reg.selection.result import PathResult, Row


class PathResults(dict[str, PathResult]):
    """Paths side by side: a dict from names to results, and the best of all. `paths` makes it."""

    @property
    def best(self) -> tuple[str, Row]:
        """The name of the path with the best mean score, and its `best` row.

        Raises: ValueError if nothing was held out.
        """
        rows = {name: result.best for name, result in self.items()}
        sign = 1.0 if next(iter(self.values())).mode == "max" else -1.0
        name = max(rows, key=lambda name: sign * rows[name].score)
        return name, rows[name]

    def plot(self) -> Any:
        """A matplotlib figure: mean scores over the share of zeros, a line for each path."""
        return draw_paths(self)

    def __rich__(self) -> Table:
        headings = ("path", "chosen", *columns(next(iter(self.values())).score_name))
        lines = [
            (name, which, *cells(row))
            for name, result in self.items()
            for which, row in result.chosen.items()
        ]
        return table(headings, lines, names=2)

    def __str__(self) -> str:
        return as_text(self)


def paths(
    networks: dict[str, tuple[Any, Any]],
    x: Any,
    y: Any = None,
    *,
    folds: Any = None,
    groups: Any = None,
    stratify: bool | None = None,
    folder: Any = None,
    verbose: int = 1,
    **settings: Any,
) -> PathResults:
    """Paths of several penalties, or of networks of other shapes, on the same folds.

    Each is that of `path`, which says what the other arguments mean. With `n_jobs` the members of
    all of them are trained side by side, in other processes.

    Args:
        networks: dict from names to pairs of a `build` and a `penalty`.
        x: as `path` takes it.
        y: as `path` takes it.
        folds: as `path` takes it; split once.
        groups: as `path` takes it.
        stratify: as `path` takes it.
        folder: str or path, or None. A folder in it, by its name, is kept for each path.
        verbose: 0 or 1.
        **settings: the other arguments of `path`.

    Returns:
        A `PathResults`, a dict from the names to their `PathResult`.

    Raises:
        TypeError or ValueError: as `path`; also if there is no network, or a name is no name of a
            folder where they are kept.
    Warns: if it was interrupted.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from keras_reg.regularizers import L1, MCP
        >>> def build():
        ...     model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        ...     model.compile(keras.optimizers.SGD(0.1), "mse")
        ...     return model
        >>> x = np.random.default_rng(0).standard_normal((60, 8))
        >>> y = x[:, 0] - x[:, 1]
        >>> both = {"L1": (build, L1()), "MCP": (build, MCP())}
        >>> run = {"epochs": 30, "batch_size": 60, "strengths": [0.1, 0.5], "verbose": 0}
        >>> paths(both, x, y, folds=3, **run).best[0]
        'MCP'
    """
    if not isinstance(networks, dict) or not networks:
        raise ValueError(
            "Expected a dict from names to pairs of a build and a penalty. Received: "
            f"networks={networks!r}"
        )
    if folds is not None:
        examples = examples_of(x, y)
        if not isinstance(examples, Batches):
            folds, groups, stratify = split(examples, folds, groups, stratify), None, None
    shared = settings | {"folds": folds, "groups": groups, "stratify": stratify}
    begun = [
        _begun(pair, x, y, shared | {"folder": _folder(folder, name), "verbose": verbose})
        for name, pair in networks.items()
    ]
    results = [result for result, _ in begun]
    fill(results, [prepared for _, prepared in begun], bool(verbose))
    return PathResults(zip(networks, results, strict=True))


def _begun(pair: Any, x: Any, y: Any, settings: dict[str, Any]) -> tuple[PathResult, Prepared]:
    try:
        build, penalty = pair
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected pairs of a build and a penalty. Received: {pair!r}") from error
    arguments = inspect.signature(path).bind(build, x, y, penalty, **settings)
    arguments.apply_defaults()
    return begin(**arguments.arguments)


def _folder(folder: Any, name: str) -> pathlib.Path | None:
    if folder is None:
        return None
    if name in ("", ".", "..") or pathlib.Path(name).name != name:
        raise ValueError(f"Expected names that a folder can have. Received: {name!r}")
    return pathlib.Path(folder) / name
