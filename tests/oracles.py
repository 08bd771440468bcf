"""What each penalty is worth, in float64 NumPy, written from its definition."""

import math
import statistics

import numpy as np


def groups(w, group_axis):
    """The groups of a weight, one flat array each."""
    w = np.asarray(w, "float64")
    if group_axis is None:
        return [np.array([value]) for value in w.ravel()]
    group_axis = {"outputs": -1, "inputs": -2}.get(group_axis, group_axis)  # Of a bare tensor.
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
    every_group = groups(w, config["group_axis"])
    weights = np.ravel(config.get("weights", np.ones(len(every_group))))
    total = 0.0
    for group, weight in zip(every_group, weights, strict=True):
        size = math.sqrt(group.size) if config["size_scaling"] else 1.0
        total += weight * size * phi(np.linalg.norm(group), config)
    return config["strength"] * total


def mcp(r, gamma):
    """The integral of max(0, 1 - t / gamma) from 0 to r: the definition of Zhang (2010)."""
    return r - r**2 / (2 * gamma) if r <= gamma else gamma / 2


def scad(r, knot, a):
    """The three pieces of Fan & Li (2001), as Breheny & Huang write them, over lambda = knot."""
    if r <= knot:
        return r
    if r <= a * knot:
        return (a * knot * r - (r**2 + knot**2) / 2) / (knot * (a - 1))
    return knot * (a**2 - 1) / (2 * (a - 1))


PHI = {
    "L1": lambda r, config: r,
    "GroupLasso": lambda r, config: r,
    "L2": lambda r, config: r**2,
    "L0": lambda r, config: float(r != 0),
    "Lq": lambda r, config: r ** config["q"],
    "LogSum": lambda r, config: math.log(1 + r / config["epsilon"]),
    "CappedL1": lambda r, config: min(r, config["cap"]),
    "MCP": lambda r, config: mcp(r, config["gamma"]),
    "SCAD": lambda r, config: scad(r, config["gamma"] / config["a"], config["a"]),
    "ElasticNet": lambda r, config: config["l1_ratio"] * r + (1 - config["l1_ratio"]) * r**2,
}


def as_matrix(w):
    return w.reshape(-1, w.shape[-1])


def orthogonality(w, config):
    """f(W^T W - I) of Bansal et al., W with at least as many rows as columns."""
    matrix = as_matrix(w)
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    small, large = (gram - np.eye(len(gram)) for gram in (tall.T @ tall, tall @ tall.T))
    return {
        "soft": lambda: np.sum(small**2),
        "double_soft": lambda: np.sum(small**2) + np.sum(large**2),
        "mutual_coherence": lambda: np.max(np.abs(small)),
        "srip": lambda: np.linalg.norm(small, 2),
    }[config["kind"]]()


def sparse_group_lasso(w, config):
    factors = config.get("weights")
    parts = []
    for group in groups(w, config["group_axis"]):
        weight = math.sqrt(group.size) if config["size_scaling"] else 1.0
        single = config["l1_ratio"] * np.sum(np.abs(group))
        parts.append(single + (1 - config["l1_ratio"]) * weight * np.linalg.norm(group))
    return np.dot(np.ones(len(parts)) if factors is None else np.ravel(factors), parts)


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
    "NuclearNorm": lambda w, config: np.linalg.norm(as_matrix(w), "nuc"),
    "SpectralNorm": lambda w, config: np.linalg.norm(as_matrix(w), 2),
    "Orthogonal": orthogonality,
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
