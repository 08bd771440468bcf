"""The table and the picture of benchmarks/accuracy.py."""

import collections
import pathlib
import statistics

import timing
from accuracy_tasks import SPARSITIES

from keras_reg.figures import empty_figure

PICTURE = pathlib.Path(__file__).parents[1] / "docs/images/accuracy.png"
Results = dict[str, list[float]]


def write(stores: list[Results]) -> None:
    """Writes a table for each task into RESULTS.md, and the picture."""
    seeds = by_case(stores)
    tasks = list(dict.fromkeys(task for task, _, _ in seeds))
    for task in tasks:
        rows = table(seeds, task)
        found = {len(values) for (one, _, _), values in seeds.items() if one == task}
        title = f"accuracy over zeros, {task}, mean of {min(found)} seeds"
        header = ("method", *(f"{s:.0%} zeros" for s in shown(seeds, task)))
        timing.report(f"accuracy {task}", title, rows, header)
    draw(seeds, tasks)


def by_case(stores: list[Results]) -> dict[tuple[str, str, float], list[list[float]]]:
    """Zeros and accuracies of all seeds, by task, method and sparsity."""
    seeds = collections.defaultdict(list)
    for key, values in (item for store in stores for item in store.items()):
        task, method, sparsity, _ = key.split("|")
        seeds[task, method, float(sparsity)].append(values)
    return dict(seeds)


def shown(seeds: dict, task: str) -> list[float]:
    return [s for s in SPARSITIES if any(key[0] == task and key[2] == s for key in seeds)]


def table(seeds: dict, task: str) -> list[tuple[str, ...]]:
    """A row for each method, the best first by what is left at the highest sparsity."""
    columns = shown(seeds, task)
    dense = statistics.mean(accuracy for _, accuracy in seeds[task, "dense", 0.0])
    methods = {method for one, method, _ in seeds if one == task and method != "dense"}
    best_first = sorted(methods, key=lambda m: -mean(seeds, task, m, columns[-1])[1])
    rows = [("dense", *([f"{dense:.1%}"] * len(columns)))]
    for method in best_first:
        cells = []
        for sparsity in columns:
            zeros, accuracy = mean(seeds, task, method, sparsity)
            off = "" if abs(zeros - sparsity) < 0.004 else f" (at {zeros:.1%})"
            cells.append(f"{accuracy:.1%}{off}")
        rows.append((method, *cells))
    return rows


def mean(seeds: dict, task: str, method: str, sparsity: float) -> tuple[float, float]:
    """The mean share of zeros and accuracy, NaN where there is none."""
    values = seeds.get((task, method, sparsity), [[float("nan")] * 2])
    zeros, accuracies = zip(*values, strict=True)
    return statistics.mean(zeros), statistics.mean(accuracies)


def draw(seeds: dict, tasks: list[str]) -> None:
    figure = empty_figure(5.2 * len(tasks), 3.8)
    # A method has one colour in all panels.
    methods = sorted({method for _, method, _ in seeds if method != "dense"}, reverse=True)
    for task, axes in zip(tasks, figure.subplots(1, len(tasks), squeeze=False)[0], strict=True):
        columns = shown(seeds, task)
        for method in methods:
            points = [mean(seeds, task, method, sparsity) for sparsity in columns]
            axes.plot(*zip(*points, strict=True), "o-", markersize=3, label=method)
        dense = statistics.mean(accuracy for _, accuracy in seeds[task, "dense", 0.0])
        axes.axhline(dense, color="0.5", linestyle=":", label="dense")
        axes.set(xlabel="exact zeros", ylabel="test accuracy", title=task)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(PICTURE, dpi=130)
