"""Draws the value and the proximal operator of every penalty of one weight into one picture.

Run with `python docs/penalties.py`; it writes docs/images/penalties.png.
"""

import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np

from keras_reg import regularizers as penalties

SHOWN = [
    penalties.L1(1.0),
    penalties.L2(1.0),
    penalties.ElasticNet(1.0, l1_ratio=0.5),
    penalties.L0(1.0),
    penalties.Lq(1.0, q=1 / 2),
    penalties.Lq(1.0, q=2 / 3),
    penalties.LogSum(1.0, epsilon=0.5),
    penalties.MCP(1.0, gamma=2.0),
    penalties.SCAD(1.0, gamma=2.5),
    penalties.CappedL1(1.0, cap=1.5),
    penalties.L2SP(1.0, reference=1.0),
    penalties.TopK(0.5),
]
GRID = np.linspace(-3, 3, 1201, dtype="float32")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def label(penalty):
    """The class and the argument that shapes it."""
    shown = ("l1_ratio", "q", "epsilon", "gamma", "cap", "reference", "sparsity")
    arguments = {k: v for k, v in penalty.get_config().items() if k in shown}
    return type(penalty).__name__ + "".join(f", {k} {v:.3g}" for k, v in arguments.items())


def broken(y, jump=0.05):
    """The curve with a gap where it jumps."""
    return np.where(np.abs(np.diff(y, append=y[-1])) > jump, np.nan, y)


def draw(axes, penalty):
    axes.axhline(0, color="0.85", linewidth=0.8)
    axes.plot(GRID, GRID, color="0.75", linewidth=0.8, label="w, unmoved")
    axes.plot(GRID, broken(numpy(penalty.prox(GRID, step=1.0))), color="C0", label="prox(w, 1)")
    if not isinstance(penalty, penalties.Projection):
        value = np.array([float(penalty.value(np.array([w]))) for w in GRID])
        jumps = np.isnan(broken(value, 0.5))
        value[jumps | np.roll(jumps, 1)] = np.nan
        axes.plot(GRID, value, "--", color="C1", label="value(w)")
        if jumps.any():  # At zero alone the value is another.
            axes.plot(0, 0, "o", color="C1", markersize=4)
    axes.set(title=label(penalty), xlim=(-3, 3), ylim=(-3, 3), xticks=range(-2, 3, 2))
    axes.spines[["top", "right"]].set_visible(False)


def main():
    figure, grid = plt.subplots(
        3, 4, figsize=(10, 8), layout="constrained", sharex=True, sharey=True
    )
    for axes, penalty in zip(grid.flat, SHOWN, strict=True):
        draw(axes, penalty)
    for axes in grid[-1]:
        axes.set_xlabel("weight w")
    for axes in grid[:, 0]:
        axes.set_ylabel("moved weight, or value")
    lines = grid[0, 0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle("One weight: its penalty, and where a proximal step of length 1 moves it")
    figure.savefig(pathlib.Path(__file__).parent / "images" / "penalties.png", dpi=100)


if __name__ == "__main__":
    main()
