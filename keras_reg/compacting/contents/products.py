"""Products of two tensors: an index that is summed is needed unless one side is 0 there."""

from typing import Any

import numpy as np

from keras_reg.compacting.constants import along, only_zeros, placed, product
from keras_reg.compacting.contents.registry import for_operations
from keras_reg.structure.channels.labels import Array


@for_operations("Matmul")
def matmul(content: Any) -> list[Array]:
    """A product of rows and columns that are known to be 0 is 0."""
    first, second = content.inputs
    _summed(content, [(first, first.rank - 1), (second, second.rank - 2)])
    rank = content.results[0].rank
    rows, columns = (only_zeros(known) for known in content.knowns)
    return [product(placed(rank, -2, along(rows, -2)), placed(rank, -1, along(columns, -1)))]


@for_operations("Einsum")
def einsum(content: Any) -> list[None]:
    """Letters that are summed are needed; results are not followed."""
    operands, output = content.operation.subscripts.replace(" ", "").split("->")
    terms = operands.split(",")
    for letter in set("".join(terms)) - set(output):
        places = [
            (x, term.index(letter))
            for x, term in zip(content.inputs, terms, strict=True)
            if letter in term
        ]
        _summed(content, places)
    return [None]


def _summed(content: Any, places: list[tuple[Any, int]]) -> None:
    labelled = [(x, axis) for x, axis in places if axis % x.rank in x.axes]
    if labelled:
        x, axis = labelled[0]
        zeros = [along(content.survey.known(one), at) == 0 for one, at in places]
        is_zero = np.any(np.broadcast_arrays(*zeros, np.zeros(x.shape[axis], bool)), axis=0)
        content.needs(x.on(axis), is_zero)
