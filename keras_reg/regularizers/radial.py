"""RadialPenalty: a function of each group's norm."""

import abc
import math
from typing import Any

import numpy as np

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.grouping import Grouping
from keras_reg.ops.norms import (
    TINY,
    GroupAxis,
    check_group_axis,
    group_norms,
    reduced_axes,
    with_sign_of,
)
from keras_reg.ops.prox import shrink_norms
from keras_reg.ops.sums import full_sum
from keras_reg.regularizers.group_weights import (
    check_groups,
    check_no_groups,
    check_weights,
    group_factors,
    root_size,
    set_weights,
)
from keras_reg.regularizers.penalty import Penalty

# The points at which an integral over norms is evaluated.
_PARTS = 32


class RadialPenalty(Penalty):
    """Abstract base of penalties strength * sum_g c_g * sqrt(n_g) * phi(||w_g||).

    n_g is the group's size and c_g its weight, 1 without `weights`. A subclass writes phi as
    `_value`, its proximal operator as `_prox` and its right derivative as `_slope`, each
    elementwise on norms; everything else follows, with and without groups. A phi that rises from
    zero with an infinite slope says so in `_slope`: then every strength > 0 makes zero a local
    minimum, `max_strength` is 0.0 and `stationarity` is 0 at zero.

    Groups with a weight of zero are not penalized, and `max_strength` leaves them out: it is the
    smallest strength at which all the others are zero, 0.0 if there are no others. Its `gradient`
    is then that of the loss where the groups left out are fitted and the others are zero.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups;
            None: every weight is its own group.
        size_scaling: bool. False drops the factor sqrt(n_g).
        weights: array-like of numbers >= 0, or None. The factor c_g of each group: an array in the
            shape of the variable's group axes, in the variable's order, or of the variable itself
            for `group_axis=None`. A subclass offers it or not.
    Raises: ValueError if an argument is out of range; at the first use if `group_axis` or `weights`
        does not fit the variable.
    """

    is_in_numpy = True

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        group_axis: GroupAxis = None,
        size_scaling: bool = True,
        *,
        weights: Any = None,
    ):
        super().__init__(strength)
        self.group_axis = check_group_axis(group_axis)
        self.size_scaling = schedules.check_flag(size_scaling, "size_scaling")
        self.weights = check_weights(weights)

    def zeros_ahead(
        self, ws: list[Any], grouping: Grouping, step: Any, times: Any, iteration: Any
    ) -> list[Any]:
        """Which groups several proximal steps, one after the other, make zero: bools for each set.

        A group is zero after the first, or it flows to zero, by dr/dt = -strength * phi'(r). One
        step as long as all of them gives the same for a norm. Where phi is concave it makes more
        zero: it jumps over the r that short steps leave as they are.

        Args:
            ws: float tensors of one dtype.
            grouping: which of their weights form each group.
            step: scalar. The length of one step.
            times: scalar. How many.
            iteration: integer scalar. What a schedule is evaluated at.
        """
        scale = self._scale(step, iteration, ws[0].dtype)
        factors: list[Any] = set_weights(grouping, self.size_scaling)
        if self.weights is not None:
            factors = [self._factors(ws[0], keepdims=True)]
        zeros = []
        for r, factor in zip(grouping.norms(ws), factors, strict=True):
            length = scale * factor
            at_once = ops.equal(self._prox(ops.maximum(r, TINY), length), 0.0)
            flows = ops.less_equal(self._time_to_zero(r), times * length)
            zeros.append(ops.logical_or(ops.equal(r, 0.0), ops.logical_or(at_once, flows)))
        return zeros

    def _time_to_zero(self, r: Any) -> Any:
        """How long norms r take to reach zero by dr/dt = -phi'(r); infinite if they never do."""
        middles = ops.as_given((np.arange(_PARTS) + 0.5) / _PARTS, like=r)
        time = r * ops.mean(1.0 / self._slope(ops.expand_dims(r, -1) * middles), axis=-1)
        return ops.where(ops.greater(self._slope(ops.zeros_like(r)), 0.0), time, math.inf)

    @abc.abstractmethod
    def _value(self, r: Any) -> Any:
        """phi(r) for norms r >= 0."""

    @abc.abstractmethod
    def _prox(self, r: Any, step: Any) -> Any:
        """argmin_u 0.5 * (u - r)**2 + step * phi(u) over u >= 0, for norms r > 0.

        The step is a scalar, or one for each norm. The minimum is global, whatever the step.
        """

    @abc.abstractmethod
    def _slope(self, r: Any) -> Any:
        """Right derivative of phi at norms r >= 0."""

    def _max_strength(self, gradient: Any) -> float:
        pull = group_norms(gradient, self.group_axis)
        slope = float(self._slope(ops.zeros(())))
        if slope == 0.0:
            return math.inf if float(ops.max(pull)) > 0.0 else 0.0
        factors = ops.cast(self._factors(gradient), pull.dtype)
        penalized = ops.greater(factors, 0.0)
        strengths = pull / (slope * ops.where(penalized, factors, 1.0))
        return float(ops.max(ops.where(penalized, strengths, 0.0)))

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        norms = group_norms(w, self.group_axis, keepdims=True)
        direction = w / ops.maximum(norms, TINY)
        pull = strength * self._factors(w, keepdims=True) * self._slope(norms)
        moving = group_norms(gradient + pull * direction, self.group_axis)
        hold = ops.cast(strength * self._factors(w), w.dtype)
        # The slope may be infinite, and 0 * inf is not 0.
        held = ops.where(ops.greater(hold, 0.0), hold * float(self._slope(ops.zeros(()))), 0.0)
        resting = ops.maximum(group_norms(gradient, self.group_axis) - held, 0.0)
        return ops.where(ops.equal(group_norms(w, self.group_axis), 0.0), resting, moving)

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        check_groups(self.weights, self.group_axis, shape, path)

    def get_config(self) -> dict:
        weights = {} if self.weights is None else {"weights": self.weights.tolist()}
        return {
            **super().get_config(),
            "group_axis": self.group_axis,
            "size_scaling": self.size_scaling,
            **weights,
        }

    def _omega(self, w: Any) -> Any:
        values, factors = self._value(self._norms(w)), self._factors(w, keepdims=True)
        # A number is multiplied once, not in the loop over the weights.
        if self.weights is not None:
            return full_sum(factors * values)
        return full_sum(values) * factors

    def _gradient(self, w: Any) -> Any:
        factors = self._factors(w, keepdims=True)
        if reduced_axes(tuple(w.shape), self.group_axis):
            # At TINY every slope is finite, so that a direction of zero makes it zero.
            norms = ops.maximum(self._norms(w), TINY)
            return (factors * self._slope(norms)) * (w * (1.0 / norms))
        return with_sign_of(w, factors * self._slope(ops.abs(w)))

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        scale = scale * self._factors(w, keepdims=True)
        return shrink_norms(w, self.group_axis, lambda norms: self._prox(norms, scale))

    def shrinkage(
        self, norms: list[Any], grouping: Grouping, step: Any, iteration: Any
    ) -> list[Any]:
        """What the proximal operator multiplies each group with: a tensor for each set.

        Args:
            norms: what `grouping.norms` gives.
            grouping: which weights form each group.
            step: scalar.
            iteration: integer scalar. What a schedule is evaluated at.
        """
        scale = self._scale(step, iteration, norms[0].dtype)
        weights = set_weights(grouping, self.size_scaling)
        norms = [ops.clip(one, TINY, math.inf) for one in norms]
        pairs = zip(norms, weights, strict=True)
        return [self._prox(one, scale * weight) / one for one, weight in pairs]

    def value_of_norms(self, norms: list[Any], grouping: Grouping) -> Any:
        """Omega of groups of these norms.

        Args:
            norms: as `grouping.norms` gives them.
            grouping: which weights form each group.
        """
        pairs = zip(norms, set_weights(grouping, self.size_scaling), strict=True)
        return sum(weight * ops.sum(self._value(one)) for one, weight in pairs)

    def _prox_of_groups(
        self, ws: list[Any], grouping: Grouping, step: Any, iteration: Any
    ) -> list[Any]:
        factors = self.shrinkage(grouping.norms(ws), grouping, step, iteration)
        return [w * one for w, one in zip(ws, grouping.spread(factors), strict=True)]

    def _omega_of_groups(self, ws: list[Any], grouping: Grouping) -> Any:
        return self.value_of_norms(grouping.norms(ws), grouping)

    def check_grouping(self, grouping: Grouping) -> None:
        super().check_grouping(grouping)
        check_no_groups(self)

    def _norms(self, w: Any) -> Any:
        if reduced_axes(tuple(w.shape), self.group_axis):
            return group_norms(w, self.group_axis, keepdims=True)
        return ops.abs(w)

    def _factors(self, w: Any, keepdims: bool = False) -> Any:
        """c_g * sqrt(n_g): one number, or with weights one for each group."""
        size = root_size(w, self.group_axis) if self.size_scaling else 1.0
        return size * group_factors(self.weights, w, self.group_axis, keepdims)
