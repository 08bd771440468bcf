"""Channels of every model of `keras.applications` and of `hub_models`: groups, shares, reasons.

`make channels` writes the tables of docs/channels.md, on JAX: one model is not for PyTorch.

    python tests/zoo_channels.py [--write]
"""

import argparse
import collections
import gc
import inspect
import re
import time
from pathlib import Path

import hub_models
import keras
import keras_hub

from keras_reg.structure.channels import channels

PAGE = Path(__file__).parents[1] / "docs" / "channels.md"
MARK = "<!-- `make channels` writes what follows -->"
# What each model has and needs no explanation: rows of words, and the outputs.
EXPECTED = ("ops.Take chooses", "used as indices", "an output of the model", "no layer makes them")


def applications():
    """A maker of each model by its name, without weights, at its usual size."""
    names = [name for name, one in vars(keras.applications).items() if inspect.isfunction(one)]
    return {name: lambda n=name: getattr(keras.applications, n)(weights=None) for name in names}


def measured(make):
    """Groups, those that can go, the share of parameters in these, seconds, reasons by channels."""
    keras.backend.clear_session()
    model = make()
    start = time.process_time()
    found = channels(model)
    seconds = time.process_time() - start
    reasons = collections.Counter()
    for group in found:
        if group.pinned and not group.pinned.startswith(EXPECTED):
            reasons[general(group.pinned)] += group.size
    return len(found), len(found.free()), found.share, seconds, reasons


def general(reason):
    """A reason without the names of layers and what an error said besides."""
    return re.sub(r" '[^']*'", "", reason).split(" (")[0]


def row(name, result):
    groups, free, share, seconds, reasons = result
    why = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(3))
    return f"| {name} | {groups} | {free} | {100 * share:.1f}% | {seconds:.1f} | {why} |"


def table(title, makers):
    lines = [
        title,
        "",
        "| model | groups | can go | share | seconds | what else stays, and how many channels |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, make in makers.items():
        lines.append(row(name, measured(make)))
        print(lines[-1], flush=True)
        gc.collect()
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--write", action="store_true", help="rewrite the tables of the docs")
    given = arguments.parse_args()
    version = f"Keras {keras.__version__}, {keras.backend.backend()}"
    tables = [
        table(f"keras.applications at their usual sizes ({version}):", applications()),
        table(
            f"Backbones of keras-hub {keras_hub.__version__}, as small as they can be, so that "
            "embeddings weigh more in the share than they would:",
            hub_models.MODELS,
        ),
    ]
    if given.write:
        head = PAGE.read_text().split(MARK)[0]
        PAGE.write_text(f"{head}{MARK}\n\n" + "\n".join(tables))


if __name__ == "__main__":
    main()
