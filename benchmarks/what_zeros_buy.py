"""What zeros buy: accuracy, file size and latency of pruned, compacted and quantized networks.

    KERAS_BACKEND=tensorflow python benchmarks/what_zeros_buy.py

A convolutional network and a dense one on scikit-learn's digits. Each is trained once a seed, then
trained on with the penalty of each line from there, for the same number of epochs. Accuracies are
means over the seeds; files and latencies are those of the first seed's models, all of a network
timed in turn. "int8" is `model.quantize("int8")`, and for LiteRT the converter's own quantization
of weights; a dash stands where a format cannot hold such a model.

It needs onnx, onnxruntime, tf2onnx, ai-edge-litert and openvino.
"""

import argparse
import re
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accuracy_tasks as tasks
import keras
import numpy as np
import tensorflow as tf
import timing

import keras_reg as kr
from keras_reg.evaluation import runtimes
from keras_reg.evaluation.cost import medians
from keras_reg.evaluation.exported import Exported

R = kr.regularizers
EPOCHS, BATCH, RATE = 20, 64, 2e-3
INT8 = ", int8"
FORMATS = ("onnx", "litert", "openvino")
HEADER = (
    "model",
    "accuracy",
    "zeros",
    "MACs",
    "ONNX file",
    "zipped",
    "ONNX Runtime",
    "LiteRT",
    "OpenVINO",
)


def cnn() -> keras.Model:
    layers = [keras.Input((64,)), keras.layers.Reshape((8, 8, 1))]
    for filters in (32, 64):
        layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
    layers += [keras.layers.MaxPooling2D(), keras.layers.Flatten()]
    layers += [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def mlp() -> keras.Model:
    hidden = [keras.layers.Dense(units, activation="relu") for units in (1024, 512)]
    return keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])


def train(model: keras.Model, data: tuple, optimizer: Any, callbacks: tuple = ()) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    model.fit(data[0], data[2], BATCH, EPOCHS, verbose=0, callbacks=list(callbacks))


def penalties(model: keras.Model, steps: int) -> dict[str, Any]:
    """The penalties of a `Proximal` for each way to have zeros."""

    def top(share: float, **arguments: Any) -> R.Penalty:
        ramp = kr.schedules.Polynomial(0.0, share, steps=steps // 2)
        return R.TopK(ramp, scope="all", **arguments)

    channels = kr.channels(model)
    # Inputs of each output in blocks of four: not the one input of the first convolution.
    kernels = [w.path for w in model.trainable_variables if len(w.shape) > 1 and w.shape[-2] > 1]
    return {
        "90% zeros": top(0.9),
        "2:4": {re.escape(path): R.NM(2, 4) for path in kernels},
        "50% of the channels": {channels: top(0.5, at_least=0.1)},
        "75% of the channels": {channels: top(0.75, at_least=0.1)},
    }


def trained(network: Callable[[], keras.Model], seed: int, folder: Path) -> dict[str, keras.Model]:
    """The dense network, and the same trained on with each penalty; kept in a folder."""
    data = tasks.load("digits")
    steps = EPOCHS * -(-len(data[0]) // BATCH)
    keras.utils.set_random_seed(seed)
    models = {"dense": network()}
    for name in ("dense", *penalties(models["dense"], steps)):
        model = keras.models.clone_model(models["dense"])
        written = re.sub(r"\W+", "_", name)
        file = folder / f"{network.__name__}_{seed}_{written}.weights.h5"
        if file.exists():
            model.load_weights(file)
        elif name == "dense":
            train(model, data, keras.optimizers.Adam(RATE))
        else:
            model.set_weights(models["dense"].get_weights())
            cosine = keras.optimizers.schedules.CosineDecay(RATE, round(0.75 * steps), 0.01)
            penalty = penalties(model, steps)[name]
            proximal = kr.optimizers.Proximal(keras.optimizers.Adam(cosine), penalty)
            train(model, data, proximal, (kr.callbacks.Refit(at=0.75),))
        model.save_weights(file)
        models[name] = model
    return models


def variants(models: dict[str, keras.Model]) -> dict[str, keras.Model]:
    """All lines of the table but the quantized ones."""
    found = {}
    for name, model in models.items():
        if "channels" in name:
            found[f"{name} zero"] = model
            found[f"{name} compacted"] = kr.compact(model)
            found[f"{name} compacted, multiples of 8"] = kr.compact(model, multiple_of=8)
        else:
            found[name] = model
    return found


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


def exported(models: dict[str, keras.Model], kind: str, folder: Path) -> dict[str, Exported]:
    """The files of one format; those that Keras or the runtime cannot do are left out."""
    done: dict[str, Exported] = {}
    for place, (name, model) in enumerate(models.items()):
        path = folder / f"{kind}_{place}" / f"model{runtimes.FORMATS[kind].suffix}"
        path.parent.mkdir()
        one, options = np.zeros((1, 64), "float32"), {}
        if kind == "litert" and name.endswith(INT8):
            # The converter does not read what Keras quantized.
            model, options = (
                models[name.removesuffix(INT8)],
                {"optimizations": [tf.lite.Optimize.DEFAULT]},
            )
        try:
            file = Exported(model, kind, one, path, 1, options)
            file.check(0.0)
            done[name] = file
        except Exception as error:  # Whatever the converter raises.
            print(f"{kind}, {name}: {type(error).__name__}: {str(error)[:80]}", flush=True)
    return done


def measured(models: dict[str, keras.Model], calls: int) -> dict[str, list[str]]:
    """Of each model the bytes of its ONNX file, plain and zipped, and a latency per format."""
    lines: dict[str, list[str]] = {name: [] for name in models}
    with tempfile.TemporaryDirectory() as folder:
        for kind in FORMATS:
            files = exported(models, kind, Path(folder))
            seconds = medians([one.call for one in files.values()], calls)
            times = dict(zip(files, seconds, strict=True))
            for name, line in lines.items():
                if kind == "onnx":
                    check = files[name].check(0.0)
                    line += [f"{check.size / 1000:.0f} kB", f"{check.zipped / 1000:.0f} kB"]
                line.append(f"{1e6 * times[name]:.0f} µs" if name in times else "-")
    return lines


def table(
    network: Callable[[], keras.Model], seeds: int, calls: int, folder: Path
) -> list[tuple[str, ...]]:
    data = tasks.load("digits")
    scores: dict[str, list[float]] = {}
    kept: dict[str, keras.Model] = {}
    for seed in range(seeds):
        models = variants(trained(network, seed, folder))
        models |= {f"{name}{INT8}": quantized(model) for name, model in models.items()}
        for name, model in models.items():
            scores.setdefault(name, []).append(accuracy(model, data))
        print(f"seed {seed}", {name: f"{one[-1]:.4f}" for name, one in scores.items()}, flush=True)
        kept = kept or models
    figures = measured(kept, calls)
    rows = []
    for name, model in kept.items():
        mean, spread = statistics.mean(scores[name]), statistics.pstdev(scores[name])
        counted = kr.sparsity(model)
        cells = (f"{mean:.1%} ± {spread:.1%}", f"{counted.sparsity:.0%}", f"{counted.macs:,}")
        rows.append((name, *cells, *figures[name]))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--store", type=Path, default=Path("build/what_zeros_buy"))
    options = parser.parse_args()
    options.store.mkdir(parents=True, exist_ok=True)
    for name, network in {"CNN": cnn, "MLP": mlp}.items():
        title = f"{name} on digits, {options.seeds} seeds, one example a call, one thread"
        rows = table(network, options.seeds, options.calls, options.store)
        timing.report(f"what zeros buy, {name}", title, rows, HEADER)


if __name__ == "__main__":
    main()
