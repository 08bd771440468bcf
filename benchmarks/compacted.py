"""What compaction gains at inference: calls of the dense and the compacted network, in turn.

    KERAS_BACKEND=jax python benchmarks/compacted.py

A convolutional network and a dense one with a share of the channels of every layer zero, as they
are and after `kr.compact`; the whole forward pass is compiled where the backend compiles.
"""

import argparse
from collections.abc import Callable

import keras
import numpy as np
import timing

import keras_reg as kr

SHARES = (0.5, 0.75)


def dense() -> tuple[keras.Model, tuple[int, ...]]:
    layers = [keras.layers.Dense(2048, activation="relu") for _ in range(4)]
    return keras.Sequential([keras.Input((1024,)), *layers, keras.layers.Dense(10)]), (256, 1024)


def cnn() -> tuple[keras.Model, tuple[int, ...]]:
    layers = [
        keras.layers.Conv2D(filters, 3, strides=strides, padding="same", activation="relu")
        for filters, strides in ((64, 1), (128, 2), (256, 2))
    ]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((32, 32, 3)), *layers, *head]), (64, 32, 32, 3)


def with_zeros(network: Callable, share: float) -> keras.Model:
    """The network with the last channels of every layer but the output zero."""
    keras.utils.set_random_seed(0)
    model, _ = network()
    for layer in [layer for layer in model.layers if layer.weights][:-1]:
        kernel, bias = layer.get_weights()
        kept = round((1 - share) * kernel.shape[-1])
        kernel[..., kept:], bias[kept:] = 0.0, 0.0
        layer.set_weights([kernel, bias])
    return model


def call(model: keras.Model, shape: tuple[int, ...]) -> Callable[[], object]:
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    return lambda: model.predict_on_batch(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    backend = keras.backend.backend()
    for name, network in {"4 x Dense(2048), batch 256": dense, "CNN, batch 64": cnn}.items():
        shape = network()[1]
        cases = {"dense": call(network()[0], shape)}
        for share in SHARES:
            model = with_zeros(network, share)
            cases[f"{share:.0%} of the channels zero"] = call(model, shape)
            cases[f"{share:.0%} compacted"] = call(kr.compact(model), shape)
        table = timing.rows(timing.interleave(cases, options.rounds), "dense")
        title = f"inference, {name}, {backend}"
        timing.report(f"compacted {backend} {name[:3]}", title, table)


if __name__ == "__main__":
    main()
