"""Small models of many constructions, for the tests of channels and of `compact`."""

import keras
import numpy as np
from keras import layers, ops

IMAGE, SEQUENCE = (8, 8, 3), (6, 5)


def of(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def block(x, filters, **kwargs):
    x = layers.Conv2D(filters, 3, padding="same", **kwargs)(x)
    return layers.Activation("tanh")(layers.BatchNormalization()(x))


def head(x, units=3):
    return layers.Dense(units)(layers.GlobalAveragePooling2D()(x))


def residual():
    x = keras.Input(IMAGE)
    first = block(x, 6)
    y = block(block(first, 5), 6)
    return keras.Model(x, head(layers.Add()([first, y])))


def unet():
    x = keras.Input(IMAGE)
    down = block(x, 4)
    deep = block(layers.MaxPooling2D()(down), 6)
    up = layers.Conv2DTranspose(5, 2, strides=2)(deep)
    joined = layers.Concatenate()([down, up])
    return keras.Model(x, layers.Conv2D(2, 1)(block(joined, 4)))


def densenet():
    x = keras.Input(IMAGE)
    y = block(x, 4)
    for _ in range(2):
        y = layers.Concatenate()([y, block(y, 3)])
    return keras.Model(x, head(y))


def squeeze_excite():
    x = keras.Input(IMAGE)
    y = block(x, 6)
    s = layers.GlobalAveragePooling2D(keepdims=True)(y)
    s = layers.Conv2D(2, 1, activation="tanh")(s)
    s = layers.Conv2D(6, 1, activation="sigmoid")(s)
    return keras.Model(x, head(layers.Multiply()([y, s])))


def squeeze_excite_reshaped():
    x = keras.Input(IMAGE)
    y = block(x, 6)
    s = layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(y))
    s = layers.Dense(6, activation="sigmoid")(s)
    return keras.Model(x, head(y * s))


def inverted_residual():
    x = keras.Input(IMAGE)
    y = block(x, 4)
    z = block(y, 8)
    z = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(z))
    z = layers.Conv2D(4, 1, use_bias=False)(z)
    return keras.Model(x, head(layers.Add()([y, z])))


def grouped():
    return of(
        *(IMAGE, layers.Conv2D(6, 1, activation="tanh"), layers.Conv2D(9, 3, groups=3)),
        *(layers.GroupNormalization(3), layers.GlobalAveragePooling2D(), layers.Dense(2)),
    )


def shuffled():
    x = keras.Input((4, 4, 6))
    y = layers.Conv2D(6, 1)(x)
    y = layers.Reshape((4, 4, 2, 3))(y)
    y = layers.Reshape((4, 4, 6))(layers.Permute((1, 2, 4, 3))(y))
    return keras.Model(x, head(layers.Conv2D(4, 1)(y)))


def generator():
    return of(
        *((5,), layers.Dense(4 * 4 * 6), layers.Reshape((4, 4, 6)), layers.BatchNormalization()),
        layers.Conv2DTranspose(2, 3),
    )


def flattened():
    return of(
        *(IMAGE, layers.Conv2D(4, 3, activation="tanh"), layers.MaxPooling2D()),
        *(layers.Flatten(), layers.Dense(5, activation="tanh"), layers.Dense(2)),
    )


def channels_last_and_text():
    return of(
        *((9,), layers.Embedding(11, 6), layers.Conv1D(5, 3, activation="tanh")),
        *(layers.SpatialDropout1D(0.5), layers.GlobalMaxPooling1D(), layers.Dense(2)),
    )


def separable():
    return of(
        *(IMAGE, layers.Conv2D(4, 1), layers.SeparableConv2D(5, 3, depth_multiplier=2)),
        *(layers.PReLU(shared_axes=(1, 2)), layers.GlobalAveragePooling2D(), layers.Dense(2)),
    )


def multiplied_depthwise():
    return of(
        *(IMAGE, layers.Conv2D(4, 1), layers.DepthwiseConv2D(3, depth_multiplier=3)),
        *(layers.Activation("silu"), layers.GlobalAveragePooling2D(), layers.Dense(2)),
    )


def lstm():
    return of(SEQUENCE, layers.LSTM(4, return_sequences=True), layers.LSTM(3), layers.Dense(2))


def gru():
    return of(
        *(SEQUENCE, layers.Dense(4), layers.GRU(4, return_sequences=True)),
        *(layers.SimpleRNN(3), layers.Dense(2)),
    )


def bidirectional():
    return of(
        *(SEQUENCE, layers.Bidirectional(layers.LSTM(3, return_sequences=True))),
        *(layers.Bidirectional(layers.GRU(2), merge_mode="sum"), layers.Dense(2)),
    )


def seq2seq():
    source, target = keras.Input(SEQUENCE), keras.Input(SEQUENCE)
    _, *state = layers.LSTM(4, return_state=True)(source)
    y = layers.LSTM(4, return_sequences=True)(target, initial_state=state)
    return keras.Model([source, target], layers.TimeDistributed(layers.Dense(2))(y))


def transformer(normalize_first):
    x = keras.Input(SEQUENCE)
    y = layers.Dense(6)(x)
    for _ in range(2):
        inner = layers.LayerNormalization()(y) if normalize_first else y
        y = layers.Add()([y, layers.MultiHeadAttention(3, 4)(inner, inner)])
        y = y if normalize_first else layers.LayerNormalization()(y)
        inner = layers.LayerNormalization()(y) if normalize_first else y
        z = layers.Dense(6)(layers.Dense(8, activation="gelu")(inner))
        y = layers.Add()([y, z])
        y = y if normalize_first else layers.LayerNormalization()(y)
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


def group_query():
    x = keras.Input(SEQUENCE)
    y = layers.Dense(6)(x)
    y = layers.GroupQueryAttention(4, 6, 2)(y, y)
    return keras.Model(x, layers.Dense(2)(y))


def handwritten_attention():
    x = keras.Input(SEQUENCE)

    def split(y):
        return ops.transpose(ops.reshape(y, (-1, 6, 2, 3)), (0, 2, 1, 3))

    q, k, v = (split(layers.Dense(6)(x)) for _ in range(3))
    weights = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))))
    y = ops.reshape(ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3)), (-1, 6, 6))
    return keras.Model(x, layers.Dense(2)(y))


def shared():
    x, dense = keras.Input((5,)), layers.Dense(5, activation="tanh")
    return keras.Model(x, layers.Dense(2)(dense(dense(x))))


def siamese():
    a, b = keras.Input((5,)), keras.Input((5,))
    tower = of((5,), layers.Dense(6, activation="tanh"), layers.Dense(4, activation="tanh"))
    return keras.Model([a, b], layers.Dense(2)(layers.Subtract()([tower(a), tower(b)])))


@keras.saving.register_keras_serializable(package="channels")
class Tied(keras.layers.Layer):
    """Reads with the transposed kernel of another layer."""

    def __init__(self, other, **kwargs):
        super().__init__(**kwargs)
        self.other = other

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.other.kernel))


def tied():
    x = keras.Input((5,))
    dense = layers.Dense(4, activation="tanh")
    return keras.Model(x, Tied(dense)(dense(x)))


def nested_twice():
    innermost = of((6,), layers.Dense(5, activation="tanh"))
    x = keras.Input((6,))
    inner = keras.Model(x, layers.Dense(4, activation="tanh")(innermost(x)))
    return of((3,), layers.Dense(6, activation="tanh"), inner, layers.Dense(2))


def two_outputs():
    x = keras.Input((5,))
    y = layers.Dense(6, activation="tanh")(x)
    z = layers.Dense(4, activation="tanh", name="hidden")(y)
    return keras.Model(x, {"a": layers.Dense(2)(z), "b": layers.Dense(3)(y), "c": z})


def operations():
    x = keras.Input((6, 5))
    y = ops.tanh(layers.Dense(6)(x)) * 2.0
    first, second = ops.split(y, 2, axis=-1)
    z = ops.concatenate([ops.sin(first), ops.silu(-second)], axis=-1)
    return keras.Model(x, layers.Dense(2)(ops.mean(z, axis=1)))


def einsum():
    x = keras.Input(SEQUENCE)
    y = layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", activation="tanh")(x)
    return keras.Model(x, layers.EinsumDense("abde,def->abf", (None, 2), bias_axes="f")(y))


@keras.saving.register_keras_serializable(package="channels")
class Mlp(keras.layers.Layer):
    """A custom layer with layers inside, written with operations of Keras."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = layers.Dense(units, activation="gelu", name="first")
        self.second = layers.Dense(4, name="second")

    def build(self, shape):
        self.gain = self.add_weight(shape=(4,), initializer="ones", name="gain")
        self.first.build(shape)
        self.second.build((*shape[:-1], self.units))

    def call(self, x):
        return self.second(self.first(x)) * self.gain

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def custom():
    return of((5,), layers.Dense(3, activation="tanh"), Mlp(6), layers.Dense(2))


@keras.saving.register_keras_serializable(package="channels")
class Closed(keras.layers.Layer):
    """A custom layer whose code leaves Keras."""

    def build(self, shape):
        self.gain = self.add_weight(shape=shape[-1:], initializer="ones", name="gain")

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("only tensors with values")
        return x * self.gain

    def compute_output_shape(self, shape):
        return shape


def closed():
    return of((5,), layers.Dense(4, activation="tanh"), Closed(), layers.Dense(2))


@keras.saving.register_keras_serializable(package="channels")
class Centred(layers.Dense):
    """Changes what its parent computes."""

    def call(self, x):
        y = super().call(x)
        return y - ops.mean(y, axis=-1, keepdims=True)


def overridden():
    return of((5,), Centred(6), layers.Dense(2))


def first_format():
    return of(
        *((3, 8, 8), layers.Permute((2, 3, 1)), layers.Conv2D(4, 3), layers.Permute((3, 1, 2))),
        layers.BatchNormalization(axis=1),
        layers.GlobalAveragePooling2D(data_format="channels_first"),
        layers.Dense(2),
    )


MODELS = {
    "residual": residual,
    "unet": unet,
    "densenet": densenet,
    "squeeze-excite": squeeze_excite,
    "squeeze-excite reshaped": squeeze_excite_reshaped,
    "inverted residual": inverted_residual,
    "grouped": grouped,
    "shuffled": shuffled,
    "generator": generator,
    "flattened": flattened,
    "text": channels_last_and_text,
    "separable": separable,
    "depth multiplier": multiplied_depthwise,
    "lstm": lstm,
    "gru": gru,
    "bidirectional": bidirectional,
    "seq2seq": seq2seq,
    "pre-norm": lambda: transformer(True),
    "post-norm": lambda: transformer(False),
    "group query": group_query,
    "handwritten attention": handwritten_attention,
    "shared": shared,
    "siamese": siamese,
    "tied": tied,
    "nested twice": nested_twice,
    "two outputs": two_outputs,
    "operations": operations,
    "einsum": einsum,
    "custom": custom,
    "closed": closed,
    "overridden": overridden,
    "channels first": first_format,
}


def made(name):
    """A model with every weight drawn at random, batch statistics too."""
    model = MODELS[name]()
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "seed" not in weight.path:
            positive = "variance" in weight.path
            draw = rng.uniform(0.5, 1.5, weight.shape), rng.normal(0, 0.5, weight.shape)
            values = draw[0] if positive else draw[1]
            weight.assign(values.astype(weight.dtype))
    return model


def inputs_of(model, count=3):
    """Random inputs for a model, one array for each."""
    rng = np.random.default_rng(2)
    arrays = []
    for x in model.inputs:
        shape = (count, *x.shape[1:])
        is_text = any(type(layer) is layers.Embedding for layer in model.layers)
        arrays.append(rng.integers(0, 11, shape) if is_text else rng.normal(size=shape))
    return arrays if len(arrays) > 1 else arrays[0]
