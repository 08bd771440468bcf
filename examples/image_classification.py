"""A convolutional network with group-sparse filters and scheduled dropout, on small images.

Data: scikit-learn's digits (8 x 8) and mnist1d (signals of 40 points, made by that package);
`--dataset mnist`, `fashion_mnist` or `cifar10` takes the one of `keras.datasets`. A filter of
which all weights are zero can be cut, whatever the hardware. Run with `python
examples/image_classification.py`.
"""

import functools
import typing

import keras
import matplotlib.pyplot as plt
import numpy as np
from reporting import command, save, show
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

BATCH, FILTERS = 64, (32, 64)
Dataset = typing.Literal["small", "digits", "mnist1d", "mnist", "fashion_mnist", "cifar10"]


def load(dataset):
    """Training and test images, scaled, with a channel axis, and their labels."""
    if dataset == "digits":
        x, y = load_digits(return_X_y=True)
        x, x_test, y, y_test = train_test_split(x / 16, y, stratify=y, random_state=0)
        return x.reshape(-1, 8, 8, 1), x_test.reshape(-1, 8, 8, 1), y, y_test
    if dataset == "mnist1d":
        from mnist1d.data import get_dataset_args, make_dataset

        data = make_dataset(get_dataset_args())
        return data["x"][..., None], data["x_test"][..., None], data["y"], data["y_test"]
    (x, y), (x_test, y_test) = getattr(keras.datasets, dataset).load_data()
    shape = (*x.shape[1:3], -1)
    x, x_test = (part.reshape(len(part), *shape) / 255 for part in (x, x_test))
    return x, x_test, y.ravel(), y_test.ravel()


def network(shape, dropout):
    keras.utils.set_random_seed(0)
    convolution = keras.layers.Conv1D if len(shape) == 2 else keras.layers.Conv2D
    pool = keras.layers.MaxPooling1D if len(shape) == 2 else keras.layers.MaxPooling2D
    model = keras.Sequential([keras.Input(shape)])
    for filters in FILTERS:
        model.add(convolution(filters, 3, padding="same", activation="relu"))
        model.add(pool(2))
    model.add(keras.layers.Flatten())
    if dropout is not None:
        model.add(kr.layers.ScheduledDropout(dropout))
    model.add(keras.layers.Dense(10))
    return model


def trainings(steps, strength):
    """A name, the schedule of the dropout's rate and the optimizer."""
    rate = kr.schedules.Linear(0.0, 0.5, steps=max(1, steps // 2))
    filters = {"conv.*/kernel": kr.regularizers.GroupLasso(strength, group_axis=-1)}
    descent = functools.partial(keras.optimizers.SGD, 0.05, momentum=0.9)
    yield "plain", None, descent()
    yield "scheduled dropout", rate, descent()
    yield "group lasso", None, kr.optimizers.Proximal(descent(), filters)
    yield "both", rate, kr.optimizers.Proximal(descent(), filters)


def main(output=".", dataset: Dataset = "small", epochs=20, strength=5e-4):
    results, names = {}, ("digits", "mnist1d") if dataset == "small" else (dataset,)
    figure, panels = plt.subplots(1, len(names), figsize=(5.5 * len(names), 4), squeeze=False)
    for name, axes in zip(names, panels[0], strict=True):
        x, x_test, y, y_test = load(name)
        steps = epochs * -(-len(x) // BATCH)
        for training, rate, optimizer in track(list(trainings(steps, strength)), f"{name:8}"):
            model = network(x.shape[1:], rate)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(optimizer, loss, metrics=["accuracy"])
            history = model.fit(
                x, y, BATCH, epochs, verbose=0, validation_data=(x_test, y_test)
            ).history
            rows = kr.sparsity(model).rows[: len(FILTERS)]
            results[f"{name}, {training}"] = {
                "test accuracy": history["val_accuracy"][-1],
                "gap": history["accuracy"][-1] - history["val_accuracy"][-1],
                "filters out": f"{sum(row.zero_outputs for row in rows)}/{sum(FILTERS)}",
            }
            axes.plot(history["val_accuracy"], label=training)
        axes.set(title=name, xlabel="epoch", ylabel="test accuracy")
        axes.set_ylim(bottom=np.mean(history["val_accuracy"]) - 0.2)
        axes.legend()
    formats = {"test accuracy": ".1%", "gap": ".1%", "filters out": ""}
    show(f"Convolutional networks, {epochs} epochs", results, formats)
    save(figure, output, "image_classification.png")
    return results


if __name__ == "__main__":
    command(main)
