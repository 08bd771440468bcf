"""Networks and data of benchmarks/channels.py: small ResNets and MobileNets on two tasks."""

import keras
import numpy as np
from accuracy_tasks import load

layers = keras.layers

TASKS = ("digits", "mnist1d")
NETWORKS = ("ResNet", "MobileNet")


def data(task: str) -> tuple[np.ndarray, ...]:
    """Training and test examples with an axis for channels, training and test labels."""
    x, x_test, y, y_test = load(task)
    shape = (8, 8, 1) if task == "digits" else (40, 1)
    return x.reshape(-1, *shape), x_test.reshape(-1, *shape), y, y_test


class Kind:
    """The layers of one number of dimensions."""

    def __init__(self, dimensions: int):
        self.shape = (8, 8, 1) if dimensions == 2 else (40, 1)
        self.conv = layers.Conv2D if dimensions == 2 else layers.Conv1D
        self.depthwise = layers.DepthwiseConv2D if dimensions == 2 else layers.DepthwiseConv1D
        self.pool = (
            layers.GlobalAveragePooling2D if dimensions == 2 else layers.GlobalAveragePooling1D
        )
        self.size = 3 if dimensions == 2 else 5

    def normed(self, x, filters: int, size: int, strides: int = 1, is_active: bool = True):
        """A convolution and its normalization."""
        x = self.conv(filters, size, strides, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        return layers.ReLU()(x) if is_active else x

    def residual(self, x, filters: int, strides: int = 1):
        """A basic block of a ResNet."""
        y = self.normed(x, filters, self.size, strides)
        y = self.normed(y, filters, self.size, is_active=False)
        if strides > 1 or x.shape[-1] != filters:
            x = self.normed(x, filters, 1, strides, is_active=False)
        return layers.ReLU()(layers.Add()([x, y]))

    def inverted(self, x, filters: int, strides: int = 1):
        """An inverted residual of a MobileNetV2."""
        y = self.normed(x, 4 * x.shape[-1], 1)
        y = self.depthwise(self.size, strides, padding="same", use_bias=False)(y)
        y = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(y))
        y = self.normed(y, filters, 1, is_active=False)
        return layers.Add()([x, y]) if x.shape == y.shape else y


def network(name: str, task: str) -> keras.Model:
    """A small network of a kind: about 20,000 parameters or less."""
    kind = Kind(2 if task == "digits" else 1)
    inputs = keras.Input(kind.shape)
    if name == "ResNet":
        x = kind.normed(inputs, 12, kind.size)
        for filters, strides in ((12, 1), (24, 2), (24, 1)):
            x = kind.residual(x, filters, strides)
    else:
        x = kind.normed(inputs, 8, kind.size)
        for filters, strides in ((8, 1), (16, 2), (16, 1)):
            x = kind.inverted(x, filters, strides)
        x = kind.normed(x, 48, 1)
    return keras.Model(inputs, layers.Dense(10)(kind.pool()(x)), name=name.lower())
