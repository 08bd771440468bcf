"""What Proximal costs: whole training steps, as multiples of the step of the optimizer inside.

    KERAS_BACKEND=jax python benchmarks/proximal.py

Four Dense(1024), batch 128, where reading and writing weights takes much of the time, and a CNN,
where convolutions do; and every penalty with its default arguments on two Dense(512), batch 128.
Then the first step of MobileNetV2, which builds the optimizer and compiles; and on JAX the
temporary memory of a compiled step with every penalty. Run it on a quiet machine: the ratios of a
loaded one mean little.
"""

import argparse
import inspect
import itertools
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import timing

import keras_reg as kr
from keras_reg import regularizers
from keras_reg.optimizers import Proximal

STRENGTH = 1e-3
# Rounds of the table of every penalty, whose slowest steps take a second.
SLOW_STEPS = 20
Maker = Callable[[keras.Model], keras.optimizers.Optimizer]


def around_adam(penalty: regularizers.Penalty, **arguments: Any) -> Maker:
    return lambda model: Proximal(keras.optimizers.Adam(), penalty, **arguments)


def on_channels(penalty: regularizers.Penalty) -> Maker:
    return lambda model: Proximal(keras.optimizers.Adam(), {kr.channels(model): penalty})


OPTIMIZERS: dict[str, Maker] = {
    "Adam": lambda model: keras.optimizers.Adam(),
    "Adam again": lambda model: keras.optimizers.Adam(),
    "L1": around_adam(regularizers.L1(STRENGTH)),
    "GroupLasso of units": around_adam(regularizers.GroupLasso(STRENGTH, -1)),
    "GroupLasso of inputs": around_adam(regularizers.GroupLasso(STRENGTH, -2)),
    "L1, adaptive": around_adam(regularizers.L1(STRENGTH), metric="adaptive"),
    "TopK": around_adam(regularizers.TopK(0.9)),
    "TopK, all": around_adam(regularizers.TopK(0.9, scope="all")),
    "GroupLasso of channels": on_channels(regularizers.GroupLasso(STRENGTH)),
    "TopK of channels, by MACs": on_channels(regularizers.TopK(0.5, scope="all", of="macs")),
}


def dense() -> tuple[keras.Model, tuple[int, ...], tuple[int, ...]]:
    layers = [keras.layers.Dense(1024, activation="relu") for _ in range(4)]
    return keras.Sequential([keras.Input((1024,)), *layers]), (128, 1024), (128, 1024)


def cnn() -> tuple[keras.Model, tuple[int, ...], tuple[int, ...]]:
    layers = [
        keras.layers.Conv2D(filters, 3, strides=strides, padding="same", activation="relu")
        for filters, strides in ((32, 1), (64, 2), (64, 1))
    ]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers, *head]), (32, 28, 28, 1), (32, 10)


NETWORKS = {"4 x Dense(1024), batch 128": dense, "CNN, batch 32": cnn}


def training_step(network: Callable, new: Maker, jit_compile: bool) -> Callable:
    """A function that takes one training step on arrays on the device and waits for its loss."""
    keras.utils.set_random_seed(0)
    model, *shapes = network()
    model.compile(new(model), "mse", jit_compile=jit_compile)
    random = np.random.default_rng(0)
    x, y = (
        keras.ops.convert_to_tensor(random.standard_normal(shape).astype("float32"))
        for shape in shapes
    )
    return lambda: float(model.train_on_batch(x, y))


def small_dense() -> tuple[keras.Model, tuple[int, ...], tuple[int, ...]]:
    layers = [keras.layers.Dense(512, activation="relu") for _ in range(2)]
    head = keras.layers.Dense(8)
    return keras.Sequential([keras.Input((512,)), *layers, head]), (128, 512), (128, 8)


def with_every_penalty() -> dict[str, Maker]:
    """Adam, and Proximal around it with each penalty that has a proximal operator."""
    found = {"Adam": OPTIMIZERS["Adam"]}
    for name, cls in inspect.getmembers(regularizers, inspect.isclass):
        if inspect.isabstract(cls) or not issubclass(cls, regularizers.Penalty):
            continue
        penalty = cls(regularizers.L1()) if cls is regularizers.Trimmed else cls()
        if penalty.proximable:
            found[name] = around_adam(penalty)
    return found


def measure_every_penalty(rounds: int, only: list[str]) -> None:
    """One table; a penalty with a slow proximal operator takes part in the first rounds alone."""
    backend = keras.backend.backend()
    steps = {
        name: training_step(small_dense, new, backend == "jax")
        for name, new in with_every_penalty().items()
        if name == "Adam" or not only or name in only
    }
    for name, step in steps.items():
        assert np.isfinite(step()), f"the loss with {name} is not finite"
    table = timing.rows(timing.interleave(steps, rounds, warm_up=1), "Adam")
    title = f"2 x Dense(512), batch 128, every penalty, {backend}"
    timing.report(f"proximal {backend} every penalty", title, table)


FIRST_STEPS: dict[str, Maker] = {
    "Adam": OPTIMIZERS["Adam"],
    "L1": OPTIMIZERS["L1"],
    "GroupLasso of filters": lambda model: Proximal(
        keras.optimizers.Adam(), regularizers.GroupLasso(STRENGTH, "outputs"), model=model
    ),
}


def measure_first_steps() -> None:
    """Each once, after the first step of a small model: what every process pays once is paid."""
    backend = keras.backend.backend()
    training_step(small_dense, OPTIMIZERS["L1"], backend == "jax")()
    x, y = np.zeros((8, 96, 96, 3), "float32"), np.zeros(8, "int32")
    seconds = {}
    for name, new in FIRST_STEPS.items():
        model = keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)
        model.compile(new(model), "sparse_categorical_crossentropy")
        start, used = time.perf_counter(), time.process_time()
        model.train_on_batch(x, y)
        seconds[name] = time.perf_counter() - start, time.process_time() - used
    header = ("case", "seconds", "ratio", "processor's seconds", "ratio of these")
    base = seconds["Adam"]
    rows = [
        (name, f"{wall:.1f}", f"{wall / base[0]:.2f}", f"{cpu:.1f}", f"{cpu / base[1]:.2f}")
        for name, (wall, cpu) in seconds.items()
    ]
    title = f"The first step of MobileNetV2 with 52 kernels, {backend}"
    timing.report(f"proximal {backend} first step", title, rows, header)


def temporaries(new: Maker) -> float:
    """Temporary memory of a compiled step on JAX, in multiples of the weights."""
    import jax

    layers = [keras.layers.Dense(1500, activation="relu") for _ in range(4)]
    model = keras.Sequential([keras.Input((1500,)), *layers])
    optimizer = new(model)
    optimizer.build(model.trainable_variables)

    def loss(weights: Any, x: Any) -> Any:
        return (model.stateless_call(weights, [], x)[0] ** 2).mean()

    def step(weights: Any, state: Any, x: Any) -> Any:
        return optimizer.stateless_apply(state, jax.grad(loss)(weights, x), weights)

    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in optimizer.variables]
    x = np.zeros((64, 1500), "float32")
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(weights, state, x).compile()
    return compiled.memory_analysis().temp_size_in_bytes / sum(w.nbytes for w in weights)


def measure_memory(only: list[str]) -> None:
    rows = [
        (name, f"{temporaries(new):.2f}")
        for name, new in with_every_penalty().items()
        if name == "Adam" or not only or name in only
    ]
    title = "Temporary memory of a compiled step, 4 x Dense(1500), batch 64, jax"
    timing.report("proximal jax memory", title, rows, ("case", "multiples of the weights"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", nargs="*", default=list(OPTIMIZERS))
    parser.add_argument("--penalties", nargs="*", default=[], help="of the last table; all if none")
    options = parser.parse_args()
    backend = keras.backend.backend()
    ways = {"tensorflow": (True, False), "torch": (False,)}.get(backend, (True,))
    for (title, network), jit in itertools.product(NETWORKS.items(), ways):
        steps = {
            name: training_step(network, new, jit)
            for name, new in OPTIMIZERS.items()
            if name == "Adam" or name in options.only
        }
        for name, step in steps.items():
            assert np.isfinite(step()), f"the loss with {name} is not finite"
        table = timing.rows(timing.interleave(steps, options.rounds), "Adam")
        how = f"jit_compile={jit}"
        timing.report(f"proximal {backend} {how} {title[:3]}", f"{title}, {backend}, {how}", table)
    measure_every_penalty(min(options.rounds, SLOW_STEPS), options.penalties)
    measure_first_steps()
    if backend == "jax":
        measure_memory(options.penalties)


if __name__ == "__main__":
    main()
