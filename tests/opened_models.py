"""Small models with code of their own: tables of positions, attention and kernels by hand."""

import keras
import numpy as np
from keras import layers, ops


def of(*stack, shape=(6, 5)):
    return keras.Sequential([keras.Input(shape), *stack])


class Positions(keras.layers.Layer):
    """Adds nothing: returns rows of a table that is longer than the sequence."""

    def build(self, shape):
        self.table = self.add_weight(shape=(9, shape[-1]), name="embeddings")

    def call(self, x):
        length, width = ops.shape(x)[1:]
        rows = ops.slice(ops.convert_to_tensor(self.table), (0, 0), (length, width))
        return ops.broadcast_to(rows, ops.shape(x))

    def compute_output_shape(self, shape):
        return shape


class FirstToken(keras.layers.Layer):
    """Puts a learned token before the others."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

    def call(self, x):
        token = ops.tile(self.token, (ops.shape(x)[0], 1, 1))
        return ops.concatenate([token, x], axis=1)


class Experts(keras.layers.Layer):
    """Two kernels by matmul and einsum."""

    def build(self, shape):
        self.first = self.add_weight(shape=(shape[-1], 7), name="first_kernel")
        self.second = self.add_weight(shape=(7, shape[-1]), name="second_kernel")

    def call(self, x):
        return ops.einsum("btf,fd->btd", ops.tanh(ops.matmul(x, self.first)), self.second)


class Rotated(keras.layers.Layer):
    """Attention over heads by hand, with rotated queries and keys, that may return its scores."""

    def __init__(self, fused=False, **kwargs):
        super().__init__(**kwargs)
        self.fused = fused
        self.query, self.key, self.value = (
            layers.EinsumDense("btd,dhk->bthk", (None, 3, 4), name=name)
            for name in ("query", "key", "value")
        )
        self.out = layers.EinsumDense("bthk,hkd->btd", (None, 5), name="out")

    def build(self, shape):
        for layer in (self.query, self.key, self.value):
            layer.build(shape)
        self.out.build((*shape[:2], 3, 4))

    def rotate(self, x):
        first, second = ops.split(x, 2, axis=-1)
        turned = ops.reshape(ops.stack((-second, first), axis=-2), ops.shape(x))
        angles = ops.arange(ops.shape(x)[1], dtype="float32")[:, None, None] * 0.3
        return x * ops.cos(angles) + turned * ops.sin(angles)

    def call(self, x, cache=None, training=None):
        q, k, v = self.rotate(self.query(x)), self.rotate(self.key(x)), self.value(x)
        if self.fused:
            return self.out(ops.dot_product_attention(q, k, v, scale=0.5)), None
        scores = ops.softmax(ops.einsum("bthk,bshk->bhts", q, k) * 0.5)
        return self.out(ops.einsum("bhts,bshk->bthk", scores, v)), None


class Block(keras.layers.Layer):
    """Layers of one name, a merge that was never built, an activation that is a function."""

    def __init__(self, fused=False, **kwargs):
        super().__init__(**kwargs)
        self.attention = Rotated(fused, name="inner")
        self.mlp = [
            layers.Dense(8, activation=lambda x: x * ops.sigmoid(1.702 * x), name="inner"),
            layers.Dense(5, name="inner"),
        ]
        self.add = layers.Add()

    def build(self, shape):
        self.attention.build(shape)
        self.mlp[0].build(shape)
        self.mlp[1].build((*shape[:-1], 8))

    def call(self, x, training=None):
        y, _ = self.attention(x, cache=None, training=training)
        x = self.add([x, y])
        return x + self.mlp[1](self.mlp[0](x))


def positions():
    x = keras.Input((6, 5))
    y = layers.Dense(4)(x)
    return keras.Model(x, layers.Dense(2)(ops.tanh(y + Positions()(y))))


def first_token():
    return of(layers.Dense(4), FirstToken(), layers.Dense(2))


MODELS = {
    "positions": positions,
    "first token": first_token,
    "experts": lambda: of(layers.Dense(5), Experts(), layers.Dense(2)),
    "block": lambda: of(layers.Dense(5), Block(), layers.Dense(2)),
    "fused": lambda: of(layers.Dense(5), Block(fused=True), layers.Dense(2)),
}


def made(name):
    """A model with every weight drawn at random."""
    model = MODELS[name]()
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape).astype("float32"))
    return model
