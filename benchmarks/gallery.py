"""The tables and pictures of docs/gallery.md: each example at full size, from several seeds.

    KERAS_BACKEND=jax python benchmarks/gallery.py [--seeds 3] [EXAMPLE ...]

An example fixes its seed, so that it prints the same table each time. Here that seed is moved: each
table is the mean and the standard deviation of the runs. The data and their split stay the same.
"""

import argparse
import importlib
import pathlib
import re
import statistics
import sys
import tempfile
from unittest import mock

import keras
import timing
from matplotlib import image

ROOT = pathlib.Path(__file__).parents[1]
GALLERY, IMAGES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "images"
EXAMPLES = (
    "fine_tuning",
    "pruning",
    "stock_forecasting",
    "shrink",
    "sentiment",
    "image_classification",
    "object_detection",
    "translation",
)
Shown = list[tuple[str, dict[str, dict], dict[str, str]]]


def run(name: str, seed: int, folder: str) -> Shown:
    """The tables that an example shows from one seed: title, rows and formats of each."""
    example, tables, fix = importlib.import_module(name), [], keras.utils.set_random_seed

    def recorded(title: str, results: dict, formats: dict) -> None:
        tables.append((title, results, formats))

    with (
        mock.patch.object(keras.utils, "set_random_seed", lambda fixed: fix(fixed + 1000 * seed)),
        mock.patch.object(example, "show", recorded, create=True),
    ):
        returned = example.main(folder)
    if not tables:  # The example prints a comparison of models.
        models = {row["name"]: {**row, **row["scores"]} for row in returned.to_dict()}
        tables.append(("Models", models, {"accuracy": ".1%", "parameters": ",d", "macs": ",d"}))
    return tables


def merged(tables: list[dict[str, dict]], formats: dict[str, str]) -> list[tuple[str, ...]]:
    """A line for each row: its name, and mean and deviation of each column over the seeds."""
    lines = []
    for rows in zip(*(table.items() for table in tables), strict=True):
        names = list(dict.fromkeys(name for name, _ in rows))
        values = [cell([row[column] for _, row in rows], form) for column, form in formats.items()]
        lines.append((" / ".join(names), *values))
    return lines


def cell(values: list, form: str) -> str:
    """Mean and standard deviation, or the values themselves where they are no numbers."""
    if isinstance(values[0], str):
        return ", ".join(dict.fromkeys(values))
    form = re.sub("d$", ".0f", form) if form else ".3g"
    shown = format(statistics.fmean(values), form)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{shown} ± {format(spread, form)}" if spread else shown


def section(name: str, seeds: int, folder: str) -> str:
    """What the gallery shows of one example."""
    shown = [run(name, seed, f"{folder}/{seed}") for seed in range(seeds)]
    parts = []
    for tables in zip(*shown, strict=True):
        title, _, formats = tables[0]
        body = timing.markdown(
            ("", *formats), merged([results for _, results, _ in tables], formats)
        )
        parts.append(f"{title}:\n\n{body}")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("examples", nargs="*", default=EXAMPLES)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "examples"))
    for name in arguments.examples:
        with tempfile.TemporaryDirectory() as folder:
            body = section(name, arguments.seeds, folder)
            picture = IMAGES / f"gallery_{name}.png"
            image.imsave(picture, image.imread(f"{folder}/0/{name}.png"))
        note = f"{arguments.seeds} seeds; titles are those of the first. {timing.machine()}"
        timing.write_section(GALLERY, name, f"{body}\n\n{note}")
        print(f"{name}\n{body}\n", flush=True)


if __name__ == "__main__":
    main()
