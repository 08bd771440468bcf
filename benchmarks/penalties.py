"""What a penalty in a layer costs: whole training steps, as multiples of the step without it.

    KERAS_BACKEND=jax python benchmarks/penalties.py --markdown penalties_jax.md

Four Dense(1024), batch 128. Every case takes a step in turn, round after round, so that what else
the machine does falls on all of them alike; the ratios are those of the medians, and of the
fastest steps as a check. Run it on a quiet machine: the ratios of a loaded one mean little.
"""

import argparse
import datetime
import inspect
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from importlib import metadata

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_reg import regularizers

STRENGTH = 1e-4
# Arguments beside the defaults, which every class is measured with.
VARIANTS = {
    "Orthogonal": [
        {"exact": True},
        *(
            {"kind": kind, "exact": exact}
            for kind in ("mutual_coherence", "srip")
            for exact in (False, True)
        ),
    ],
    "SpectralNorm": [{"exact": True}],
}
KERAS = {
    "keras L1": lambda: keras.regularizers.L1(STRENGTH),
    "keras L2": lambda: keras.regularizers.L2(STRENGTH),
    "keras OrthogonalRegularizer": lambda: keras.regularizers.OrthogonalRegularizer(STRENGTH),
}
# A case that takes longer than this, in seconds, is measured in the first rounds alone.
SLOW, SLOW_ROUNDS = 1.0, 3


def penalty_classes(base: type = regularizers.Penalty) -> list[type]:
    children = base.__subclasses__()
    found = {cls for child in children for cls in [child, *penalty_classes(child)]}
    concrete = (cls for cls in found if not inspect.isabstract(cls))
    return sorted(concrete, key=lambda cls: cls.__name__)


def cases() -> dict[str, Callable]:
    """A name and a function that makes the regularizer, for each that a layer takes."""
    found: dict[str, Callable] = {"bare": lambda: None, **KERAS}
    for cls in filter(lambda cls: cls.differentiable, penalty_classes()):
        for kwargs in [{}, *VARIANTS.get(cls.__name__, [])]:
            text = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
            found[f"{cls.__name__}({text})"] = lambda cls=cls, kwargs=kwargs: cls(
                STRENGTH, **kwargs
            )
    return found


def training_step(regularizer, width: int, depth: int, batch: int) -> Callable:
    """A function that takes one compiled training step and waits for its loss."""
    layers = [
        keras.layers.Dense(width, activation="relu", kernel_regularizer=regularizer)
        for _ in range(depth)
    ]
    model = keras.Sequential([keras.Input((width,)), *layers])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((batch, width)).astype("float32") for _ in range(2))
    x, y = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)
    return lambda: float(model.train_on_batch(x, y))


def warmed_up(makers: dict, options) -> tuple[dict, dict]:
    """The steps that work, compiled, and for the others the reason why not."""
    steps, refused = {}, {}
    for name, make in makers.items():
        try:
            step = training_step(make(), options.width, options.depth, options.batch)
            if not all(np.isfinite(step()) for _ in range(2)):
                raise ValueError("the loss is not finite")
            steps[name] = step
        except Exception as error:
            refused[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return steps, refused


def measure(steps: dict, rounds: int) -> dict[str, list[float]]:
    """Seconds of each step, interleaved."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for done in range(rounds):
        for name, step in steps.items():
            if done >= SLOW_ROUNDS and statistics.median(seconds[name]) > SLOW:
                continue
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def rows(seconds: dict[str, list[float]], refused: dict[str, str]) -> list[tuple[str, ...]]:
    bare, fastest = statistics.median(seconds["bare"]), min(seconds["bare"])
    table = []
    for name, times in seconds.items():
        middle, low = statistics.median(times), min(times)
        milliseconds = (f"{1e3 * middle:.1f}", f"{1e3 * low:.1f}")
        ratios = (f"{middle / bare:.2f}", f"{low / fastest:.2f}")
        table.append((name, *milliseconds, *ratios, str(len(times))))
    return table + [(name, "", "", reason, "", "0") for name, reason in refused.items()]


def machine() -> str:
    backend = keras.backend.backend()
    versions = " ".join(f"{name} {metadata.version(name)}" for name in ("keras", backend, "numpy"))
    model = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if "model name" in line), "")
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    system = f"{model or platform.processor()}, {os.cpu_count()} cores, {platform.system()}"
    return (
        f"{datetime.date.today()}, {system}, Python {platform.python_version()}, {versions}, {load}"
    )


HEADER = ("penalty", "median ms", "fastest ms", "median / bare", "fastest / bare", "steps")


def markdown(table: list[tuple[str, ...]], title: str) -> str:
    lines = [HEADER, ["---"] * len(HEADER), *table]
    return "\n".join([title, "", *("| " + " | ".join(line) + " |" for line in lines), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--only", default="", help="regular expression over the names")
    parser.add_argument("--markdown", help="file to write the table to")
    options = parser.parse_args()
    chosen = {
        name: make
        for name, make in cases().items()
        if name == "bare" or re.search(options.only, name)
    }
    steps, refused = warmed_up(chosen, options)
    table = rows(measure(steps, options.rounds), refused)
    title = f"{options.depth} x Dense({options.width}), batch {options.batch}, SGD. {machine()}"
    shown = Table(*HEADER, title=title)
    for row in table:
        shown.add_row(*row)
    Console().print(shown)
    if options.markdown:
        with open(options.markdown, "w") as file:
            file.write(markdown(table, title))


if __name__ == "__main__":
    main()
