"""TopK: magnitude pruning."""

import math
from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.ops.norms import GroupAxis, check_group_axis, group_norms
from keras_reg.ops.ranks import largest
from keras_reg.regularizers.projection import Projection


@keras.saving.register_keras_serializable("keras_reg")
class TopK(Projection):
    """Keeps the largest weights of each variable: magnitude pruning.

    value:  0 if at least round(sparsity * n) of the n weights, or groups, are zero, else infinity
    prox:   0 for the round(sparsity * n) weights with the smallest |w|, or groups with the smallest
            ||w_g||; w for the others

    For a sparsity that is known beforehand, in `Proximal`: it is met exactly after every update.
    Raise it by a schedule (`keras_reg.schedules.Polynomial`), so that the weights that stay can
    make up for those that go; a weight comes back if an update makes it larger than one kept.

    The number of zeros is exact: of equal weights the first are kept. A sparsity of x.5 weights is
    rounded to the even number, and one from a schedule is evaluated in float32 and clipped to
    [0, 1]. Nothing is sorted: the time is linear in the number of weights.

    Args:
        sparsity: float from 0 to 1, or a schedule (only inside `Proximal`). Fraction of zeros.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups;
            None: every weight is its own group.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if sparsity is outside [0, 1], or if it is put in a layer.
    Reference: Zhu & Gupta, "To prune, or not to prune", 2017; Blumensath & Davies, Appl. Comput.
        Harmon. Anal. 2009, for the projection.

    Example:
        >>> w = TopK(0.5).prox(keras.ops.array([0.1, -3.0, 2.0, 0.5]), step=1.0)
        >>> keras.ops.convert_to_numpy(w).tolist()
        [0.0, -3.0, 2.0, 0.0]
    """

    def __init__(self, sparsity: schedules.Value = 0.5, group_axis: GroupAxis = None):
        super().__init__()
        self.sparsity = schedules.check_value(sparsity, "sparsity", at_least=0, at_most=1)
        self.group_axis = check_group_axis(group_axis)

    def get_config(self) -> dict:
        return {"sparsity": schedules.serialize(self.sparsity), "group_axis": self.group_axis}

    def _kept(self, w: Any, iteration: Any) -> Any:
        norms = group_norms(w, self.group_axis, keepdims=True)
        count = math.prod(norms.shape)
        return largest(norms, count - self._zeros(count, iteration))

    def _zeros(self, count: int, iteration: Any) -> Any:
        """How many of `count` are zero."""
        if not callable(self.sparsity):
            return round(self.sparsity * count)
        if iteration is None:
            raise ValueError(
                "Expected a float `sparsity` outside of Proximal, which alone knows the iteration "
                f"that a schedule needs. Received: sparsity={self.sparsity!r}"
            )
        fraction = ops.clip(schedules.evaluate(self.sparsity, iteration), 0.0, 1.0)
        return ops.cast(ops.round(fraction * count), "int32")
