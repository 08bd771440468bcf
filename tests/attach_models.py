"""Models of every kind of layer for the tests of `regularize`, and what those ask of them."""

import keras
import numpy as np
import oracles
from keras import layers

from keras_reg.structure import is_kernel

IMAGE, SEQUENCE = (6, 6, 3), (5, 4)


def dense_model(**kwargs):
    hidden = layers.Dense(4, activation="tanh", name="hidden", **kwargs)
    return keras.Sequential([keras.Input((3,)), hidden, layers.Dense(2, name="out")])


def nested():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="hidden")], name="inner")
    return keras.Sequential([keras.Input((3,)), inner, layers.Dense(2, name="out")])


def of(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def attention(**kwargs):
    x = keras.Input(SEQUENCE)
    layer = layers.MultiHeadAttention(2, 3, name="attention", **kwargs)
    return keras.Model(x, layer(x, x))


def grouped_attention():
    x = keras.Input(SEQUENCE)
    return keras.Model(x, layers.GroupQueryAttention(3, 4, 2)(x, x))


def shared():
    x, dense = keras.Input((3,)), layers.Dense(3, name="shared")
    return keras.Model(x, dense(dense(x)))


def lora():
    model = dense_model()
    model.layers[0].enable_lora(2)
    return model


# A model and how many kernels it has.
MODELS = {
    "dense": (dense_model, 2),
    "nested": (nested, 2),
    "shared": (shared, 1),
    "conv": (lambda: of(IMAGE, layers.Conv2D(2, 3), layers.Conv2DTranspose(2, 3)), 2),
    "depthwise": (lambda: of(IMAGE, layers.DepthwiseConv2D(3)), 1),
    "separable": (lambda: of(IMAGE, layers.SeparableConv2D(2, 3)), 2),
    "embedding": (lambda: of((5,), layers.Embedding(7, 3)), 1),
    "einsum": (lambda: of(SEQUENCE, layers.EinsumDense("abc,cd->abd", (None, 3))), 1),
    "attention": (attention, 4),
    "grouped attention": (grouped_attention, 4),
    "lstm": (lambda: of(SEQUENCE, layers.LSTM(3)), 2),
    "gru": (lambda: of(SEQUENCE, layers.GRU(3)), 2),
    "simple rnn": (lambda: of(SEQUENCE, layers.SimpleRNN(3)), 2),
    "cells": (lambda: of(SEQUENCE, layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)])), 4),
    "bidirectional": (lambda: of(SEQUENCE, layers.Bidirectional(layers.LSTM(3))), 4),
    "time distributed": (lambda: of(SEQUENCE, layers.TimeDistributed(layers.Dense(2))), 1),
    "lora": (lora, 3),
}


def value(model):
    return sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses)


def definition(penalty, model):
    """The sum over the trainable kernels, from the oracles."""
    kernels = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights if is_kernel(w)]
    return sum(oracles.value(penalty, kernel) for kernel in kernels)


def configs(model):
    """The config of each trainable weight's regularizer, in the model's order."""
    found = [weight.regularizer for weight in model.trainable_weights]
    return [None if one is None else (type(one), one.get_config()) for one in found]


def saved(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def data(count=16):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, 3)).astype("float32")
    return x, rng.standard_normal((count, 2)).astype("float32")


def fit(model, epochs=1):
    x, y = data()
    model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return np.concatenate([w.ravel() for w in model.get_weights()])
