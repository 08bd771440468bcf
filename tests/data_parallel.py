"""Trains over all devices and prints what came out, for test_scheduled_training.py."""

import json

import keras
import numpy as np
from keras import ops

from keras_reg import layers, schedules


def train():
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    dropout = layers.ScheduledDropout(schedules.Linear(0.1, 0.5, steps=4), seed=1)
    dense = keras.layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(seed=7))
    model = keras.Sequential([keras.Input((8,)), dropout, dense])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    random = np.random.default_rng(0)
    x, y = random.standard_normal((48, 8)), random.standard_normal((48, 1))
    model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    mask = ops.convert_to_numpy(dropout(ops.ones((16, 8)), training=True)) != 0
    return {
        "devices": len(keras.distribution.list_devices()),
        "step": int(dropout.step) - 1,
        "mask": mask.astype(int).tolist(),
        "weights": ops.convert_to_numpy(dense.kernel).ravel().tolist(),
    }


if __name__ == "__main__":
    print(json.dumps(train()))
