"""Magnitude pruning, for people who come from TensorFlow Model Optimization.

One dense network on digits is trained, then fine-tuned while `TopK` prunes it along the usual
polynomial ramp: each layer by magnitude, all layers in one ranking in Adam's metric, or by
`NM(2, 4)`. Beside it the same in one cut. The size is that of the kernels under zlib. Last, whole
units are pruned to half of the multiply-adds, and `compact` makes the network smaller.
`--dataset mnist` takes MNIST from `keras.datasets`. Run with `python examples/pruning.py`.
"""

import typing
import zlib

import keras
import matplotlib.pyplot as plt
from reporting import command, save, show, smaller
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

Dataset = typing.Literal["digits", "mnist", "fashion_mnist"]
BATCH = 64
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)


def load(dataset):
    if dataset == "digits":
        x, y = load_digits(return_X_y=True)
        x = x.astype("float32") / 16
        return train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    (x, y), (x_test, y_test) = getattr(keras.datasets, dataset).load_data()
    x, x_test = (part.reshape(len(part), -1).astype("float32") / 255 for part in (x, x_test))
    return x, x_test, y, y_test


def network(pixels, weights=None):
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(units, activation="relu") for units in (256, 128)]
    model = keras.Sequential([keras.Input((pixels,)), *hidden, keras.layers.Dense(10)])
    if weights is not None:
        model.set_weights(weights)
    return model


def fit(model, optimizer, x, y, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(x, y, BATCH, epochs, verbose=0)


def cut(model, penalty):
    """Prunes once, without training."""
    for layer in model.layers:
        layer.kernel.assign(penalty.prox(layer.kernel, step=1.0))


def row(model, x, y):
    kernels = [layer.get_weights()[0] for layer in model.layers if layer.weights]
    packed = [zlib.compress(kernel.tobytes(), 9) for kernel in kernels]
    right = keras.ops.convert_to_numpy(model(x)).argmax(axis=1) == y
    size = sum(map(len, packed)) / 1000
    return {"accuracy": right.mean(), "zeros": kr.sparsity(model).sparsity, "kB": size}


def main(output=".", dataset: Dataset = "digits", epochs=30):
    x, x_test, y, y_test = load(dataset)
    dense = network(x.shape[1])
    fit(dense, "adam", x, y, epochs)
    results = {"dense": row(dense, x_test, y_test)}
    steps = epochs * -(-len(x) // BATCH)
    # The last third of the training holds the final sparsity.
    ramp = {s: kr.schedules.Polynomial(0.0, s, steps=max(1, steps * 2 // 3)) for s in SPARSITIES}
    pairs = {f"TopK({s})": (kr.regularizers.TopK(s), kr.regularizers.TopK(ramp[s])) for s in ramp}
    pairs["NM(2, 4)"] = (kr.regularizers.NM(2, 4), kr.regularizers.NM(2, 4))
    for name, (once, gradual) in track(pairs.items()):
        model = network(x.shape[1], dense.get_weights())
        cut(model, once)
        results[f"{name}, one cut"] = row(model, x_test, y_test)
        ways = {"fine-tuned": (gradual, "euclidean")}
        if isinstance(once, kr.regularizers.TopK):
            ranking = kr.regularizers.TopK(gradual.sparsity, scope="all")
            ways["all, adaptive"] = ranking, "adaptive"
        for how, (penalty, metric) in ways.items():
            model = network(x.shape[1], dense.get_weights())
            fit(model, kr.optimizers.Proximal("adam", penalty, metric=metric), x, y, epochs)
            results[f"{name}, {how}"] = row(model, x_test, y_test)
    model = network(x.shape[1], dense.get_weights())
    half = kr.schedules.Polynomial(0.0, 0.5, steps=max(1, steps * 2 // 3))
    units = {kr.channels(model): kr.regularizers.TopK(half, scope="all", of="macs")}
    fit(model, kr.optimizers.Proximal("adam", units), x, y, epochs)
    small = smaller(model, x_test, y_test)
    results["half of the MACs, compact"] = row(small, x_test, y_test)
    title = f"Pruning a dense network, {dataset}"
    show(title, results, {"accuracy": ".1%", "zeros": ".1%", "kB": ".1f"})
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for how in ("one cut", "fine-tuned", "all, adaptive"):
        found = [r for name, r in results.items() if name.startswith("TopK") and how in name]
        axes.plot([r["zeros"] for r in found], [r["accuracy"] for r in found], "o-", label=how)
    axes.axhline(results["dense"]["accuracy"], color="0.5", linestyle=":", label="dense")
    axes.set(xlabel="exact zeros", ylabel="test accuracy", title=title)
    axes.legend()
    save(figure, output, "pruning.png")
    return results


if __name__ == "__main__":
    command(main)
