"""Trains for 100 steps from a fixed start and prints the weights as JSON, for test_backends.py."""

import json

import keras
import numpy as np
from keras import ops

from keras_reg import layers, regularizers, schedules
from keras_reg.optimizers import Proximal


def train():
    random = np.random.default_rng(0)
    x = random.standard_normal((32, 6)).astype("float32")
    y = (x[:, :1] - x[:, 1:2]).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="tanh", name="hidden"),
            layers.ScheduledDropout(schedules.Linear(0.0, 0.3, steps=80), seed=5),
            keras.layers.Dense(1, name="out", kernel_regularizer=regularizers.L2(1e-3)),
        ]
    )
    for variable in model.trainable_weights:
        variable.assign(0.5 * random.standard_normal(variable.shape))
    strength = schedules.Linear(0.0, 0.1, steps=50)
    penalties = {"hidden/kernel": regularizers.GroupLasso(strength, group_axis=-2)}
    model.compile(Proximal(keras.optimizers.Adam(0.01), penalties), "mse")
    for _ in range(100):
        model.train_on_batch(x, y)
    return [ops.convert_to_numpy(variable).tolist() for variable in model.trainable_weights]


if __name__ == "__main__":
    print(json.dumps(train()))
