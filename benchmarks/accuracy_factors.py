"""Weight factorization, a peer of penalties that make zeros: weights are products of factors.

An L2 penalty on D factors of a weight w is, where they are balanced, one of |w|**(2 / D) on the
weight: Kolb, Weber, Bischl & Ruegamer, "Deep Weight Factorization: Sparse Learning Through the Lens
of Artificial Symmetries", ICLR 2025. It makes weights small, not zero: the largest are kept.
"""

import accuracy_loop
import accuracy_tasks as tasks
import accuracy_training as training
import keras
import numpy as np
from keras import ops

import keras_reg as kr


class Factored(keras.layers.Dense):
    """A dense layer whose kernel is a product of factors of its shape, balanced at the start."""

    def __init__(self, units: int, depth: int, **kwargs):
        super().__init__(units, **kwargs)
        self.depth = depth

    def build(self, input_shape: tuple) -> None:
        shape = (input_shape[-1], self.units)
        start = ops.convert_to_numpy(keras.initializers.GlorotUniform()(shape))
        size = np.abs(start) ** (1 / self.depth)
        self.factors = [
            self.add_weight(
                shape=shape, initializer=lambda *_, v=value, **__: v, name=f"factor_{n}"
            )
            for n, value in enumerate([np.sign(start) * size] + [size] * (self.depth - 1))
        ]
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.built = True

    def weights_of(self):
        product = self.factors[0]
        for factor in self.factors[1:]:
            product = product * factor
        return product

    def call(self, inputs, training=None):
        return self.activation(ops.matmul(inputs, self.weights_of()) + self.bias)


def train(task, depth, strength, sparsity, x, y, setting, seeds) -> list[keras.Model]:
    """The models of a training for each seed: factors, then the largest of their products alone."""
    steps = len(x) // setting.batch
    (first, last), rates = setting.parts, setting.rates(steps)
    models = []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        hidden = [Factored(units, depth, activation="relu") for units in tasks.UNITS[task]]
        model = keras.Sequential([keras.Input((x.shape[1],)), *hidden, Factored(10, depth)])
        penalties = {r"factor_\d": kr.regularizers.L2(strength)}
        optimizer = kr.optimizers.Proximal(setting.adam(rates[0]), penalties, metric="adaptive")
        models.append(training.compiled(model, optimizer))
    accuracy_loop.train(models, x, y, setting.batch, first, seeds)
    kept = [largest(training.network(task, x.shape[1]), model, sparsity) for model in models]
    for model in kept:
        training.compiled(model, kr.optimizers.FixedSupport(setting.adam(rates[1])))
    accuracy_loop.train(kept, x, y, setting.batch, last, seeds)
    return kept


def largest(model: keras.Model, factored: keras.Model, sparsity: float) -> keras.Model:
    """The plain model with the largest weights of a factored one."""
    products = [ops.convert_to_numpy(layer.weights_of()) for layer in factored.layers]
    limit = np.quantile(np.abs(np.concatenate([one.ravel() for one in products])), sparsity)
    for layer, source, product in zip(model.layers, factored.layers, products, strict=True):
        layer.kernel.assign(np.where(np.abs(product) > limit, product, 0))
        layer.bias.assign(source.bias)
    return model
