"""Trains all dropout layers over all devices and prints what came out.

For test_scheduled_training.py.
"""

import json

import keras
import numpy as np
from dropout_kinds import IMAGE_KINDS
from keras import ops

from keras_reg import layers, schedules


def family(rate):
    """A layer of every kind over images, and a kernel that loses weights."""
    start = keras.initializers.RandomNormal(seed=7)
    dropped = [kind(rate, seed=number) for number, kind in enumerate(IMAGE_KINDS)]
    convolution = keras.layers.Conv2D(2, 3, kernel_initializer=start)
    connect = layers.ScheduledDropConnect(convolution, rate, seed=8)
    head = [keras.layers.Flatten(), keras.layers.Dense(1, kernel_initializer=start)]
    return [*dropped, connect, *head]


def train():
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    parts = family(schedules.Linear(0.1, 0.3, steps=4))
    model = keras.Sequential([keras.Input((6, 6, 3)), *parts])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    random = np.random.default_rng(0)
    x, y = random.standard_normal((48, 6, 6, 3)), random.standard_normal((48, 1))
    model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    mask = ops.convert_to_numpy(parts[0](ops.ones((16, 6, 6, 3)), training=True)) != 0
    weights = [ops.convert_to_numpy(w).ravel() for w in model.trainable_weights]
    return {
        "devices": len(keras.distribution.list_devices()),
        "steps": [part.step for part in parts if isinstance(part, layers.Scheduled)],
        "mask": mask.astype(int).tolist(),
        "weights": np.concatenate(weights).tolist(),
    }


if __name__ == "__main__":
    print(json.dumps(train()))
