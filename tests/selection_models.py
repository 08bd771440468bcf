"""A small network and its data, for the tests of selection."""

import keras
import numpy as np


def data(n=60, inputs=6, seed=0):
    """Inputs, of which the first two matter, and targets that are numbers."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, inputs)).astype("float32")
    return x, (x[:, 0] - 2 * x[:, 1] + 0.3 * random.standard_normal(n)).astype("float32")


def classes(n=60, inputs=6):
    x, y = data(n, inputs)
    return x, (y > 0.5).astype("int64")


def network(loss="mse", optimizer=None, dropout=0.1, metrics=(), outputs=1):
    """A model whose first kernel is `hidden/kernel`."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu", name="hidden"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(outputs, name="out"),
        ]
    )
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss, metrics=list(metrics))
    return model
