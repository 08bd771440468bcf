"""MatrixPenalty: a function of a weight as a matrix."""

import abc
from typing import Any

from keras_reg import schedules
from keras_reg.ops.backend import xla_suits_matrices
from keras_reg.ops.matrix import as_matrix, check_matrix
from keras_reg.ops.norms import GroupAxis, check_group_axis, reduced_axes
from keras_reg.regularizers.penalty import Penalty


class MatrixPenalty(Penalty):
    """Abstract base of penalties of a weight as a matrix, inputs by outputs.

    A column holds all weights that lead to one output, as a group of `GroupLasso` does: of a
    filter, of one index of one head in attention, of a channel of a depthwise convolution.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        axis: "outputs", int or tuple of ints. The axes that index the columns; the others index the
            rows. Which axes the outputs are a model tells: `Proximal(..., model=model)`,
            `keras_reg.regularize(model, ...)`. Without one, what a path and a shape leave open is
            an error; in a bare tensor it is the last axis.
    Raises: ValueError if an argument is out of range; at the first use if the rank is 1 or `axis`
        does not name some, but not all, of the weight's axes.
    """

    compilable = xla_suits_matrices()
    is_in_numpy = True
    _axis_argument = "axis"

    def __init__(self, strength: schedules.Value = 0.01, axis: GroupAxis = "outputs"):
        super().__init__(strength)
        self.axis = check_group_axis(axis, "axis")
        if axis is None or axis == "inputs":
            raise ValueError(
                'Expected `axis` to be "outputs", an int or a non-empty tuple of ints. '
                f"Received: axis={axis!r}"
            )

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        check_matrix(shape, path)
        if not reduced_axes(shape, self.axis, path, "axis"):
            raise ValueError(
                f"Expected `axis` to leave an axis of {path or 'a weight'} of shape {shape} for "
                f"the rows. Received: axis={self.axis}"
            )

    def get_config(self) -> dict:
        return {**super().get_config(), "axis": self.axis}

    def _matrix(self, w: Any) -> Any:
        return as_matrix(w, self.axis)

    @abc.abstractmethod
    def _omega(self, w: Any) -> Any:
        """Omega(w), a float32 scalar, from a float32 tensor."""
