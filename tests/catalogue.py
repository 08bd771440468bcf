"""Every penalty of the package, found by walking the subclasses, with the arguments to test."""

import inspect

import pytest

from keras_reg import regularizers

# They have no strength, and tests of their own in test_patterns.py.
PROJECTIONS = {regularizers.NM, regularizers.TopK}

# It takes a penalty, and has tests of its own in test_trimmed.py.
WRAPPERS = {regularizers.Trimmed}


def penalty_classes(base=regularizers.Penalty):
    found = {cls for child in base.__subclasses__() for cls in [child, *penalty_classes(child)]}
    return sorted(
        (
            cls
            for cls in found - PROJECTIONS - WRAPPERS
            # Others are of tests, or of what trains several models at once.
            if not inspect.isabstract(cls) and cls.__module__.startswith("keras_reg.regularizers.")
        ),
        key=lambda c: c.__name__,
    )


# A class that is not named here is tested with these.
RADIAL = [{}, {"group_axis": -1, "size_scaling": False}]
ARGUMENTS = {
    "CappedL1": [{"cap": 0.7}, {"cap": 0.7, "group_axis": -1, "size_scaling": False}],
    "ElasticNet": [*RADIAL, {"l1_ratio": 0, "group_axis": (0, -1)}],
    "LogSum": [{"epsilon": 0.9}, {"epsilon": 0.45, "group_axis": -1, "size_scaling": False}],
    "Lq": [{"q": 1 / 2}, {"q": 2 / 3}, {"q": 2 / 3, "group_axis": -1, "size_scaling": False}],
    "MCP": [{"gamma": 1.3}, {"gamma": 0.3, "group_axis": -1, "size_scaling": False}],
    "SCAD": [{"gamma": 1.3}, {"gamma": 0.4, "a": 2.1, "group_axis": -1, "size_scaling": False}],
    "NuclearNorm": [{}],
    # Power iteration and random probes are estimates: test_matrix.py has them.
    "SpectralNorm": [{"exact": True}],
    "Orthogonal": [{"exact": True}, {"kind": "double_soft", "exact": True}],
    "SparseGroupLasso": [{}, {"group_axis": (0, -1), "l1_ratio": 0.25, "size_scaling": False}],
    "GroupLInf": [{}, {"group_axis": (0, -1), "size_scaling": True}, {"group_axis": None}],
    "ExclusiveLasso": [{}, {"group_axis": 0}, {"group_axis": None}],
    "SLOPE": [{}, {"sequence": "linear"}, {"q": 0.9}],
    "HoyerSquare": [{}, {"group_axis": -1}],
    "TotalVariation": [{}, {"axis": -1}],
    "L2SP": [{}, {"reference": 0.0}],
}

# Their zero may be stationary and yet not the lowest point.
NONCONVEX = {"CappedL1", "L0", "LogSum", "Lq", "MCP", "SCAD"}

# Their slope at zero is infinite: zero is stationary whatever the gradient.
STEEP = {"L0", "Lq"}

CASES = [
    pytest.param(cls, kwargs, id=f"{cls.__name__}-{kwargs}")
    for cls in penalty_classes()
    for kwargs in ARGUMENTS.get(cls.__name__, RADIAL)
]

PROX_CASES = [case for case in CASES if case.values[0].proximable]

# Their proximal operators decompose a matrix, which is exact to its largest entry alone.
OF_MATRICES = {regularizers.NuclearNorm, regularizers.SpectralNorm}
