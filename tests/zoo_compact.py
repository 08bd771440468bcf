"""compact on every model of `keras.applications` and on backbones of KerasHub.

Half of the channels of every group become zero by four patterns; what is removed, and how far the
outputs are from those of the first model. `make compact` writes the tables of docs/compact.md from
a file with a line for each run, so that it may be interrupted: applications in double precision on
TensorFlow, the ten smallest in single precision on each backend, backbones in single precision on
PyTorch.

    python tests/zoo_compact.py RESULTS [--hub | --single] [--seconds S] [--seeds N] [--write]

`make smallest`, a step of CI, runs the ten smallest alone and fails if one does not hold.
"""

import argparse
import collections
import functools
import gc
import inspect
import itertools
import json
import sys
import time
from pathlib import Path
from unittest import mock

import hub_models
import keras
import numpy as np
from zeroed import PATTERNS, zero_some

import keras_reg as kr
from keras_reg.compacting.smaller import Options, verified
from keras_reg.compacting.summary import stays_of
from keras_reg.ops.backend import compiled, compiles_each_operation
from keras_reg.structure.channels import channels

PAGE = Path(__file__).parents[1] / "docs" / "compact.md"
MARK = "<!-- `make compact` writes what follows -->"
KINDS = ("whole", "kernels", "rows", "random")
MEANING = {
    "whole": 'all that makes them ("whole")',
    "kernels": "their kernels alone, so that they are constants",
    "rows": "the rows that read them",
    "random": "one of these, drawn for each group",
}
# The least that some models take; 32 pixels are enough for the others.
PIXELS = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
# By the time that they take: the others first, then those with these names, in this order.
LATER = ("ResNet101", "B3", "V2S", "B4", "Base", "ResNet152", "201", "InceptionRes", "B5", "V2M")
LATER = (*LATER, "B6", "B7", "XLarge", "ConvNeXtLarge", "V2L", "NASNetLarge")


SMALLEST = ("MobileNetV3Small", "MobileNetV2", "MobileNet", "NASNetMobile", "EfficientNetB0")
SMALLEST = (*SMALLEST, "MobileNetV3Large", "EfficientNetV2B0", "EfficientNetB1", "DenseNet121")
SMALLEST = (*SMALLEST, "EfficientNetV2B1")
# What Keras does not have on a backend, by its own error.
LACKING = {"torch": ["NASNetMobile"]}
# Half of the channels leave about a quarter of the parameters.
MOST_LEFT = 0.35


def applications():
    """Their names, large ones last."""
    names = [name for name, one in vars(keras.applications).items() if inspect.isfunction(one)]

    def place(name):
        return max([at for at, part in enumerate(LATER, 1) if part in name], default=0), name

    return sorted(names, key=place)


def made(name):
    """A model with weights of normal size, and statistics of what it computes."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    pixels = PIXELS.get(name, 32)
    options = {"weights": None, "classes": 5, "classifier_activation": None}
    with mock.patch.object(keras.initializers.VarianceScaling, "__call__", drawn):
        model = getattr(keras.applications, name)(input_shape=(pixels, pixels, 3), **options)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if len(weight.shape) == 1:
            is_gain = "gamma" in weight.path
            weight.assign(0.1 * rng.normal(size=weight.shape) + is_gain)
    calibrate(model)
    return model


def drawn(initializer, shape, dtype=None):
    """By NumPy, since JAX would compile a program for each shape."""
    values = np.random.default_rng(0).normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
    return values.astype(dtype or keras.config.floatx())


def calibrate(model):
    """Moving statistics become those of a batch, without which deep models forget their inputs."""
    norms = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    momenta = [one.momentum for one in norms]
    for one in norms:
        one.momentum = 0.0
    if norms:
        train(model, inputs_of(model, 8))
    for one, momentum in zip(norms, momenta, strict=True):
        one.momentum = momentum


def train(model, x):
    """What a call in training leaves in the variables; one program where each operation is one."""
    call = functools.partial(model.stateless_call, training=True)
    call = compiled(call) if compiles_each_operation() else call
    others = model.non_trainable_variables
    of = ([one.value for one in some] for some in (model.trainable_variables, others))
    for variable, value in zip(others, call(*of, x)[1], strict=True):
        variable.assign(value)


def inputs_of(model, count=4):
    return 127 * (1 + np.random.default_rng(1).normal(size=(count, *model.inputs[0].shape[1:])))


def zero_half(model, kind, seed):
    """Zeroes half of every group; the number of channels and of those that stay for no reason."""
    rng, groups = np.random.default_rng(seed), []
    for group in channels(model).free():
        pattern = sorted(PATTERNS)[rng.integers(len(PATTERNS))] if kind == "random" else kind
        dead = rng.random(group.size) < 0.5
        dead[rng.integers(group.size)] = False
        zero_some(group, dead, PATTERNS[pattern])
        groups.append((group, dead))
    return groups


def kept(small, groups):
    """Of channels that were zeroed those that are still there."""
    shapes = {weight.path: weight.shape for weight in small.weights}
    count = 0
    for group, dead in groups:
        part = next(one for one in group.parts if "makes" in one.roles)
        now = shapes[part.variable.path][part.axis]
        others = part.variable.shape[part.axis] - part.indices.size
        count += max(0, now - others - int(np.sum(~dead)) * part.indices.shape[1])
    return int(count)


def run(model, kind, seed):
    """One line of the results."""
    groups = zero_half(model, kind, seed)
    x = inputs_of(model)
    start = time.process_time()
    found = verified(model, Options(), verify=False)  # As `compact` calls it.
    seconds = time.process_time() - start
    small = found.model
    one, other = (np.asarray(m(x, training=False), "float64") for m in (model, small))
    zeroed = int(sum(dead.sum() for _, dead in groups))
    stays = kept(small, groups)
    why = [row.why for row in stays_of(found, model)] if stays else []
    return {
        "kind": kind,
        "seed": seed,
        "parameters": [model.count_params(), small.count_params()],
        "zeroed": zeroed,
        "kept": stays,
        "why": [why for why, _ in collections.Counter(why).most_common(3)],
        "difference": float(np.max(np.abs(one - other)) / np.max(np.abs(one))),
        "varies": float(np.std(one, axis=0).mean() / np.abs(one).mean()),
        "seconds": seconds,
    }


def measure(path, seconds, seeds):
    """Appends a line for each run that is not in the file yet, until the time is up."""
    done = {(row["name"], row.get("kind"), row.get("seed")) for row in lines(path)}
    for name, own in in_turn(seeds):
        runs = [one for one in itertools.product(KINDS, own) if (name, *one) not in done]
        if runs and time.process_time() < seconds:
            for row in runs_of(name, runs):
                append(path, {"name": name, **row})
                done.add((name, row["kind"], row["seed"]))


def in_turn(seeds):
    """Models with their seeds: all of the ten smallest, then each model by one seed at a time."""
    yield from ((name, range(seeds)) for name in SMALLEST)
    yield from ((name, [seed]) for seed in range(seeds) for name in applications())


def runs_of(name, runs):
    """A line for each pattern and seed. `compact` leaves a model as it was, so it is made once."""
    gc.collect()
    model = made(name)
    weights = model.get_weights()
    for kind, seed in runs:
        model.set_weights(weights)
        try:
            yield run(model, kind, seed)
        except Exception as error:  # A table is to tell which models fail.
            yield {"kind": kind, "seed": seed, "error": str(error).splitlines()[0][:200]}


def measure_single(path):
    """Appends a line for each of the ten smallest: what `compact` itself compares is the same."""
    backend = keras.backend.backend()
    done = {row["name"] for row in lines(path) if row.get("single") == backend}
    done |= {*LACKING.get(backend, ())}
    for name in (one for one in SMALLEST if one not in done):
        row = {"name": name, "single": backend}
        try:
            model = made(name)
            zero_half(model, "whole", 0)
            small = verified(model, Options(), verify=True)
            row["parameters"] = [model.count_params(), small.model.count_params()]
            row["difference"] = max(small.compared.values())
        except Exception as error:  # A table is to tell which models fail.
            row["error"] = str(error).splitlines()[0][:120]
        append(path, row)


def holds(row):
    """Whether the outputs of one of the ten smallest stayed, and few parameters did."""
    if "error" in row:
        return False
    before, after = row["parameters"]
    return after < MOST_LEFT * before


def single_table(rows):
    """A line on the ten smallest in single precision."""
    found = []
    for backend in dict.fromkeys(row["single"] for row in rows):
        own = [row for row in rows if row["single"] == backend]
        right = sum(map(holds, own))
        lacking = "".join(f", where Keras has no {one}" for one in LACKING.get(backend, ()))
        found.append(f"{right} of {len(own)} on {backend}{lacking}")
    failed = [f"{row['name']}: {row['error']}" for row in rows if "error" in row]
    names = ", ".join(dict.fromkeys(row["name"] for row in rows))
    text = (
        "In single precision `compact` is run with its own check, which allows what rounding "
        f"does: {'; '.join(found)} ({names})."
    )
    return "\n".join([text, *failed, ""]) if rows else ""


def measure_hub(path):
    """Appends a line for each backbone that is not in the file yet."""
    done = {row["name"] for row in lines(path) if "hub" in row}
    for name, make in hub_models.MODELS.items():
        if name in done:
            continue
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        row = {"name": name, "hub": True}
        try:
            model = make()
            zero_half(model, "whole", 0)
            found = kr.compacting.removable(model)
            small = kr.compact(model)
        except Exception as error:  # A table is to tell which models fail.
            append(path, {**row, "error": str(error).splitlines()[0][:120]})
            continue
        row["keeps_class"] = isinstance(small, type(model))
        row["parameters"] = found.parameters
        row["difference"] = max(found.compared.values())
        append(path, row)


def hub_table(rows):
    """The table of backbones."""
    right = sum("error" not in row and row["parameters"][1] < row["parameters"][0] for row in rows)
    found = [
        f"{right} of {len(rows)} backbones of KerasHub get smaller, with the same outputs, when "
        "half of the channels of each group are zero. They are made as small as they can be.",
        "",
        "| backbone | parameters | left | largest difference | class |",
        "|---|---:|---:|---:|---|",
    ]
    for row in rows:
        if "error" in row:
            found.append(f"| {row['name']} | {row['error']} | | | |")
        else:
            before, after = row["parameters"]
            kind = "kept" if row["keeps_class"] else "Functional"
            share, worst = f"{100 * after / before:.0f}%", f"{row['difference']:.0e}"
            found.append(f"| {row['name']} | {before:,} | {share} | {worst} | {kind} |")
    return "\n".join(found) + "\n"


def append(path, row):
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(row, flush=True)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows):
    """The table of the docs."""
    names = [name for name in applications() if any(row["name"] == name for row in rows)]
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    right = [
        name
        for name in names
        if all("error" not in row and row["difference"] < 1e-9 for row in of(rows, name))
    ]
    held = sum("error" not in row and row["difference"] < 1e-9 for row in rows)
    found = [
        f"{len(right)} of the {len(applications())} models of keras.applications, in double "
        "precision on TensorFlow, on images of 32 pixels (71 and 75 where a model wants that), "
        "with random weights. Half of the channels of each group are zero: "
        f"{'; '.join(MEANING[kind] for kind in kinds)}. Of {_possible()} {len(rows)} runs were "
        f"made, and in {held} of them the outputs stayed: {_made(rows, kinds)}. The largest "
        "difference is relative to the largest output; seconds are those of one processor for "
        "one call of `compact` without its check.",
        "",
        f"| model | parameters | left: {' | '.join(kinds)} | zero, and stay | largest difference "
        "| seconds | runs |",
        f"|---|---:|{'---:|' * len(kinds)}---:|---:|---:|---:|",
        *(line(name, kinds, of(rows, name)) for name in names),
    ]
    reasons = {why.partition(" ")[2] for row in rows for why in row.get("why", ())}
    if reasons:
        found += ["", f"What stays: a layer {'; '.join(sorted(reasons))}."]
    return "\n".join(found) + "\n"


def _possible():
    return f"{len(applications())} models x {len(KINDS)} patterns x 3 seeds"


def _made(rows, kinds):
    """How many models were run by each pattern, and by how many seeds."""
    found: dict[str, list[str]] = {}
    for kind in kinds:
        seeds = collections.Counter(row["name"] for row in rows if row["kind"] == kind)
        counts = collections.Counter(seeds.values())
        each = [f"{count} by {number} seeds" for number, count in sorted(counts.items())]
        found.setdefault(" and ".join(each), []).append(f'"{kind}"')
    return "; ".join(f"{', '.join(some)} {each}" for each, some in found.items()).replace(
        "by 1 seeds", "by one seed"
    )


def of(rows, name):
    return [row for row in rows if row["name"] == name]


def line(name, kinds, rows):
    failed = [row["error"] for row in rows if "error" in row]
    if failed:
        return f"| {name} | {failed[0]} |{' |' * (len(kinds) + 4)}"
    shares = []
    for kind in kinds:
        some = [row["parameters"] for row in rows if row["kind"] == kind]
        share = np.mean([after / before for before, after in some]) if some else None
        shares.append("" if share is None else f"{100 * share:.0f}%")
    zeroed, stay = (sum(row[key] for row in rows) for key in ("zeroed", "kept"))
    worst = max(row["difference"] for row in rows)
    seconds = np.median([row["seconds"] for row in rows])
    size = f"{rows[0]['parameters'][0]:,}"
    cells = [name, size, *shares, f"{stay:,} of {zeroed:,}", f"{worst:.0e}", f"{seconds:.1f}"]
    return f"| {' | '.join([*cells, str(len(rows))])} |"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("results", type=Path)
    arguments.add_argument("--seconds", type=float, default=float("inf"), help="of processors")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--hub", action="store_true", help="backbones, not applications")
    arguments.add_argument("--single", action="store_true", help="single precision")
    arguments.add_argument("--write", action="store_true", help="rewrite the tables of the docs")
    given = arguments.parse_args()
    if given.hub:
        measure_hub(given.results)
    elif given.single:
        measure_single(given.results)
    else:
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        measure(given.results, given.seconds, given.seeds)
    if given.write:
        rows = lines(given.results)
        tables = [
            table([row for row in rows if "kind" in row]),
            single_table([row for row in rows if "single" in row]),
            hub_table([row for row in rows if "hub" in row]),
        ]
        head = PAGE.read_text().split(MARK)[0]
        PAGE.write_text(f"{head}{MARK}\n\n" + "\n".join(one for one in tables if one))
    if failed := [row for row in lines(given.results) if "single" in row and not holds(row)]:
        sys.exit(f"These did not hold: {failed}")


if __name__ == "__main__":
    main()
