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
    if type(penalty).__name__ in MATRIX:
        w = np.asarray(w, "float64")
        matrix = w.reshape(-1, w.shape[-1])
        return config["strength"] * MATRIX[type(penalty).__name__](matrix, config)
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


def orthogonality(matrix, config):
    """f(W^T W - I) of Bansal et al., W with at least as many rows as columns."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    small, large = (gram - np.eye(len(gram)) for gram in (tall.T @ tall, tall @ tall.T))
    return {
        "soft": lambda: np.sum(small**2),
        "double_soft": lambda: np.sum(small**2) + np.sum(large**2),
        "mutual_coherence": lambda: np.max(np.abs(small)),
        "srip": lambda: np.linalg.norm(small, 2),
    }[config["kind"]]()


MATRIX = {
    "NuclearNorm": lambda matrix, config: np.linalg.norm(matrix, "nuc"),
    "SpectralNorm": lambda matrix, config: np.linalg.norm(matrix, 2),
    "Orthogonal": orthogonality,
}
