"""Trains a small network on the digits and draws its report into docs/images/report_*.png.

Run with `python docs/report.py`; it takes about a minute on two cores.
"""

import pathlib

import keras
from sklearn.datasets import load_digits

import keras_reg as kr

IMAGES = pathlib.Path(__file__).parent / "images"


def network():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, activation="relu", name="conv_1"),
            layers.Conv2D(64, 3, activation="relu", name="conv_2"),
            layers.Flatten(),
            layers.Dense(128, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ],
        name="digits",
    )


def main(epochs=30):
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8, 1).astype("float32")
    groups = kr.regularizers.SparseGroupLasso(0.3, group_axis=-1)
    penalties = {"(conv|hidden).*/kernel": groups, "logits/kernel": kr.regularizers.L1(0.1)}
    model = network()
    model.compile(
        kr.optimizers.Proximal(keras.optimizers.Adam(2e-3), penalties),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(
        *(x[:1400], y[:1400], 64, epochs),
        validation_data=(x[1400:], y[1400:]),
        verbose=0,
        callbacks=[kr.callbacks.SparsityReport(per_weight=True)],
    )
    plots = kr.report.plots
    figures = {
        "epochs": plots.sparsity_over_epochs(history),
        "norms": plots.group_norms(model),
        "weights": plots.weights(model),
        "metric": plots.metric_against_sparsity(history, "val_accuracy"),
    }
    for name, figure in figures.items():
        figure.savefig(IMAGES / f"report_{name}.png", dpi=100)


if __name__ == "__main__":
    main()
