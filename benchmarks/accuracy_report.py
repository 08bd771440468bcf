"""The tables and the picture of benchmarks/accuracy.py."""

import collections
import pathlib
import statistics

import timing
from accuracy_tasks import Key

from keras_reg.figures import empty_figure

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PICTURE, GUIDE = DOCS / "images/accuracy.png", DOCS / "pruning.md"
Values = list[tuple[float, float]]
Seeds = dict[tuple[str, str, float], Values]


def write(results: dict[Key, tuple[float, float]]) -> None:
    """Writes a table for each task into RESULTS.md and the guide, and the picture."""
    seeds = by_case(results)
    tasks = list(dict.fromkeys(task for task, _, _ in seeds))
    for task in tasks:
        of_units = {key: values for key, values in seeds.items() if "of units" in key[1]}
        of_weights = {key: values for key, values in seeds.items() if key not in of_units}
        report(f"accuracy {task}", f"accuracy over zeros, {task}", of_weights, task)
        if any(key[0] == task for key in of_units):
            dense = {(task, "dense", 0.0): seeds[task, "dense", 0.0]}
            title = f"accuracy over units that are gone, {task}"
            report(f"accuracy {task}, units", title, {**dense, **of_units}, task)
    draw({key: values for key, values in seeds.items() if "of units" not in key[1]}, tasks)


def by_case(results: dict[Key, tuple[float, float]]) -> Seeds:
    """Zeros and accuracies of all seeds, by task, method and sparsity."""
    seeds = collections.defaultdict(list)
    for (task, method, sparsity, _), values in results.items():
        seeds[task, method, sparsity].append(values)
    return dict(seeds)


def report(section: str, title: str, seeds: Seeds, task: str) -> None:
    """Writes a row for each method, the best first by what is left at the highest sparsity."""
    columns = sorted({sparsity for one, _, sparsity in seeds if one == task and sparsity})
    methods = {method for one, method, _ in seeds if one == task and method != "dense"}
    best_first = sorted(methods, key=lambda m: -mean(seeds, (task, m, columns[-1]))[1])
    rows = [("dense", *([cell(seeds, (task, "dense", 0.0))] * len(columns)))]
    rows += [(method, *(cell(seeds, (task, method, s)) for s in columns)) for method in best_first]
    counts = sorted({len(values) for (one, _, _), values in seeds.items() if one == task})
    shown = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    header = ("method", *(f"{s:.0%}" for s in columns))
    title = f"{title}: mean ± standard error of {shown} seeds"
    timing.report(section, title, rows, header)
    timing.write_section(GUIDE, section, f"{title}\n\n{timing.markdown(header, rows)}")


def cell(seeds: Seeds, key: tuple[str, str, float]) -> str:
    """The mean accuracy, its standard error, and the zeros where they are not those asked for."""
    if key not in seeds:
        return ""
    zeros, accuracy = mean(seeds, key)
    accuracies = [100 * one for _, one in seeds[key]]
    error = ""
    if len(accuracies) > 1:
        error = f" ± {statistics.stdev(accuracies) / len(accuracies) ** 0.5:.1f}"
    off = "" if abs(zeros - key[2]) < 0.004 else f" (at {zeros:.1%})"
    return f"{accuracy:.1%}{error}{off}"


def mean(seeds: Seeds, key: tuple[str, str, float]) -> tuple[float, float]:
    """The mean share of zeros and accuracy, NaN where there is none."""
    zeros, accuracies = zip(*seeds.get(key, [(float("nan"),) * 2]), strict=True)
    return statistics.mean(zeros), statistics.mean(accuracies)


def draw(seeds: Seeds, tasks: list[str]) -> None:
    figure = empty_figure(4.2 * len(tasks), 3.8)
    # A method has one colour in all panels.
    methods = sorted({method for _, method, _ in seeds if method != "dense"}, reverse=True)
    for task, axes in zip(tasks, figure.subplots(1, len(tasks), squeeze=False)[0], strict=True):
        columns = sorted({sparsity for one, _, sparsity in seeds if one == task and sparsity})
        for method in methods:
            keys = [(task, method, sparsity) for sparsity in columns]
            points = [mean(seeds, key) for key in keys if key in seeds]
            points = points or [(float("nan"),) * 2]
            axes.plot(*zip(*points, strict=True), "o-", markersize=3, label=method)
        dense = mean(seeds, (task, "dense", 0.0))[1]
        axes.axhline(dense, color="0.5", linestyle=":", label="dense")
        axes.set(xlabel="exact zeros", ylabel="test accuracy", title=task)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(PICTURE, dpi=130)
