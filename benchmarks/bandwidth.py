"""The share of the memory's bandwidth that each operation reaches, on a CPU or on an accelerator.

    KERAS_BACKEND=jax python benchmarks/bandwidth.py

The bytes that must move, over the time they take, as a share of what `x * 2` moves in the same run:
one array read and one written. An operation that reads its array twice can reach two thirds.
"""

import argparse
from collections.abc import Callable

import keras
import numpy as np
import timing
from keras import ops

from keras_reg import regularizers
from keras_reg.layers import ScheduledDropout
from keras_reg.ops import bits
from keras_reg.ops.backend import compiled

STEP = 0.5
HEADER = ("operation", "median ms", "GB/s", "share of x * 2", "spread", "calls")


def operations() -> dict[str, tuple[Callable, int]]:
    """A function of an array, and how many arrays it must read or write."""
    lasso, group, mcp = (
        regularizers.L1(1.0),
        regularizers.GroupLasso(1.0, size_scaling=False),
        regularizers.MCP(1.0),
    )
    layer = ScheduledDropout(0.5, seed=1)
    layer.build((None, None))
    return {
        "x * 2": (lambda x: x * 2.0, 2),
        "dropout": (lambda x: _drop(layer, x), 2),
        "L1, prox": (lambda x: lasso.prox(x, STEP), 2),
        "MCP, prox": (lambda x: mcp.prox(x, STEP), 2),
        "GroupLasso, prox": (lambda x: group.prox(x, STEP), 2),
        "L1, value": (lasso.value, 1),
        "MCP, value": (mcp.value, 1),
        "report, pack and count": (lambda x: bits.count(bits.pack(ops.not_equal(x, 0))), 1),
    }


def _drop(layer: ScheduledDropout, x):
    state = [variable.value for variable in layer.non_trainable_variables]
    if keras.backend.backend() == "jax":
        return layer.stateless_call([], state, x, training=True)[0]
    return layer(x, training=True)


def check(cases: dict[str, Callable], x: np.ndarray) -> None:
    """Each operation computes what it should, before its time counts."""
    numpy = {name: ops.convert_to_numpy(case()) for name, case in cases.items()}
    dropped = numpy["dropout"]
    assert abs(np.mean(dropped[x != 0] == 0) - 0.5) < 1e-2
    assert np.allclose(dropped[dropped != 0], 2 * x[dropped != 0])
    shrunk = np.sign(x) * np.maximum(np.abs(x) - STEP, 0)
    assert np.allclose(numpy["L1, prox"], shrunk, atol=1e-6)
    norms = np.linalg.norm(x.astype("float64"), axis=0)
    assert np.allclose(numpy["GroupLasso, prox"], x * np.maximum(1 - STEP / norms, 0), atol=1e-5)
    assert np.isclose(numpy["L1, value"], np.sum(np.abs(x), dtype="float64"), rtol=1e-4)
    assert int(numpy["report, pack and count"]) == np.count_nonzero(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--columns", type=int, default=4096)
    options = parser.parse_args()
    x = np.random.default_rng(0).standard_normal((options.rows, options.columns), "float32")
    x[:, ::7][x[:, ::7] < 0] = 0.0
    on_device, made = ops.convert_to_tensor(x), operations()
    cases = {}
    for name, (function, _) in made.items():
        run = compiled(function)
        cases[name] = lambda run=run: timing.wait(run(on_device))
    check(cases, x)
    seconds = timing.interleave(cases, options.rounds)
    speeds = {name: made[name][1] * x.nbytes / timing.median(seconds[name]) for name in made}
    table = [
        (
            name,
            f"{1e3 * timing.median(times):.2f}",
            f"{speeds[name] / 1e9:.1f}",
            f"{speeds[name] / speeds['x * 2']:.0%}",
            timing.spread(times),
            str(len(times)),
        )
        for name, times in seconds.items()
    ]
    title = f"A {options.rows}x{options.columns} float32 array, {x.nbytes / 2**20:.0f} MiB"
    timing.report(f"bandwidth {keras.backend.backend()}", title, table, HEADER)


if __name__ == "__main__":
    main()
