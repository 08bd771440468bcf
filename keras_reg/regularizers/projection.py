"""Projection: the nearest weights with zeros in a given pattern."""

import abc
import math
from typing import Any

from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import kept_alone
from keras_reg.regularizers.penalty import Penalty, check_step, widen


class Projection(Penalty):
    """Abstract base of penalties that are a condition: which weights may be other than zero.

    value:  0 where the condition holds, infinity elsewhere
    prox:   w where a weight is kept, 0 elsewhere: the nearest weights that meet the condition

    A condition has no strength, and every step > 0 gives the same result; a step of 0, and so a
    learning rate of 0, leaves the weights as they are. Its value is of no use in a loss, so in a
    layer it is refused: give it to `keras_reg.optimizers.Proximal`. A NaN or an infinite weight is
    always kept. `max_strength` and `stationarity` are not defined: there is no strength, and no
    subdifferential to measure a distance to.

    A subclass writes `_kept` and `get_config`.

    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Reference: Blumensath & Davies, "Iterative Hard Thresholding for Compressed Sensing", Appl.
        Comput. Harmon. Anal. 2009.
    """

    _gradient = None  # type: ignore[assignment]  # Zero, or from 0 to infinity.
    holds_zeros = True

    def __init__(self) -> None:
        # The value is 0 or infinity, which no factor changes.
        super().__init__(1.0)

    @abc.abstractmethod
    def _kept(self, w: Any, iteration: Any) -> Any:
        """Which weights stay: a bool tensor that broadcasts against `w`.

        Args:
            w: float32 or float64 tensor.
            iteration: integer scalar, or None outside of `Proximal`.
        """

    def prox(self, w: Any, step: Any, iteration: Any = None) -> Any:
        w, placed = self._on(w)
        check_step(step, tuple(w.shape))
        return placed._project(w, step, iteration)

    def get_config(self) -> dict:
        return {}

    def _omega(self, w: Any) -> Any:
        holds = ops.all(ops.logical_or(self._kept(w, None), ops.equal(w, 0.0)))
        return ops.where(holds, 0.0, math.inf)

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        return self._project(w, scale, None)

    def _project(self, w: Any, step: Any, iteration: Any) -> Any:
        wide = widen(w)
        return self._only(w, wide, self._kept(wide, iteration), step)

    @staticmethod
    def _only(w: Any, wide: Any, kept: Any, step: Any) -> Any:
        """What is kept of a weight, all of it if the step is 0."""
        kept = ops.logical_or(kept, ops.logical_not(ops.isfinite(wide)))
        return kept_alone(w, ops.logical_or(kept, ops.logical_not(ops.greater(step, 0))))
