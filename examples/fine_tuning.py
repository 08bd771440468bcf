"""Fine-tuning on little data: pretrained on the digits 0 to 4, adapted to 5 to 9.

`regularize` gives the pretrained layers an L2SP penalty, which pulls them back to where they
started instead of to zero: they forget less. The new output layer has L2. "Old digits" is the
accuracy that the old output layer still has on top of the adapted layers. Means over several draws
of the training set. Run with `python examples/fine_tuning.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from reporting import command, save, show
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

LAYERS = ("hidden_1", "hidden_2")


def load():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    old = y < 5
    return [train_test_split(x[i], y[i] % 5, test_size=0.5, random_state=0) for i in (old, ~old)]


def network():
    layers = [keras.layers.Dense(128, activation="relu", name=name) for name in LAYERS]
    return keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(5, name="logits")])


def fit(model, x, y, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.fit(x, y, 32, epochs, verbose=0)


def rules(pretrained, strength):
    """L2SP towards each pretrained kernel, and L2 for the layer that is new."""
    kernels = {name: pretrained.get_layer(name).get_weights()[0] for name in LAYERS}
    found = {f"{name}/kernel": kr.regularizers.L2SP(strength, kernels[name]) for name in LAYERS}
    return {**found, "logits/kernel": kr.regularizers.L2(0.01)}


def starts(pretrained, strength):
    """A name, whether to start from the pretrained layers, and the penalties."""
    yield "from scratch", False, None
    yield "fine-tuned", True, None
    yield "fine-tuned, L2", True, kr.regularizers.L2(0.01)
    yield "fine-tuned, L2SP", True, rules(pretrained, strength)


def accuracy(model, x, y):
    return np.mean(keras.ops.convert_to_numpy(model(x)).argmax(axis=1) == y)


def adapted(pretrained, warm, penalties, x, y, epochs):
    model = network()
    for name in LAYERS if warm else ():
        model.get_layer(name).set_weights(pretrained.get_layer(name).get_weights())
    kr.regularize(model, penalties)
    fit(model, x, y, epochs)
    return model


def main(output=".", shots=5, draws=5, epochs=40, strength=0.05):
    keras.utils.set_random_seed(0)
    (x_old, old_test, y_old, y_old_test), (x, x_test, y, y_test) = load()
    pretrained = network()
    fit(pretrained, x_old, y_old, epochs)
    head, scores = pretrained.get_layer("logits"), {}
    for draw in track(range(draws)):
        split = {"train_size": 5 * shots, "stratify": y}
        few, _, y_few, _ = train_test_split(x, y, random_state=draw, **split)
        for name, warm, penalties in starts(pretrained, strength):
            keras.utils.set_random_seed(draw)
            model = adapted(pretrained, warm, penalties, few, y_few, epochs)
            old = keras.Sequential([*model.layers[:-1], head])
            row = accuracy(model, x_test, y_test), accuracy(old, old_test, y_old_test)
            scores.setdefault(name, []).append(row)
    results = {}
    for name, rows in scores.items():
        new, old = np.transpose(rows)
        results[name] = {"new digits": new.mean(), "spread": new.std(), "old digits": old.mean()}
    title = f"Digits 5 to 9 from {shots} of each, {draws} draws"
    show(title, results, dict.fromkeys(("new digits", "spread", "old digits"), ".1%"))
    figure, axes = plt.subplots(layout="constrained")
    for name, rows in scores.items():
        axes.plot(*np.transpose(rows)[::-1], "o", label=name)
    axes.set(xlabel="accuracy on old digits", ylabel="accuracy on new digits", title=title)
    axes.legend()
    save(figure, output, "fine_tuning.png")
    return results


if __name__ == "__main__":
    command(main)
