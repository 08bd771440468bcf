"""A small network with dropout, its data and how the tests of Proximal train it."""

import keras
import numpy as np
from keras import ops

from keras_reg import layers, schedules


def dense_model(**kwargs):
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu", name="hidden", **kwargs),
            layers.ScheduledDropout(schedules.Linear(0.0, 0.3, steps=10), seed=3),
            keras.layers.Dense(1, name="out"),
        ]
    )


def data(n=64):
    random = np.random.default_rng(0)
    x = random.standard_normal((n, 6)).astype("float32")
    return x, (x[:, :1] - 2 * x[:, 1:2]).astype("float32")


def fit(model, epochs=2, **kwargs):
    return model.fit(*data(), epochs=epochs, batch_size=16, shuffle=False, verbose=0, **kwargs)


def first_update(optimizer, variables):
    """An update with gradients of zero, which is when a wrapper looks at the variables."""
    optimizer.apply([ops.zeros(variable.shape) for variable in variables], variables)


def weights_of(model):
    return [ops.convert_to_numpy(variable) for variable in model.trainable_weights]
