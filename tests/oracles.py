"""What each penalty is worth, in float64 NumPy, written from its definition."""

import math
import statistics

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
    name = type(penalty).__name__
    if name in OMEGA:
        return config["strength"] * OMEGA[name](np.asarray(w, "float64"), config)
    phi = PHI[name]
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


def sparse_group_lasso(w, config):
    total = config["l1_ratio"] * np.sum(np.abs(w))
    for group in groups(w, config["group_axis"]):
        weight = math.sqrt(group.size) if config["size_scaling"] else 1.0
        total += (1 - config["l1_ratio"]) * weight * np.linalg.norm(group)
    return total


def group_linf(w, config):
    weighed = [
        (group.size if config["size_scaling"] else 1) * np.max(np.abs(group))
        for group in groups(w, config["group_axis"])
    ]
    return sum(weighed)


def slope(w, config):
    n = w.size
    if config["sequence"] == "linear":
        charges = [(n - i) / n for i in range(n)]
    else:
        normal, q = statistics.NormalDist(), config["q"]
        quantiles = [normal.inv_cdf(1 - i * q / (2 * n)) for i in range(1, n + 1)]
        charges = [quantile / quantiles[0] for quantile in quantiles]
    return np.dot(charges, np.sort(np.abs(w).ravel())[::-1])


def hoyer_square(w, config):
    norms = np.array([np.linalg.norm(group) for group in groups(w, config["group_axis"])])
    return np.sum(norms) ** 2 / np.sum(norms**2) if np.any(norms) else 0.0


# Penalties that are not a sum of one function of each group's norm: Omega itself.
OMEGA = {
    "SparseGroupLasso": sparse_group_lasso,
    "GroupLInf": group_linf,
    "ExclusiveLasso": lambda w, config: sum(
        np.sum(np.abs(group)) ** 2 for group in groups(w, config["group_axis"])
    ),
    "SLOPE": slope,
    "HoyerSquare": hoyer_square,
    "TotalVariation": lambda w, config: np.sum(np.abs(np.diff(w, axis=config["axis"]))),
    "L2SP": lambda w, config: np.sum((w - (config["reference"] or 0.0)) ** 2),
}
