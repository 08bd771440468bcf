"""More constructions than those of `channel_models`, for the tests of `compact`."""

import channel_models
import keras
import numpy as np
from channel_models import IMAGE, SEQUENCE, block, head, of
from keras import layers, ops

import keras_reg as kr


def constant_through_pooling():
    x = layers.Conv2D(6, 3, activation="sigmoid")
    return of(
        *(IMAGE, x, layers.AveragePooling2D(2), layers.UpSampling2D(), layers.Cropping2D()),
        *(layers.Conv2D(3, 1, use_bias=False), layers.Flatten(), layers.Dense(2)),
    )


def padded():
    return of(
        *(IMAGE, layers.Conv2D(5, 3, activation="sigmoid"), layers.ZeroPadding2D()),
        *(layers.Conv2D(4, 3, activation="tanh"), layers.GlobalMaxPooling2D(), layers.Dense(2)),
    )


def no_bias():
    stack = []
    for units in (8, 7, 6):
        stack += [layers.Dense(units, use_bias=False), layers.BatchNormalization()]
        stack += [layers.ReLU()]
    return of((5,), *stack, layers.Dense(2, use_bias=False))


def volumes():
    return of(
        *((4, 4, 4, 2), layers.Conv3D(4, 2, activation="tanh"), layers.MaxPooling3D()),
        *(layers.Conv3DTranspose(3, 2), layers.Flatten(), layers.Dense(2)),
    )


def sequences():
    return of(
        *((12, 3), layers.SeparableConv1D(5, 3, padding="same"), layers.LeakyReLU()),
        *(layers.DepthwiseConv1D(3), layers.Conv1DTranspose(4, 2), layers.MaxPooling1D()),
        *(layers.Conv1D(6, 3, padding="causal", activation="elu"), layers.Conv1D(6, 1, groups=2)),
        *(layers.GlobalAveragePooling1D(), layers.Dense(2)),
    )


def masked():
    return of(
        *((9,), layers.Embedding(11, 6, mask_zero=True), layers.LSTM(5, return_sequences=True)),
        *(layers.GRU(4, reset_after=False), layers.Dense(2)),
    )


def masked_twice():
    x = keras.Input((9,), dtype="int32")
    y = layers.Embedding(11, 6, mask_zero=True)(x)
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True), merge_mode="mul")(y)
    return keras.Model(x, layers.Dense(2)(layers.SimpleRNN(3)(y)))


def cross_attention():
    x, memory = keras.Input(SEQUENCE), keras.Input((4, 3))
    y, z = layers.Dense(6)(x), layers.Dense(8)(memory)
    y = layers.MultiHeadAttention(4, 3, value_dim=5, output_shape=7)(y, z, use_causal_mask=False)
    return keras.Model([x, memory], layers.Dense(2)(y))


def causal():
    x = keras.Input(SEQUENCE)
    y = layers.Dense(6)(x)
    y = layers.Add()([y, layers.MultiHeadAttention(2, 4)(y, y, use_causal_mask=True)])
    return keras.Model(x, layers.TimeDistributed(layers.Dense(2))(y))


def gated():
    x = keras.Input((6,))
    first, second = layers.Dense(8)(x), layers.Dense(8, activation="silu")(x)
    return keras.Model(x, layers.Dense(2)(layers.Multiply()([first, second])))


def sliced():
    x = keras.Input((6,))
    y = layers.Dense(8, activation="tanh")(x)
    return keras.Model(x, layers.Dense(2)(ops.concatenate([y[:, 4:], y[:, :4]], axis=-1)))


def stacked():
    x = keras.Input((6,))
    y = ops.stack([layers.Dense(5)(x), layers.Dense(5)(x)], axis=1)
    return keras.Model(x, layers.Dense(2)(ops.relu(ops.max(y, axis=1))))


def several_inputs():
    image, text = keras.Input(IMAGE, name="image"), keras.Input((4,), name="text", dtype="int32")
    first = layers.GlobalAveragePooling2D()(block(image, 5))
    second = layers.Flatten()(layers.Embedding(11, 3)(text))
    y = layers.Dense(4, activation="tanh")(layers.Concatenate()([first, second]))
    outputs = {"a": layers.Dense(1)(y), "b": [layers.Dense(2)(y), layers.Softmax()(y)]}
    return keras.Model({"image": image, "text": text}, outputs)


def shared_tower():
    x = keras.Input(IMAGE)
    tower = of((8, 8, 4), layers.Conv2D(6, 3, padding="same"), layers.Conv2D(4, 1), layers.ReLU())
    y = layers.Conv2D(4, 1)(x)
    return keras.Model(x, head(tower(layers.Add()([y, tower(y)]))))


def dropped():
    return of(
        *((5,), layers.Dense(6, activation="relu"), kr.layers.ScheduledDropout(0.5)),
        *(kr.layers.ScheduledDropConnect(layers.Dense(4, name="inner"), 0.5), layers.Dense(2)),
    )


def unknown_sizes():
    x = keras.Input((None, None, 3))
    return keras.Model(x, head(layers.Conv2D(4, 1)(block(block(x, 5), 6))))


MODELS = {
    **channel_models.MODELS,
    "constant through pooling": constant_through_pooling,
    "padded": padded,
    "no bias": no_bias,
    "volumes": volumes,
    "sequences": sequences,
    "masked": masked,
    "masked twice": masked_twice,
    "cross attention": cross_attention,
    "causal": causal,
    "gated": gated,
    "sliced": sliced,
    "stacked": stacked,
    "several inputs": several_inputs,
    "shared tower": shared_tower,
    "dropped": dropped,
    "unknown sizes": unknown_sizes,
}


def made(name):
    """A model with every weight drawn at random, batch statistics too."""
    model = MODELS[name]()
    rng = np.random.default_rng(1)
    for weight in model.weights:
        positive = "variance" in weight.path
        values = rng.uniform(0.5, 1.5, weight.shape) if positive else rng.normal(size=weight.shape)
        weight.assign((values if positive else 0.5 * values).astype(weight.dtype))
    return model


def inputs_of(model, count=3):
    """Random inputs for a model, in its structure."""
    rng = np.random.default_rng(2)
    has_words = any(type(layer) is layers.Embedding for layer in model.layers)
    arrays = []
    for x in model.inputs:
        shape = (count, *(8 if one is None else one for one in x.shape[1:]))
        is_text = "int" in x.dtype or (has_words and len(model.inputs) == 1)
        array = rng.integers(0, 11, shape) if is_text else rng.normal(size=shape)
        arrays.append(array.astype(x.dtype))
    return keras.tree.pack_sequence_as(model.input, arrays) if len(arrays) > 1 else arrays[0]
