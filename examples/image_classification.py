"""A convolutional network with group-sparse filters and scheduled dropout, on small images.

Data: scikit-learn's digits (8 x 8) and mnist1d (signals of 40 points, made by that package);
`--dataset mnist`, `fashion_mnist` or `cifar10` takes the one of `keras.datasets`. A filter of
which all weights are zero is removed by `compact`, whatever the hardware. The strength is the
largest that costs less than a point on validation data. Run with `python
examples/image_classification.py`.
"""

import typing

import keras
import matplotlib.pyplot as plt
import numpy as np
from reporting import command, save, show, smaller
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

BATCH, FILTERS, STRENGTHS = 64, (32, 64), (2e-3, 1e-3, 5e-4, 2e-4)
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


def fit(data, epochs, rate=None, strength=0.0):
    """A trained model and its history."""
    x, x_validation, y, y_validation = data
    model = network(x.shape[1:], rate)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    if strength:
        filters = {kr.channels(model).matching("conv.*"): kr.regularizers.GroupLasso(strength)}
        optimizer = kr.optimizers.Proximal(optimizer, filters)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    validation = x_validation, y_validation
    return model, model.fit(x, y, BATCH, epochs, verbose=0, validation_data=validation).history


def chosen(data, epochs, without):
    """The largest strength with which less than a point of validation accuracy is lost."""
    for strength in STRENGTHS:
        if fit(data, epochs, None, strength)[1]["val_accuracy"][-1] > without - 0.01:
            return strength
    return STRENGTHS[-1]


def main(output=".", dataset: Dataset = "small", epochs=20, strength=0.0):
    results, names = {}, ("digits", "mnist1d") if dataset == "small" else (dataset,)
    figure, panels = plt.subplots(1, len(names), figsize=(5.5 * len(names), 4), squeeze=False)
    for name, axes in zip(names, panels[0], strict=True):
        x, x_test, y, y_test = load(name)
        data = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
        rate = kr.schedules.Linear(0.0, 0.5, steps=max(1, epochs * -(-len(data[0]) // BATCH) // 2))
        best = strength or chosen(data, epochs, fit(data, epochs)[1]["val_accuracy"][-1])
        trainings = {"plain": (None, 0.0), "scheduled dropout": (rate, 0.0)}
        trainings |= {"group lasso": (None, best), "both": (rate, best)}
        for training, setting in track(trainings.items(), f"{name:8}"):
            model, history = fit(data, epochs, *setting)
            rows = kr.sparsity(model).rows[: len(FILTERS)]
            accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
            results[f"{name}, {training}"] = {
                "test accuracy": accuracy,
                "gap": history["accuracy"][-1] - accuracy,
                "strength": setting[1],
                "filters out": f"{sum(row.zero_outputs for row in rows)}/{sum(FILTERS)}",
            }
            axes.plot(history["val_accuracy"], label=training)
        axes.set(title=name, xlabel="epoch", ylabel="validation accuracy")
        axes.set_ylim(bottom=np.mean(history["val_accuracy"]) - 0.2)
        axes.legend()
        smaller(model, x_test, y_test)
    formats = {"test accuracy": ".1%", "gap": ".1%", "strength": ".4g", "filters out": ""}
    show(f"Convolutional networks, {epochs} epochs", results, formats)
    save(figure, output, "image_classification.png")
    return results


if __name__ == "__main__":
    command(main)
