"""What penalties on channels cost on MobileNetV2: a training step, the first one, the report.

    KERAS_BACKEND=jax python benchmarks/channel_steps.py

Seconds are those of the processor, over all threads, and the steps take turns, so that what else
the machine does matters less. The first step is the one that builds the optimizer and compiles.
"""

import argparse
import functools
import time

import keras
import numpy as np
import timing
from compact import zero_half

import keras_reg as kr
from keras_reg.optimizers import Proximal
from keras_reg.report.compiled_counting import CompiledReader
from keras_reg.report.sparsity import Meter
from keras_reg.structure.channels.left import Wiring

R = kr.regularizers
ROUNDS = 20
PENALTIES = {
    "Adam": None,
    "Adam again": None,
    "GroupLasso of channels": R.GroupLasso(1e-3),
    "TopK of channels, by MACs": R.TopK(0.5, scope="all", of="macs"),
}


def compiled(penalty: R.Penalty | None, pixels: int) -> keras.Model:
    """MobileNetV2 for an optimizer."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((pixels, pixels, 3), weights=None, classes=10)
    adam = keras.optimizers.Adam()
    optimizer = adam if penalty is None else Proximal(adam, {kr.channels(model): penalty})
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def steps(pixels: int, batch: int) -> None:
    """The table of training steps."""
    random = np.random.default_rng(0)
    x = keras.ops.convert_to_tensor(random.normal(size=(batch, pixels, pixels, 3)), "float32")
    y = keras.ops.convert_to_tensor(random.integers(0, 10, batch), "int32")
    cases, first = {}, {}
    for name, penalty in PENALTIES.items():
        model = compiled(penalty, pixels)
        cases[name] = functools.partial(one_step, model, x, y)
        start = time.process_time()
        cases[name]()
        first[name] = time.process_time() - start
    seconds = timing.interleave(cases, ROUNDS, clock=time.process_time)
    columns = (*timing.HEADER, "first step, s")
    table = [
        (*row, f"{first[row[0]]:.1f}, {first[row[0]] / first['Adam']:.2f}")
        for row in timing.rows(seconds, "Adam")
    ]
    title = f"MobileNetV2, {pixels} pixels, batch {batch}, time of processors"
    timing.report(f"channel steps {keras.backend.backend()}", title, table, columns)


def one_step(model: keras.Model, x: object, y: object) -> float:
    return float(model.train_on_batch(x, y))


def report(pixels: int) -> None:
    """The table of what a report costs in which channels are dead."""
    model = compiled(None, pixels)
    zero_half(model)
    meter, wiring = Meter(model, reader=CompiledReader), Wiring(model)
    cases = {
        "all of it, as SparsityReport measures": meter.measure,
        "what is left, alone": lambda: wiring.left(keras.ops.convert_to_numpy),
        "reading the graph, once": lambda: Wiring(model),
    }
    seconds = timing.interleave(cases, 5, clock=time.process_time)
    title = "A report on MobileNetV2 with half of its channels zero, time of processors"
    first = next(iter(cases))
    table = timing.rows(seconds, first)
    timing.report(f"channel report {keras.backend.backend()}", title, table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    steps(options.pixels, options.batch)
    report(options.pixels)


if __name__ == "__main__":
    main()
