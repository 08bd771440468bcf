"""What scheduled dropout costs: arrays against `x * 2`, training steps against Keras's layer.

    KERAS_BACKEND=jax python benchmarks/dropout.py

Forward and backward of a 1024x4096 float32 array, and whole training steps of an MLP, a CNN and a
small transformer. Run it on a quiet machine: the ratios of a loaded one mean little.
"""

import argparse
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import timing
from keras import ops

from keras_reg import layers

RATE, SHAPE = 0.3, (1024, 4096)
BACKEND = keras.backend.backend()
OURS, THEIRS = "ScheduledDropout", "keras.layers.Dropout"
LAYERS = {OURS: layers.ScheduledDropout, THEIRS: keras.layers.Dropout}


class Double(keras.layers.Layer):
    """x * 2, the cheapest layer there is: it reads and writes the array."""

    def call(self, x, training=False):
        return x * 2.0


def tensors() -> tuple:
    """An input and a gradient that comes from above."""
    random = np.random.default_rng(0)
    return tuple(
        ops.convert_to_tensor(random.standard_normal(SHAPE).astype("float32")) for _ in range(2)
    )


def jax_pass(layer: keras.layers.Layer, new_memory: bool = False) -> Callable:
    """Writes over its arguments, as a training step does, or asks the system for new memory.

    New pages cost as much as `x * 2` itself and vary from call to call.
    """
    import jax

    def both(state, x, upstream):
        call = partial(layer.stateless_call, [], state, training=True)
        y, backward, state = jax.vjp(call, x, has_aux=True)
        return y, backward(upstream)[0], state

    compiled = jax.jit(both, donate_argnums=() if new_memory else (1, 2))
    arrays = list(tensors())
    layer(arrays[0])
    state = [variable.value for variable in layer.non_trainable_variables]

    def run():
        y, gradient, _ = jax.block_until_ready(compiled(state, *arrays))
        if not new_memory:
            arrays[:] = y, gradient
        return y, gradient

    return run


def jax_memory(layer: keras.layers.Layer) -> tuple[str, str]:
    """MiB that the backward pass keeps from the forward pass, and of both passes' temporaries."""
    import jax

    x, upstream = tensors()
    layer(x)
    state = [variable.value for variable in layer.non_trainable_variables]

    def forward(x):
        return layer.stateless_call([], state, x, training=True)[0]

    kept = jax.tree.leaves(jax.vjp(forward, x)[1])
    both = jax.jit(lambda x, upstream: jax.vjp(forward, x)[1](upstream))
    compiled = both.lower(x, upstream).compile().memory_analysis()
    sizes = sum(leaf.nbytes for leaf in kept), compiled.temp_size_in_bytes
    return tuple(f"{size / 2**20:.1f}" for size in sizes)


def tensorflow_pass(layer: keras.layers.Layer, jit_compile: bool) -> Callable:
    import tensorflow as tf

    @tf.function(jit_compile=jit_compile, autograph=False)
    def both(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, x, output_gradients=upstream)

    return partial(both, *tensors())


def torch_pass(layer: keras.layers.Layer) -> Callable:
    x, upstream = tensors()

    def both():
        leaf = x.detach().requires_grad_(True)
        y = layer(leaf, training=True)
        y.backward(upstream)
        return y.detach(), leaf.grad

    return both


def passes() -> dict[str, dict[str, Callable]]:
    """Functions that go forward and backward, by how they are compiled and by layer."""
    makers = {
        "jax": {"jit": jax_pass, "jit, new memory": partial(jax_pass, new_memory=True)},
        "tensorflow": {
            "jit": partial(tensorflow_pass, jit_compile=True),
            "without jit": partial(tensorflow_pass, jit_compile=False),
        },
        "torch": {"eager": torch_pass},
    }[BACKEND]
    made = {"x * 2": Double, **{name: partial(cls, RATE, seed=1) for name, cls in LAYERS.items()}}
    return {
        how: {name: maker(make()) for name, make in made.items()} for how, maker in makers.items()
    }


def check_pass(run: Callable, rate: float) -> None:
    """The mask has its rate and one scale, and the gradient is that of the same mask."""
    y, gradient = (ops.convert_to_numpy(tensor) for tensor in run()[:2])
    x, upstream = (ops.convert_to_numpy(tensor) for tensor in tensors())
    spread = 5 * np.sqrt(rate * (1 - rate) / x.size)
    assert abs(np.mean(y == 0) - rate) <= spread, "another share is zero"
    factor = 1 / (1 - rate) if rate else 2.0
    np.testing.assert_allclose(y, np.where(y == 0, 0, factor * x), rtol=1e-5)
    np.testing.assert_allclose(gradient, np.where(y == 0, 0, factor * upstream), rtol=1e-5)


def mlp(dropout: Callable) -> tuple[keras.Model, tuple]:
    parts = [keras.Input((784,))]
    for _ in range(3):
        parts += [keras.layers.Dense(512, activation="relu"), dropout()]
    return keras.Sequential([*parts, keras.layers.Dense(10)]), (128, 784)


def cnn(dropout: Callable) -> tuple[keras.Model, tuple]:
    parts = [keras.Input((32, 32, 3))]
    for filters in (16, 32):
        parts += [keras.layers.Conv2D(filters, 3, activation="relu"), dropout()]
        parts += [keras.layers.MaxPooling2D()]
    return keras.Sequential([*parts, keras.layers.Flatten(), keras.layers.Dense(10)]), (
        64,
        32,
        32,
        3,
    )


def transformer(dropout: Callable) -> tuple[keras.Model, tuple]:
    x = inputs = keras.Input((64, 64))
    for _ in range(2):
        attended = keras.layers.MultiHeadAttention(4, 16)(x, x)
        x = keras.layers.LayerNormalization()(x + dropout()(attended))
        hidden = keras.layers.Dense(256, activation="relu")(x)
        x = keras.layers.LayerNormalization()(x + dropout()(keras.layers.Dense(64)(hidden)))
    outputs = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, outputs), (32, 64, 64)


def training_step(model: Callable, layer: type | None, **compile_with) -> Callable:
    """A function that takes one compiled training step and waits for its loss."""
    made = (lambda: layer(RATE)) if layer else (lambda: keras.layers.Identity())
    network, shape = model(made)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(1e-3), loss, **compile_with)
    random = np.random.default_rng(0)
    x = ops.convert_to_tensor(random.standard_normal(shape).astype("float32"))
    y = ops.convert_to_tensor(random.integers(0, 10, shape[0]))
    return lambda: float(network.train_on_batch(x, y))


def report(section: str, title: str, cases: dict, rounds: int, base: str) -> None:
    table = timing.rows(timing.interleave(cases, rounds), base)
    timing.report(f"dropout {BACKEND} {section}", title, table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", default="", help="part of the name of a section")
    options = parser.parse_args()
    for how, cases in passes().items():
        if options.only not in how:
            continue
        for name, run in cases.items():
            check_pass(run, RATE if name in LAYERS else 0.0)
        title = f"Forward and backward of {SHAPE[0]} x {SHAPE[1]}, float32, {BACKEND}, {how}"
        report(how, title, cases, options.rounds, "x * 2")
    if BACKEND == "jax" and options.only in "memory":
        rows = [(name, *jax_memory(cls(RATE, seed=1))) for name, cls in LAYERS.items()]
        header = ("case", "kept for the backward pass, MiB", "temporaries, MiB")
        title = f"Memory of forward and backward, {SHAPE[0]} x {SHAPE[1]}, float32, 16 MiB"
        timing.report("dropout jax memory", title, rows, header)
    for jit_compile in (False, True) if BACKEND == "tensorflow" else ("auto",):
        for model in (mlp, cnn, transformer):
            section = f"{model.__name__} jit_compile={jit_compile}"
            if options.only not in section:
                continue
            cases = {
                name: training_step(model, layer, jit_compile=jit_compile)
                for name, layer in {"no dropout": None, **LAYERS}.items()
            }
            for name, step in cases.items():
                assert np.isfinite(step()), f"the loss with {name} is not finite"
            # More of them: what is compared differs by a few percent.
            report(section, f"A training step: {section}", cases, 5 * options.rounds, THEIRS)


if __name__ == "__main__":
    main()
