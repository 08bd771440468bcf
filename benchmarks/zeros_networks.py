"""The networks of what_zeros_buy.py: a convolutional and a dense one, trained with each penalty.

Each is trained once a seed, then trained on with the penalty of each line from there, for the same
number of epochs, of which the last quarter keeps the zeros and drops the penalty.
"""

import pathlib
import re
from typing import Any

import keras
import numpy as np

import keras_reg as kr

R = kr.regularizers
EPOCHS, BATCH, RATE, REFIT = 20, 64, 2e-3, 0.75
# Of the nuclear norm; its step, a singular value decomposition, comes after every tenth update.
RANK_STRENGTH, RANK_EVERY = 5.0, 10
LOW_RANK = "small rank"


def cnn() -> keras.Model:
    layers = [keras.Input((64,)), keras.layers.Reshape((8, 8, 1))]
    for filters in (32, 64):
        layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
    layers += [keras.layers.MaxPooling2D(), keras.layers.Flatten()]
    layers += [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def mlp() -> keras.Model:
    hidden = [keras.layers.Dense(units, activation="relu") for units in (1024, 512)]
    return keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])


NETWORKS = {"CNN": cnn, "MLP": mlp}


def penalties(model: keras.Model, steps: int) -> dict[str, Any]:
    """The penalties of a `Proximal` for each way to have zeros."""

    def top(share: float, **arguments: Any) -> R.Penalty:
        ramp = kr.schedules.Polynomial(0.0, share, steps=steps // 2)
        return R.TopK(ramp, scope="all", **arguments)

    channels = kr.channels(model)
    # Inputs of each output in blocks of four: not the one input of the first convolution.
    kernels = [w.path for w in model.trainable_variables if len(w.shape) > 1 and w.shape[-2] > 1]
    dense = [w.path for w in model.trainable_variables if len(w.shape) == 2]
    return {
        "90% zeros": top(0.9),
        "2:4": {re.escape(path): R.NM(2, 4) for path in kernels},
        "half of the channels": {channels: top(0.5, at_least=0.1)},
        "75% of the channels": {channels: top(0.75, at_least=0.1)},
        LOW_RANK: {re.escape(path): R.NuclearNorm(RANK_STRENGTH) for path in dense},
    }


def trained(name: str, seed: int, data: tuple, folder: pathlib.Path) -> dict[str, keras.Model]:
    """The dense network, and the same trained on with each penalty; kept in a folder."""
    keras.utils.set_random_seed(seed)
    steps = EPOCHS * -(-len(data[0]) // BATCH)
    dense = _kept(folder / f"{name}_{seed}_dense.keras", lambda: _dense(name, data))
    models = {"dense": dense}
    for way in penalties(dense, steps):
        file = folder / f"{name}_{seed}_{re.sub(r'[^a-z0-9]+', '_', way)}.keras"
        models[way] = _kept(file, lambda way=way: _trained_on(dense, data, way, steps))
        print(name, seed, way, f"{models[way].count_params():,} parameters", flush=True)
    return models


def variants(models: dict[str, keras.Model]) -> dict[str, keras.Model]:
    """All lines of the table but the quantized ones."""
    found = {}
    for name, model in models.items():
        if name == LOW_RANK:
            found[name] = in_place(model, models["dense"])
            found[f"{name}, as two layers"] = model
        elif "channels" in name:
            found[f"{name} zero"] = model
            share = name.split()[0]
            found[f"{share}, compacted"] = kr.compact(model)
            found[f"{share}, compacted, multiples of 8"] = kr.compact(model, multiple_of=8)
        else:
            found[name] = model
    return found


def in_place(model: keras.Model, dense: keras.Model) -> keras.Model:
    """The model with one kernel, of small rank, in place of each pair of layers."""
    whole = keras.models.clone_model(dense)
    for layer in whole.layers:
        weights = model.get_layer(layer.name).get_weights()
        names = [one.name for one in model.layers]
        if (first := f"{layer.name}_low_rank") in names:
            weights[0] = np.matmul(model.get_layer(first).get_weights()[0], weights[0])
        layer.set_weights(weights)
    return whole


def _kept(file: pathlib.Path, make: Any) -> keras.Model:
    if not file.exists():
        make().save(file)
    return keras.saving.load_model(file, compile=False)


def _dense(name: str, data: tuple) -> keras.Model:
    model = NETWORKS[name]()
    _fit(model, data, keras.optimizers.Adam(RATE))
    return model


def _trained_on(dense: keras.Model, data: tuple, way: str, steps: int) -> keras.Model:
    model = keras.models.clone_model(dense)
    model.set_weights(dense.get_weights())
    penalty = penalties(model, steps)[way]
    first, last = _cosine(REFIT * steps), _cosine((1 - REFIT) * steps)
    if way == LOW_RANK:
        # The rank stays what it is once it is the width of a layer.
        proximal = kr.optimizers.Proximal(keras.optimizers.Adam(first), penalty, every=RANK_EVERY)
        _fit(model, data, proximal, round(REFIT * EPOCHS), jit_compile=False)
        model = kr.compact(model, low_rank=True)
        _fit(model, data, keras.optimizers.Adam(last), round((1 - REFIT) * EPOCHS))
        return model
    proximal = kr.optimizers.Proximal(keras.optimizers.Adam(first), penalty)
    _fit(model, data, proximal, callbacks=[kr.callbacks.Refit(at=REFIT)])
    return model


def _cosine(steps: float) -> Any:
    return keras.optimizers.schedules.CosineDecay(RATE, round(steps), 0.01)


def _fit(
    model: keras.Model,
    data: tuple,
    optimizer: Any,
    epochs: int = EPOCHS,
    callbacks: Any = (),
    jit_compile: Any = "auto",
) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=jit_compile)
    model.fit(data[0], data[2], BATCH, epochs, verbose=0, callbacks=list(callbacks))
