"""Fair timing: cases take turns in one run, ratios of medians, the machine beside the figures."""

import datetime
import os
import pathlib
import platform
import random
import re
import statistics
import time
from collections.abc import Callable
from importlib import metadata

import keras
from rich.console import Console
from rich.table import Table

RESULTS = pathlib.Path(__file__).with_name("RESULTS.md")
HEADER = ("case", "median ms", "fastest ms", "spread", "median ratio", "fastest ratio", "calls")
# A case that takes longer than this, in seconds, is measured in the first rounds alone.
SLOW, SLOW_ROUNDS = 1.0, 3


def interleave(
    cases: dict[str, Callable],
    rounds: int,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every call, all cases in turn, round after round, each round in another order.

    What else the machine does then falls on all of them alike, as does what the case before left in
    the caches. A case must wait for its own result.
    """
    for case in cases.values():
        for _ in range(warm_up):
            case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    order, shuffle = list(cases.items()), random.Random(0).shuffle
    for done in range(rounds):
        shuffle(order)
        for name, case in order:
            if done >= SLOW_ROUNDS and statistics.median(seconds[name]) > SLOW:
                continue
            start = clock()
            case()
            seconds[name].append(clock() - start)
    return seconds


def wait(result: object) -> object:
    """The result of an operation, once it is there: JAX returns before."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.block_until_ready(result)
    return result


def median(times: list[float]) -> float:
    return statistics.median(times)


def spread(times: list[float]) -> str:
    """The range between the quartiles, as a share of the median."""
    if len(times) < 2:
        return ""
    low, middle, high = statistics.quantiles(times, n=4)
    return f"{(high - low) / middle:.0%}"


def ratio(seconds: dict[str, list[float]], case: str, base: str) -> float:
    """How many times the median of `base` the median of `case` takes."""
    return median(seconds[case]) / median(seconds[base])


def rows(seconds: dict[str, list[float]], base: str) -> list[tuple[str, ...]]:
    """A line for each case, in the columns of HEADER."""
    return [
        (
            name,
            f"{1e3 * median(times):.2f}",
            f"{1e3 * min(times):.2f}",
            spread(times),
            f"{ratio(seconds, name, base):.2f}",
            f"{min(times) / min(seconds[base]):.2f}",
            str(len(times)),
        )
        for name, times in seconds.items()
    ]


def machine() -> str:
    """Date, device and versions, in one line."""
    backend = keras.backend.backend()
    packages = ("keras", backend, "numpy")
    versions = " ".join(f"{name} {metadata.version(name)}" for name in packages)
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"Python {platform.python_version()}"
    return f"{datetime.date.today()}, {_device()}, {python}, {versions}, {load}"


def report(section: str, title: str, table: list[tuple[str, ...]], header=HEADER) -> None:
    """Prints a table, and with BENCHMARK_RESULTS=1 writes it into RESULTS.md.

    There it replaces what stands between the marks of its section, or comes last.
    """
    if _accelerator():
        section = f"{section} on {_accelerator()}"
    shown = Table(*header, title=f"{title}\n{machine()}")
    for row in table:
        shown.add_row(*row)
    Console(width=110).print(shown)
    if os.environ.get("BENCHMARK_RESULTS") == "1":
        body = markdown(header, table)
        write_section(RESULTS, section, f"### {section}\n\n{title}\n\n{machine()}\n\n{body}")


def markdown(header: tuple[str, ...], table: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *table]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_section(path: pathlib.Path, section: str, body: str) -> None:
    """Puts `body` between the marks of a section of a Markdown file."""
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    block = f"{begin}\n{body}\n{end}"
    text = path.read_text() if path.exists() else "# Measured\n"
    if begin in text:
        text = re.sub(f"{begin}.*?{end}", lambda _: block, text, flags=re.DOTALL)
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    path.write_text(text)


def _device() -> str:
    if _accelerator():
        return _accelerator()
    model = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if "model name" in line), "")
    return f"{model or platform.processor()}, {os.cpu_count()} cores, {platform.system()}"


def _accelerator() -> str:
    """What JAX computes on if that is no CPU, else nothing."""
    if keras.backend.backend() != "jax":
        return ""
    import jax

    device = jax.devices()[0]
    return "" if device.platform == "cpu" else f"{len(jax.devices())} x {device.device_kind}"
