"""Trimmed: a penalty that leaves the largest groups alone."""

import math
from typing import Any, Self

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.grouping import Grouping
from keras_reg.ops.norms import GroupAxis, group_norms
from keras_reg.ops.ranks import largest, share_of
from keras_reg.regularizers.penalty import Penalty
from keras_reg.regularizers.radial import RadialPenalty
from keras_reg.structure import Layout


@keras.saving.register_keras_serializable("keras_reg")
class Trimmed(Penalty):
    """A penalty on all groups but the largest of each variable, or of each kind of channel.

    value:  the penalty's of w with its h largest groups at zero, h = ceil(at_least * groups)
    prox:   w_g for the h groups with the largest ||w_g||, the penalty's for the others

    A floor: however strong the penalty is, no variable loses all its weights, and no layer all its
    channels. Put it round a penalty that `TargetSparsity` steers to a high sparsity, where a layer
    whose groups are all smaller than those of others would vanish as a whole. What is left alone is
    not shrunk either. Of equal groups the first are the largest. Around `L1` it is the trimmed
    lasso, whose zeros are exact as soon as the strength is large enough.

    Args:
        penalty: `RadialPenalty`, such as `L1`, `GroupLasso`, `MCP` or `LogSum`, with its strength
            and its `group_axis`, without `weights`.
        at_least: float, 0 < at_least <= 1. The fraction of the groups, or single weights, rounded
            up, on which the penalty does not act.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: TypeError if `penalty` is no `RadialPenalty`; ValueError if it has `weights`, or
        `at_least` is out of range. `max_strength` is not defined: zero is no stationary point of
        groups that are not penalized.
    Reference: Yun, Zheng, Yang, Lozano & Aravkin, "Trimming the l1 Regularizer", ICML 2019;
        Bertsimas, Copenhaver & Mazumder, "The Trimmed Lasso", 2017.

    Example:
        >>> from keras_reg.regularizers import L1
        >>> penalty, w = Trimmed(L1(1.0), at_least=0.25), keras.ops.array([0.5, -3.0, 2.0, 0.1])
        >>> round(float(penalty(w)), 2)
        2.6
        >>> keras.ops.convert_to_numpy(penalty.prox(w, step=5.0)).tolist()
        [0.0, -3.0, 0.0, 0.0]
    """

    def __init__(self, penalty: RadialPenalty, at_least: float = 0.1):
        if not isinstance(penalty, RadialPenalty):
            raise TypeError(
                "Expected `penalty` to be a RadialPenalty, such as L1, GroupLasso, MCP or LogSum, "
                f"which acts on the norm of each group. Received: penalty={penalty!r}"
            )
        if penalty.weights is not None:
            raise ValueError(
                "Expected a penalty without `weights`: groups are trimmed by their norms alone. "
                f"Received: penalty={penalty!r}"
            )
        super().__init__(penalty.strength)
        self.penalty = penalty
        self.at_least = schedules.check_number(at_least, "at_least", at_most=1)
        if self.at_least <= 0.0:
            raise ValueError(f"Expected `at_least` to be above 0. Received: at_least={at_least!r}")
        self.differentiable, self.compilable = penalty.differentiable, penalty.compilable

    @property
    def group_axis(self) -> GroupAxis:
        """That of the penalty."""
        return self.penalty.group_axis

    def placed(self, layout: Layout, path: str = "") -> Self:
        penalty = self.penalty.placed(layout, path)
        if penalty is self.penalty:
            return self
        if penalty.group_axis not in self._placed:
            self._placed[penalty.group_axis] = type(self)(penalty, self.at_least)
        return self._placed[penalty.group_axis]

    def with_strength(self, strength: float) -> Self:
        return type(self)(self.penalty.with_strength(strength), self.at_least)

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        self.penalty.check_shape(shape, path)

    def check_grouping(self, grouping: Grouping) -> None:
        self.penalty.check_grouping(grouping)

    def zeros_ahead(
        self, ws: list[Any], grouping: Grouping, step: Any, times: Any, iteration: Any
    ) -> list[Any]:
        """As `RadialPenalty.zeros_ahead`: groups that are left alone do not become zero."""
        ahead = self.penalty.zeros_ahead(ws, grouping, step, times, iteration)
        each = zip(ahead, self._trimmed(grouping.norms(ws)), grouping.zeros(ws), strict=True)
        return [
            ops.logical_or(is_zero, ops.logical_and(becomes, ops.logical_not(is_free)))
            for becomes, is_free, is_zero in each
        ]

    def get_config(self) -> dict:
        penalty = keras.saving.serialize_keras_object(self.penalty)
        return {"penalty": penalty, "at_least": self.at_least}

    @classmethod
    def from_config(cls, config: dict) -> Self:
        penalty = keras.saving.deserialize_keras_object(config["penalty"])
        return cls(penalty, config["at_least"])

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        distances = self.penalty._stationarity(w, gradient, strength)
        is_free = ops.reshape(self._trimmed([self._norms(w)])[0], distances.shape)
        return ops.where(is_free, group_norms(gradient, self.group_axis), distances)

    def _omega(self, w: Any) -> Any:
        return self.penalty._omega(self._others(w))

    def _gradient(self, w: Any) -> Any:
        return self.penalty._gradient(self._others(w))

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        return ops.where(self._trimmed([self._norms(w)])[0], w, self.penalty._omega_prox(w, scale))

    def _prox_of_groups(
        self, ws: list[Any], grouping: Grouping, step: Any, iteration: Any
    ) -> list[Any]:
        norms = grouping.norms(ws)
        factors = self.penalty.shrinkage(norms, grouping, step, iteration)
        pairs = zip(self._trimmed(norms), factors, strict=True)
        spread = grouping.spread([ops.where(is_free, 1.0, one) for is_free, one in pairs])
        return [w * one for w, one in zip(ws, spread, strict=True)]

    def _omega_of_groups(self, ws: list[Any], grouping: Grouping) -> Any:
        norms = grouping.norms(ws)
        pairs = zip(self._trimmed(norms), norms, strict=True)
        others = [ops.where(is_free, 0.0, one) for is_free, one in pairs]
        return self.penalty.value_of_norms(others, grouping)

    def _norms(self, w: Any) -> Any:
        return group_norms(w, self.group_axis, keepdims=True)

    def _others(self, w: Any) -> Any:
        """The weights, zero where the penalty does not act."""
        return ops.where(self._trimmed([self._norms(w)])[0], 0.0, w)

    def _trimmed(self, norms: list[Any]) -> list[Any]:
        """Which groups are left alone: a bool tensor for each set."""
        counts = [math.prod(one.shape) for one in norms]
        return [
            largest(one, share_of(self.at_least, count))
            for one, count in zip(norms, counts, strict=True)
        ]
