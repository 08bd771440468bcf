"""What zeros buy: accuracy, file size and latency of pruned, compacted and quantized networks.

    KERAS_BACKEND=tensorflow python benchmarks/what_zeros_buy.py

It rewrites the tables of docs/zeros.md, and with BENCHMARK_RESULTS=1 those of RESULTS.md. The
networks of `zeros_networks.py` are trained and exported once; their files, sizes and accuracies are
kept in `--store`, so that a second run measures latencies alone (a minute or two). Accuracies are
means over the seeds; files and latencies are those of the first seed's models, all of a network
timed in turn. "int8" is `model.quantize("int8")`, and for LiteRT the converter's own quantization
of weights; a dash stands where a format cannot hold such a model.

It needs onnx, onnxruntime, tf2onnx, ai-edge-litert and openvino.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import warnings
from typing import Any

import accuracy_tasks as tasks
import keras
import numpy as np
import tensorflow as tf
import timing
import zeros_networks as networks

import keras_reg as kr
from keras_reg.evaluation import runtimes
from keras_reg.evaluation.cost import medians
from keras_reg.evaluation.exported import Exported

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "zeros.md"
INT8 = ", int8"
FORMATS = {
    "onnx": "ONNX Runtime",
    "litert": "LiteRT",
    "openvino": "OpenVINO",
    "tf_saved_model": "SavedModel",
}
HEADER = ("model", "accuracy", "zeros", "multiply-adds", "ONNX file", "zipped", *FORMATS.values())
ONE = np.zeros((1, 64), "float32")


def quantized(model: keras.Model) -> keras.Model:
    """A copy whose layers hold int8 weights, as far as Keras quantizes them."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of each layer without a matrix.
        copy.quantize("int8")
    return copy


def accuracy(model: keras.Model, data: tuple) -> float:
    return float(np.mean(np.argmax(model.predict(data[1], verbose=0), axis=1) == data[3]))


def export(models: dict[str, keras.Model], kind: str, folder: pathlib.Path) -> dict[str, list]:
    """Writes the files of one format: place, bytes and zipped bytes of each that can be exported.

    Those that Keras, the converter or the runtime cannot do are left out.
    """
    done: dict[str, list] = {}
    for place, (name, model) in enumerate(models.items()):
        path = folder / f"{kind}_{place}" / f"model{runtimes.FORMATS[kind].suffix}"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir(parents=True)
        options: dict[str, Any] = {}
        if kind == "litert" and name.endswith(INT8):
            # The converter does not read what Keras quantized.
            model = models[name.removesuffix(INT8)]
            options = {"optimizations": [tf.lite.Optimize.DEFAULT]}
        try:
            check = Exported(model, kind, ONE, path, 1, options).check(0.0)
        except ImportError:  # A runtime is missing: a dash would say that it cannot do it.
            raise
        except Exception as error:  # Whatever the converter raises.
            print(f"{kind}, {name}: {type(error).__name__}: {str(error)[:80]}", flush=True)
            continue
        done[name] = [str(path), check.size, check.zipped]
        print(f"{kind}, {name}: {check.size:,} bytes, {check.difference:.1e} apart", flush=True)
    return done


def prepared(name: str, seeds: int, store: pathlib.Path) -> dict[str, Any]:
    """Accuracies, counts and files of all models of a network, from the store if they are there."""
    kept = store / f"{name}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    data = tasks.load("digits CNN")
    scores: dict[str, list[float]] = {}
    first: dict[str, keras.Model] = {}
    for seed in range(seeds):
        models = networks.variants(networks.trained(name, seed, data, store))
        models |= {f"{one}{INT8}": quantized(model) for one, model in models.items()}
        for one, model in models.items():
            scores.setdefault(one, []).append(accuracy(model, data))
        print(f"seed {seed}", {one: f"{all_[-1]:.4f}" for one, all_ in scores.items()}, flush=True)
        first = first or models
    counted = {one: kr.sparsity(model) for one, model in first.items()}
    found = {
        "accuracy": scores,
        "counts": {one: [table.sparsity, table.macs] for one, table in counted.items()},
        "files": {kind: export(first, kind, store / name) for kind in FORMATS},
    }
    kept.write_text(json.dumps(found))
    return found


def latencies(files: dict[str, dict[str, list]], calls: int) -> dict[str, list[str]]:
    """Microseconds of a call of each model in each format, those of one format in turn."""
    lines: dict[str, list[str]] = {name: [] for name in files["onnx"]}
    for kind, written in files.items():
        programs = {
            name: runtimes.FORMATS[kind].open(pathlib.Path(path), ["input"], 1)
            for name, (path, *_) in written.items()
        }
        runs = [lambda one=one: one.run([ONE]) for one in programs.values()]
        times = dict(zip(programs, medians(runs, calls), strict=True))
        for name, line in lines.items():
            line.append(f"{1e6 * times[name]:.0f} µs" if name in times else "-")
    return lines


def rows(found: dict[str, Any], calls: int) -> list[tuple[str, ...]]:
    times = latencies(found["files"], calls)
    table = []
    for name, scores in found["accuracy"].items():
        mean, spread = statistics.mean(scores), statistics.pstdev(scores)
        (zeros, macs), (_, size, zipped) = found["counts"][name], found["files"]["onnx"][name]
        cells = (f"{mean:.1%} ± {spread:.1%}", f"{zeros:.0%}", f"{macs:,}")
        sizes = (f"{size / 1000:.0f} kB", f"{zipped / 1000:.0f} kB")
        table.append((name, *cells, *sizes, *times[name]))
    return table


def write_page(section: str, table: list[tuple[str, ...]]) -> None:
    """Puts a table into docs/zeros.md, without the column of zeros."""
    lines = [HEADER, ("---", *["---:"] * (len(HEADER) - 1)), *table]
    text = ["| " + " | ".join((*line[:2], *line[3:])) + " |" for line in lines]
    body = "\n".join(text).replace(" ± ", "&nbsp;±&nbsp;")
    timing.write_section(PAGE, section, f"{body}\n\nMeasured: {timing.machine()}.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--store", type=pathlib.Path, default=pathlib.Path("build/what_zeros_buy"))
    parser.add_argument("--prepare", action="store_true", help="train and export, time nothing")
    options = parser.parse_args()
    options.store.mkdir(parents=True, exist_ok=True)
    for name in networks.NETWORKS:
        found = prepared(name, options.seeds, options.store)
        if not options.prepare:
            table = rows(found, options.calls)
            seeds = len(found["accuracy"]["dense"])
            title = f"{name} on digits, {seeds} seeds, one example a call, one thread"
            timing.report(f"what zeros buy, {name}", title, table, HEADER)
            write_page(f"what zeros buy, {name}", table)


if __name__ == "__main__":
    main()
