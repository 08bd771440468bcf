"""The tables of benchmarks/accuracy_choices.py."""

import statistics
from collections.abc import Sequence

import timing
from accuracy_report import GUIDE
from accuracy_tasks import Key

ABOVE = "mean ± standard error on what is held out, and on the test data"


def write(results: dict[Key, tuple[float, ...]], groups: dict[str, Sequence[str]]) -> None:
    """Writes a table for each group of choices into RESULTS.md and the guide."""
    tasks = list(dict.fromkeys(task for task, *_ in results))
    sparsities = sorted({sparsity for _, _, sparsity, _ in results if sparsity})
    for group, names in groups.items():
        for sparsity in sparsities:
            rows = [
                (name, *(cell(results, task, name, sparsity) for task in tasks)) for name in names
            ]
            rows = [row for row in rows if any(row[1:])]
            if not rows:
                continue
            section, title = f"{group} at {sparsity:.0%}", f"{group}, {sparsity:.0%} zeros: {ABOVE}"
            header = ("change", *tasks)
            timing.report(section, title, rows, header)
            timing.write_section(GUIDE, section, f"{title}\n\n{timing.markdown(header, rows)}")


def cell(results: dict[Key, tuple[float, ...]], task: str, name: str, sparsity: float) -> str:
    """Accuracy on what is held out, on the test data, and the number of seeds."""
    found = [
        values
        for (of, choice, share, _), values in results.items()
        if of == task and choice == name and share in (0.0, sparsity)
    ]
    if not found:
        return ""
    zeros, held, tested = zip(*found, strict=True)
    error = f" ± {100 * statistics.stdev(held) / len(held) ** 0.5:.1f}" if len(held) > 1 else ""
    mean = statistics.mean(zeros)
    off = f"; at {mean:.1%}" if mean > 0 and abs(mean - sparsity) > 0.004 else ""
    shown = f"{statistics.mean(held):.1%}{error}, {statistics.mean(tested):.1%}"
    return f"{shown} ({len(found)}{off})"
