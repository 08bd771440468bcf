"""The defaults of the concave penalties suit weights as networks have them."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_reg import regularizers
from keras_reg.optimizers import Proximal

DATA = load_digits(return_X_y=True)


def dense():
    return [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)]


def convolutional():
    return [
        keras.layers.Reshape((8, 8, 1)),
        keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]


@pytest.mark.once
@pytest.mark.parametrize("network", [dense, convolutional])
@pytest.mark.parametrize("cls", [regularizers.MCP, regularizers.SCAD])
def test_the_weights_that_are_kept_are_not_shrunk(cls, network):
    keras.utils.set_random_seed(0)
    x, y = (DATA[0] / 16).astype("float32"), DATA[1]
    model, penalty = keras.Sequential([keras.Input((64,)), *network()]), cls(0.3)
    model.compile(
        Proximal(keras.optimizers.Adam(3e-3), penalty),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(x, y, 64, 20, verbose=0)
    weights = np.concatenate([np.ravel(w) for w in model.get_weights() if w.ndim > 1])
    kept = np.abs(weights[weights != 0])
    assert 0.25 < np.mean(weights == 0) < 0.9
    assert history.history["accuracy"][-1] > 0.9
    shrunk = kept - np.abs(np.asarray(penalty.prox(kept, step=3e-3)))
    assert np.mean(shrunk == 0) > 0.85
