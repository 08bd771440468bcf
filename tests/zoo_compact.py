"""compact on every model of `keras.applications` and on backbones of KerasHub.

Half of the channels of every group become zero by four patterns; what is removed, and how far the
outputs are from those of the first model. `make compact` writes the tables of docs/compact.md from
a file with a line for each run, so that it may be interrupted: applications in double precision on
TensorFlow, backbones in single precision on PyTorch.

    python tests/zoo_compact.py RESULTS [--hub] [--seconds S] [--seeds N] [--write]
"""

import argparse
import collections
import gc
import inspect
import json
import time
from pathlib import Path

import hub_models
import keras
import numpy as np
from zeroed import PATTERNS, zero_some

import keras_reg as kr
from keras_reg.structure.channels import channels

PAGE = Path(__file__).parents[1] / "docs" / "compact.md"
MARK = "<!-- `make compact` writes what follows -->"
KINDS = ("whole", "kernels", "rows", "random")
# The least that some models take; 32 pixels are enough for the others.
PIXELS = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71, "NASNetLarge": 331}
# By the time that they take: the first come first, the last come last.
FIRST = ("MobileNet", "EfficientNetB0", "EfficientNetV2B0", "ResNet50", "DenseNet121")
FIRST = (*FIRST, "NASNetMobile", "Xception", "InceptionV3", "ConvNeXtTiny", "VGG16")
LAST = ("V2M", "V2L", "B4", "B5", "B6", "B7", "Base", "XLarge", "Large", "152", "201")
LAST = (*LAST, "InceptionRes")


def applications():
    """Their names, large ones last."""
    names = [name for name, one in vars(keras.applications).items() if inspect.isfunction(one)]

    def place(name):
        is_early = any(name.startswith(one) for one in FIRST)
        return not is_early, any(part in name for part in LAST), name

    return sorted(names, key=place)


def made(name):
    """A model with weights of normal size, and statistics of what it computes."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    pixels = PIXELS.get(name, 32)
    options = {"weights": None, "classes": 5, "classifier_activation": None}
    model = getattr(keras.applications, name)(input_shape=(pixels, pixels, 3), **options)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if len(weight.shape) == 1:
            is_gain = "gamma" in weight.path
            weight.assign(0.1 * rng.normal(size=weight.shape) + is_gain)
    calibrate(model)
    return model


def calibrate(model):
    """Moving statistics become those of a batch, without which deep models forget their inputs."""
    norms = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    momenta = [one.momentum for one in norms]
    for one in norms:
        one.momentum = 0.0
    if norms:
        model(inputs_of(model, 8), training=True)
    for one, momentum in zip(norms, momenta, strict=True):
        one.momentum = momentum


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


def run(model, kind, seed, first):
    """One line of the results."""
    for weight, value in zip(model.weights, first, strict=True):
        weight.assign(value)
    groups = zero_half(model, kind, seed)
    x = inputs_of(model)
    start = time.process_time()
    small = kr.compact(model, verify=False)
    seconds = time.process_time() - start
    one, other = (np.asarray(m(x, training=False), "float64") for m in (model, small))
    zeroed = int(sum(dead.sum() for _, dead in groups))
    stays = kept(small, groups)
    why = []
    if stays:
        table = kr.compacting.removable(model)
        why = [row.why for row in table.stays]
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
    done = {(row["name"], row["kind"], row["seed"]) for row in lines(path)}
    for name in applications():
        runs = [(kind, seed) for seed in range(seeds) for kind in KINDS]
        runs = [one for one in runs if (name, *one) not in done]
        if not runs or time.process_time() > seconds:
            continue
        try:
            model = made(name)
            first = model.get_weights()
            for kind, seed in runs:
                append(path, {"name": name, **run(model, kind, seed, first)})
        except Exception as error:  # A table is to tell which models fail.
            append(path, {"name": name, "kind": "", "seed": 0, "error": str(error)[:200]})
        model = first = None
        gc.collect()


def measure_hub(path):
    """Appends a line for each backbone that is not in the file yet."""
    done = {row["name"] for row in lines(path)}
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
    right = [
        name
        for name in names
        if all("error" not in row and row["difference"] < 1e-9 for row in of(rows, name))
    ]
    found = [
        f"{len(right)} of the {len(applications())} models of keras.applications; the largest "
        "difference is relative to the largest output, and seconds are those of one processor "
        "for one call of `compact` without its check.",
        "",
        "| model | parameters left: whole | kernels | rows | random | zero, and stay | "
        "largest difference | seconds | runs |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*found, *(line(name, of(rows, name)) for name in names)]) + "\n"


def of(rows, name):
    return [row for row in rows if row["name"] == name]


def line(name, rows):
    failed = [row["error"] for row in rows if "error" in row]
    if failed:
        return f"| {name} | {failed[0]} | | | | | | | |"
    shares = []
    for kind in KINDS:
        some = [row["parameters"] for row in rows if row["kind"] == kind]
        share = np.mean([after / before for before, after in some]) if some else None
        shares.append("" if share is None else f"{100 * share:.0f}%")
    zeroed, stay = (sum(row[key] for row in rows) for key in ("zeroed", "kept"))
    worst = max(row["difference"] for row in rows)
    seconds = np.median([row["seconds"] for row in rows])
    cells = [name, *shares, f"{stay:,} of {zeroed:,}", f"{worst:.0e}", f"{seconds:.0f}"]
    return f"| {' | '.join([*cells, str(len(rows))])} |"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("results", type=Path)
    arguments.add_argument("--seconds", type=float, default=float("inf"), help="of processors")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--hub", action="store_true", help="backbones, not applications")
    arguments.add_argument("--write", action="store_true", help="rewrite the tables of the docs")
    given = arguments.parse_args()
    if given.hub:
        measure_hub(given.results)
    else:
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        measure(given.results, given.seconds, given.seeds)
    if given.write:
        rows = lines(given.results)
        first = table([row for row in rows if "hub" not in row])
        second = hub_table([row for row in rows if "hub" in row])
        head = PAGE.read_text().split(MARK)[0]
        PAGE.write_text(f"{head}{MARK}\n\n{first}\n{second}")


if __name__ == "__main__":
    main()
