"""False selections of stability selection over many data sets whose support is known.

    KERAS_BACKEND=jax python benchmarks/stability.py

Each draw: 100 rows, 50 normal inputs, of which five matter, linear targets with noise. `selected`
is asked for at most so many expected false selections as `errors` says; the mean of what it selects
falsely over the draws has to be within.
"""

import argparse
import os
import tempfile

# Every draw compiles the same program.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp())
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import keras
import numpy as np
import timing

import keras_reg as kr

ROWS, INPUTS, SUPPORT = 100, 50, 5
CASES = [(0.6, 1.0), (0.75, 1.0), (0.75, 2.5), (0.9, 2.5)]


def linear():
    model = keras.Sequential([keras.Input((INPUTS,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def drawn(seed):
    random = np.random.default_rng(seed)
    x = random.standard_normal((ROWS, INPUTS)).astype("float32")
    return x, x[:, :SUPPORT] @ np.full(SUPPORT, 1.0) + 2.0 * random.standard_normal(ROWS)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=25)
    given = parser.parse_args()
    # The strengths are the same for all draws: finding them would take as long as the path.
    run = {"strengths": np.geomspace(0.3, 4.0, 12), "epochs": 40, "further_epochs": 20}
    results = [
        kr.selection.stability(
            linear, *drawn(seed), kr.regularizers.L1(), pairs=given.pairs, seed=seed,
            batch_size=ROWS // 2, verbose=0, **run,
        )
        for seed in range(given.draws)
    ]  # fmt: skip
    rows = []
    for threshold, errors in CASES:
        for unimodal in (False, True):
            chosen = [one.selected(threshold, errors, unimodal) for one in results]
            false = np.mean([np.sum(one >= SUPPORT) for one in chosen])
            true = np.mean([np.sum(one < SUPPORT) for one in chosen])
            bound = "Shah & Samworth" if unimodal else "Meinshausen & Buehlmann"
            rows.append((bound, f"{threshold}", f"{errors}", f"{false:.2f}", f"{true:.2f}"))
    header = ("bound", "threshold", "errors allowed", "false selections", f"true, of {SUPPORT}")
    title = f"{given.draws} draws of {ROWS} x {INPUTS}, {given.pairs} pairs of halves"
    timing.report("selection: stability", title, rows, header)


if __name__ == "__main__":
    main()
