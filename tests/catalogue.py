"""Every penalty of the package, found by walking the subclasses, with the arguments to test."""

import inspect

import pytest

from keras_reg import regularizers


def penalty_classes(base=regularizers.Penalty):
    found = {cls for child in base.__subclasses__() for cls in [child, *penalty_classes(child)]}
    return sorted((cls for cls in found if not inspect.isabstract(cls)), key=lambda c: c.__name__)


# A class that is not named here is tested with these.
RADIAL = [{}, {"group_axis": -1, "size_scaling": False}]
ARGUMENTS = {
    "ElasticNet": [*RADIAL, {"l1_ratio": 0, "group_axis": (0, -1)}],
    "SparseGroupLasso": [{}, {"group_axis": (0, -1), "l1_ratio": 0.25, "size_scaling": False}],
    "GroupLInf": [{}, {"group_axis": (0, -1), "size_scaling": True}, {"group_axis": None}],
    "ExclusiveLasso": [{}, {"group_axis": 0}, {"group_axis": None}],
    "SLOPE": [{}, {"sequence": "linear"}, {"q": 0.9}],
    "HoyerSquare": [{}, {"group_axis": -1}],
    "TotalVariation": [{}, {"axis": -1}],
    "L2SP": [{}, {"reference": 0.0}],
}

CASES = [
    pytest.param(cls, kwargs, id=f"{cls.__name__}-{kwargs}")
    for cls in penalty_classes()
    for kwargs in ARGUMENTS.get(cls.__name__, RADIAL)
]
PROXIMABLE = [case for case in CASES if case.values[0].proximable]
