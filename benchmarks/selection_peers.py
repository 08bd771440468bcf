"""How many inputs LassoNet and an input-sparse network of this package need, on the digits.

    KERAS_BACKEND=jax python benchmarks/selection_peers.py

The network has 64 inputs and a hidden layer of 64 units in both. LassoNet trains its own path; ours
is a `path` of GroupLasso on the rows of the first kernel, refitted with its zeros fixed, as
LassoNet's networks are debiased by its theorem on their skip layer alone. For each number of inputs
that either keeps: the best validation accuracy decides, the test accuracy is printed. Needs
`pip install lassonet`, which brings PyTorch.
"""

import argparse
import functools

import keras
import numpy as np
import timing
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

BOUNDS = (5, 10, 15, 20, 30, 64)


def data(seed):
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    return x, x_test, y, y_test


def network():
    model = keras.Sequential([keras.Input((64,))])
    model.add(keras.layers.Dense(64, activation="relu", name="first"))
    model.add(keras.layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def ours(seed, epochs):
    """Inputs, validation accuracy and a function to the test accuracy, at each strength."""
    x, x_test, y, y_test = data(seed)
    inputs = {"first/kernel": kr.regularizers.GroupLasso(group_axis="inputs")}
    result = kr.selection.path(
        network, x, y, inputs, strengths=np.geomspace(0.02, 3, 25), epochs=epochs, seeds=[seed],
        validation_split=0.2, score="accuracy", verbose=0,
    )  # fmt: skip

    def tested(row):
        model = result.refit(row, epochs=max(1, epochs // 5))
        return model.evaluate(x_test, y_test, verbose=0)[1]

    return [(row.inputs_left, row.score, functools.partial(tested, row)) for row in result.rows]


def lassonet(seed, epochs):
    """The same of LassoNet, with its own defaults but for the path's factor."""
    import torch
    from lassonet import LassoNetClassifier

    torch.manual_seed(seed)
    x, x_test, y, y_test = data(seed)
    cut = int(0.8 * len(x))
    model = LassoNetClassifier(
        hidden_dims=(64,), n_iters=(epochs, max(1, epochs // 6)), patience=(50, 5),
        path_multiplier=1.1, random_state=seed, torch_seed=seed, verbose=0,
    )  # fmt: skip

    def accuracy(item, x, y):
        model.load(item.state_dict)
        return np.mean(model.predict(x) == y)

    parts = {"X_val": x[cut:], "y_val": y[cut:], "return_state_dicts": True}
    return [
        (
            int(item.selected.sum()),
            accuracy(item, x[cut:], y[cut:]),
            functools.partial(accuracy, item, x_test, y_test),
        )
        for item in model.path(x[:cut], y[:cut], **parts)
    ]


def best_within(points, bound):
    """The test accuracy of the best on validation rows among those with at most so many inputs."""
    fits = [point for point in points if point[0] <= bound]
    return max(fits, key=lambda point: point[1])[2]() if fits else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    given = parser.parse_args()
    rows = []
    for name, method, epochs in (
        ("keras_reg path", ours, given.epochs),
        ("LassoNet", lassonet, 10 * given.epochs),  # Its epochs are one update each.
    ):
        runs = [method(seed, epochs) for seed in range(given.seeds)]
        found = np.array([[best_within(points, bound) for bound in BOUNDS] for points in runs])
        cells = zip(found.mean(axis=0), found.std(axis=0), strict=True)
        rows.append((name, *(f"{mean:.1%} ± {spread:.1%}" for mean, spread in cells)))
    header = ("test accuracy with at most", *(f"{bound} inputs" for bound in BOUNDS))
    title = f"digits, a hidden layer of 64 units, {given.seeds} seeds"
    timing.report("selection: LassoNet", title, rows, header)


if __name__ == "__main__":
    main()
