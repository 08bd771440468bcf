"""The weights, or groups, whose share of zeros is steered, and what the penalties can reach."""

from typing import Any

import numpy as np

from keras_reg import structure
from keras_reg.ops.norms import reduced_axes
from keras_reg.optimizers import Proximal
from keras_reg.optimizers.zeros import Axes, count_zeros, has_strength, most_zeros, size


class Counted:
    """What is counted of a model, and which of it the strength of its penalties decides.

    Args:
        model: the built model.
        optimizer: the `Proximal` that trains it.
        scope: "all", or a regular expression over variable paths.
        per: "weight" or "group".
    Raises: ValueError if the pattern names nothing, or there are no groups to count.
    """

    def __init__(self, model: Any, optimizer: Proximal, scope: str, per: str):
        kernels = structure.kernels_of(model)
        found = kernels if scope == "all" else structure.match([scope], kernels)[scope]
        self._penalty_of = {
            id(variable): penalty
            for penalty, variable in optimizer.resolve(model.trainable_variables)
        }
        self._axes: dict[int, Axes] = {}
        if per == "group":
            self._axes = self._groups(found)
            found = [variable for variable in found if id(variable) in self._axes]
        self._variables = found
        self._total = sum(map(self._size, found))
        self._steered: list[Any] = []

    def share(self) -> float:
        """The share of what is counted that is zero now."""
        return int(self._zeros(self._variables).sum()) / self._total

    def all_steered_are_zero(self) -> bool:
        """Whether nothing is left that the strength could make zero."""
        steered = self._steered
        return bool(steered) and int(self._zeros(steered).sum()) == sum(map(self._size, steered))

    def check_reach(self, target: float) -> None:
        """Finds what the strength steers.

        Raises: ValueError if that is nothing, or too little for the target.
        """
        pairs = [
            (self._penalty_of[id(variable)], variable)
            for variable in self._variables
            if id(variable) in self._penalty_of
        ]
        reach = {id(v): most_zeros(penalty, v, self._axes_of(v)) for penalty, v in pairs}
        self._steered = [v for penalty, v in pairs if has_strength(penalty) and reach[id(v)]]
        if not self._steered:
            raise ValueError(
                "Expected a penalty on the counted weights whose strength decides how many are "
                "zero: not TopK or NM, which have none, nor L2, which makes no zeros, nor a "
                "strength of 0. Received: "
                f"{[(structure.path_of(v), penalty) for penalty, v in pairs]}"
            )
        # What is frozen keeps the zeros that it has.
        found = [
            reach.get(id(variable), 0 if variable.trainable else int(now))
            for variable, now in zip(self._variables, self._zeros(self._variables), strict=True)
        ]
        share = sum(found) / self._total
        if target > share:
            short = [
                structure.path_of(variable)
                for variable, n in zip(self._variables, found, strict=True)
                if n < self._size(variable)
            ]
            raise ValueError(
                f"Expected `target` to be at most {np.floor(1e4 * share) / 1e4:g}, the share of "
                "the counted weights that the penalties can make zero. Received: "
                f"target={target}. They cannot make all zero in {short}"
            )

    def _groups(self, variables: list[Any]) -> dict[int, Axes]:
        """For each variable whose penalty is on groups, the axes along which a group lies."""
        axes = {}
        for variable in variables:
            group_axis = getattr(self._penalty_of.get(id(variable)), "group_axis", None)
            if group_axis is not None:
                axes[id(variable)] = reduced_axes(tuple(variable.shape), group_axis)
        if not axes:
            raise ValueError(
                'Expected penalties with a `group_axis` for `per="group"`. Received: '
                f"{list(self._penalty_of.values())} on the counted weights"
            )
        return axes

    def _axes_of(self, variable: Any) -> Axes:
        return self._axes.get(id(variable), ())

    def _size(self, variable: Any) -> int:
        return size(variable, self._axes_of(variable))

    def _zeros(self, variables: list[Any]) -> np.ndarray:
        return count_zeros(variables, map(self._axes_of, variables))
