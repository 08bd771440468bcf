"""What each penalty is worth, in float64 NumPy, written from its definition."""

import math

import numpy as np


def groups(w, group_axis):
    """The groups of a weight, one flat array each."""
    w = np.asarray(w, "float64")
    if group_axis is None:
        return [np.array([value]) for value in w.ravel()]
    named = (group_axis,) if isinstance(group_axis, int) else group_axis
    axes = sorted(axis % w.ndim for axis in named)
    lengths = [w.shape[axis] for axis in axes]
    slices = []
    for position in np.ndindex(*lengths):
        index = [slice(None)] * w.ndim
        for axis, at in zip(axes, position, strict=True):
            index[axis] = at
        slices.append(np.atleast_1d(w[tuple(index)]).ravel())
    return slices


def value(penalty, w):
    """strength * Omega(w) of a penalty of this package, by its class's name."""
    config = penalty.get_config()
    phi = PHI[type(penalty).__name__]
    total = 0.0
    for group in groups(w, config["group_axis"]):
        weight = math.sqrt(group.size) if config["size_scaling"] else 1.0
        total += weight * phi(np.linalg.norm(group), config)
    return config["strength"] * total


PHI = {
    "L1": lambda r, config: r,
    "GroupLasso": lambda r, config: r,
    "L2": lambda r, config: r**2,
    "ElasticNet": lambda r, config: config["l1_ratio"] * r + (1 - config["l1_ratio"]) * r**2,
}
