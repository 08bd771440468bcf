"""RadialPenalty: a function of each group's norm."""

import abc
import math
from typing import Any

from keras import ops

from keras_reg import schedules
from keras_reg.ops.norms import (
    TINY,
    GroupAxis,
    check_group_axis,
    group_norms,
    group_size,
    reduced_axes,
)
from keras_reg.ops.prox import shrink_norms
from keras_reg.regularizers.penalty import Penalty, float_tensor


class RadialPenalty(Penalty):
    """Abstract base of penalties strength * sum_g sqrt(n_g) * phi(||w_g||), n_g the group's size.

    A subclass writes phi as `_value`, its proximal operator as `_prox` and its right derivative as
    `_slope`, each elementwise on norms; everything else follows, with and without groups.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: int, tuple of ints or None. Axes that index the groups; None: every weight is
            its own group.
        size_scaling: bool. False drops the factor sqrt(n_g).
    Raises: ValueError if an argument is out of range; at the first use if `group_axis` does not fit
        the variable.
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
    ):
        super().__init__(strength)
        self.group_axis = check_group_axis(group_axis)
        self.size_scaling = size_scaling

    @abc.abstractmethod
    def _value(self, r: Any) -> Any:
        """phi(r) for norms r >= 0."""

    @abc.abstractmethod
    def _prox(self, r: Any, step: Any) -> Any:
        """argmin_u 0.5 * (u - r)**2 + step * phi(u) over u >= 0, for norms r >= 0."""

    @abc.abstractmethod
    def _slope(self, r: Any) -> Any:
        """Right derivative of phi at norms r >= 0."""

    def max_strength(self, gradient: Any) -> float:
        gradient = float_tensor(gradient)
        self.check_shape(tuple(gradient.shape))
        pull = float(ops.max(group_norms(gradient, self.group_axis)))
        resistance = self._group_weight(gradient) * float(self._slope(ops.zeros(())))
        if resistance == 0.0:
            return math.inf if pull > 0.0 else 0.0
        return pull / resistance

    def stationarity(self, w: Any, gradient: Any) -> Any:
        w, gradient = float_tensor(w), float_tensor(gradient)
        self.check_shape(tuple(w.shape))
        factor = self._constant_strength("in stationarity") * self._group_weight(w)
        norms = group_norms(w, self.group_axis, keepdims=True)
        direction = w / ops.maximum(norms, TINY)
        moving = group_norms(gradient + factor * self._slope(norms) * direction, self.group_axis)
        resting = group_norms(gradient, self.group_axis) - factor * self._slope(ops.zeros(()))
        at_zero = ops.equal(group_norms(w, self.group_axis), 0.0)
        return ops.where(at_zero, ops.maximum(resting, 0.0), moving)

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        reduced_axes(shape, self.group_axis, path)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "group_axis": self.group_axis,
            "size_scaling": self.size_scaling,
        }

    def _omega(self, w: Any) -> Any:
        return self._group_weight(w) * ops.sum(self._value(group_norms(w, self.group_axis)))

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        scale = scale * self._group_weight(w)
        return shrink_norms(w, self.group_axis, lambda norms: self._prox(norms, scale))

    def _group_weight(self, w: Any) -> float:
        return math.sqrt(group_size(tuple(w.shape), self.group_axis)) if self.size_scaling else 1.0
