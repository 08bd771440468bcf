"""Whole trainings: penalty, scheduled dropout and report, against the same model in plain Keras.

    KERAS_BACKEND=jax python benchmarks/end_to_end.py

Plain Keras: its L2, its Dropout, and a callback that counts zeros with NumPy. Ours, once with L2 in
the loss as there, and once with L1 in Proximal, which also makes zeros. A call is one `fit` of one
epoch. Run it on a quiet machine: the ratios of a loaded one mean little.
"""

import argparse
from collections.abc import Callable

import keras
import numpy as np
import timing

import keras_reg as kr
from keras_reg.structure import is_kernel

STRENGTH, RATE = 1e-4, 0.3
BATCHES = 20


class ZeroCounter(keras.callbacks.Callback):
    """What a Keras user writes: a loop over the weights."""

    def on_epoch_end(self, epoch, logs=None):
        kernels = [keras.ops.convert_to_numpy(w) for w in self.model.weights if is_kernel(w)]
        self.sparsity = sum(np.sum(w == 0) for w in kernels) / sum(w.size for w in kernels)


def mlp(penalty: Callable, dropout: Callable) -> keras.Model:
    layers = [keras.Input((256,))]
    for _ in range(3):
        dense = keras.layers.Dense(512, activation="relu", kernel_regularizer=penalty())
        layers += [dense, dropout()]
    return keras.Sequential([*layers, keras.layers.Dense(10)])


def cnn(penalty: Callable, dropout: Callable) -> keras.Model:
    layers = [keras.Input((16, 16, 8))]
    for filters in (32, 64):
        convolution = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_regularizer=penalty()
        )
        layers += [convolution, dropout(), keras.layers.MaxPooling2D()]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(10)])


def transformer(penalty: Callable, dropout: Callable) -> keras.Model:
    x = inputs = keras.Input((32, 64))
    for _ in range(2):
        attention = keras.layers.MultiHeadAttention(4, 16, kernel_regularizer=penalty())
        x = keras.layers.LayerNormalization()(x + dropout()(attention(x, x)))
        hidden = keras.layers.Dense(128, activation="gelu", kernel_regularizer=penalty())(x)
        back = keras.layers.Dense(64, kernel_regularizer=penalty())(hidden)
        x = keras.layers.LayerNormalization()(x + dropout()(back))
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


NETWORKS = {"MLP": (mlp, (256,)), "CNN": (cnn, (16, 16, 8)), "transformer": (transformer, (32, 64))}


def scheduled() -> keras.layers.Layer:
    return kr.layers.ScheduledDropout(kr.schedules.Linear(0.0, RATE, steps=10 * BATCHES))


def epoch(name: str, side: str, batch: int) -> tuple[Callable, keras.Model]:
    """A function that trains one network for one epoch, and the network."""
    build, shape = NETWORKS[name]
    adam, report = keras.optimizers.Adam(), kr.callbacks.SparsityReport(verbose=0)
    penalty, dropout, callback, optimizer = {
        "Keras": (
            lambda: keras.regularizers.L2(STRENGTH),
            lambda: keras.layers.Dropout(RATE),
            ZeroCounter(),
            adam,
        ),
        "ours, L2 in the loss": (lambda: kr.regularizers.L2(STRENGTH), scheduled, report, adam),
        "ours, L1 in Proximal": (
            lambda: None,
            scheduled,
            report,
            kr.optimizers.Proximal(adam, kr.regularizers.L1(0.2)),
        ),
    }[side]
    keras.utils.set_random_seed(0)
    model = build(penalty, dropout)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    random = np.random.default_rng(0)
    x = random.standard_normal((BATCHES * batch, *shape)).astype("float32")
    y = random.integers(0, 10, len(x))
    return lambda: model.fit(x, y, batch_size=batch, verbose=0, callbacks=[callback]), model


SIDES = ("Keras", "ours, L2 in the loss", "ours, L1 in Proximal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    table = []
    for name in NETWORKS:
        made = {f"{name}: {side}": epoch(name, side, options.batch) for side in SIDES}
        cases = {case: train for case, (train, _) in made.items()}
        seconds = timing.interleave(cases, options.rounds)
        check(*(model for _, model in made.values()))
        table += timing.rows(seconds, f"{name}: Keras")
    backend = keras.backend.backend()
    title = f"One epoch of {BATCHES} batches of {options.batch}, `fit` with its callbacks"
    timing.report(f"end to end {backend}", title, table)


def check(plain: keras.Model, loss: keras.Model, proximal: keras.Model) -> None:
    """Only the proximal step made zeros, and it did."""
    shares = [kr.sparsity(model).sparsity for model in (plain, loss, proximal)]
    assert shares[0] == shares[1] == 0.0 < shares[2], shares


if __name__ == "__main__":
    main()
