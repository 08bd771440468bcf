"""What a compact model would have left, from its zeros; the graph is read at the first of them."""

from typing import Any, NamedTuple

from keras_reg.report.counting import Reading, values
from keras_reg.structure.channels.left import Wiring
from keras_reg.structure.graph import product


class Left(NamedTuple):
    """Entries of variables that are left.

    Args:
        entries: dict from the `id` of a variable to a number; all are left of one that is missing.
        unknown: str or None. Why it is not known.
        scores: int or None. Multiply-adds of attention besides those of weights; None: all.
    """

    entries: dict[int, int]
    unknown: str | None = None
    scores: int | None = None

    def of(self, variable: Any) -> int:
        """How many entries of a variable are left."""
        every = product(tuple(variable.shape)) or 0
        return self.entries.get(id(variable), every)


class Remainder:
    """Says what is left of a model, again and again.

    Args:
        model: a built model or layer.
        vectors: the variables that its units and heads read besides kernels.
    """

    def __init__(self, model: Any, vectors: list[Any]) -> None:
        self._model = model
        self._scales = {id(one) for one in vectors if one.name == "gamma"}
        self._wiring: Wiring | None = None
        self._unknown: str | None = None

    def left(self, reading: Reading) -> Left:
        """What is left of the weights as they are now."""
        if not self._has_zero_groups(reading):
            return Left({})
        if self._wiring is None and self._unknown is None:
            try:
                self._wiring = Wiring(self._model)
            except Exception as error:  # What the code of a user's model raises is not known here.
                self._unknown = f"{error}" or type(error).__name__
        if self._wiring is None:
            return Left({}, self._unknown)
        entries, scores = self._wiring.left(values)
        return Left(entries, scores=scores)

    def _has_zero_groups(self, reading: Reading) -> bool:
        """Whether any row, column or scale is zero; without one all channels do something."""
        sides = [side for one in reading.kernels for side in (one.inputs, one.outputs)]
        scales = [flags for key, flags in reading.vectors.items() if key in self._scales]
        return not all(flags.all() for flags in (*sides, *scales))
