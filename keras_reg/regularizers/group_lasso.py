"""GroupLasso: whole units, filters, inputs or channels to zero."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops.norms import GroupAxis
from keras_reg.regularizers.l1 import L1


@keras.saving.register_keras_serializable("keras_reg")
class GroupLasso(L1):
    """Sum of group norms: a group is zero as a whole or not at all.

    value:  strength * sum_g c_g * sqrt(n_g) * ||w_g||_2, c = `weights`, 1 without
    prox:   w_g * max(0, 1 - step * strength * c_g * sqrt(n_g) / ||w_g||_2)

    Removes units and filters (`group_axis="outputs"`) or input features and channels ("inputs"),
    which makes a network smaller on any hardware; zeros of single weights do not. The norm
    phi(r) = r is that of `L1`; this is the name and the default it has with groups.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
        group_axis: "outputs", "inputs", int or tuple of ints. Axes that index the groups; the norm
            runs over the others. "outputs": a group for each unit or filter, for each channel of a
            depthwise convolution, for each index of each head in attention; "inputs": for each
            input feature or channel. Which axes those are a model tells: `Proximal(...,
            model=model)`, `keras_reg.regularize(model, ...)`. Without one, what a path and a shape
            leave open is an error; in a bare tensor they are axes -1 and -2.
        size_scaling: bool. Multiply each norm by sqrt(n_g), the square root of the group's size.
        weights: array-like of numbers >= 0, or None. One factor for each group, in the shape of the
            variable's group axes. A group whose factor is 0 is not penalized: `prox` leaves it as
            it is, and `max_strength` is that of the others.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength or one of the weights is negative or not finite; at the first use
        if `group_axis` is out of the variable's range or `weights` does not fit its groups.
    Reference: Yuan & Lin, JRSS-B 2006; Wang & Leng, CSDA 2008, for the weights.

    Example:
        >>> penalty = GroupLasso(0.5, group_axis="outputs", size_scaling=False)
        >>> w = keras.ops.array([[3.0, 0.3], [4.0, 0.4]])
        >>> float(penalty(w))
        2.75
        >>> keras.ops.convert_to_numpy(penalty.prox(w, step=1.0)).round(2).tolist()
        [[2.7, 0.0], [3.6, 0.0]]
    """

    def __init__(
        self,
        strength: schedules.Value = 0.01,
        group_axis: GroupAxis = "outputs",
        size_scaling: bool = True,
        weights: Any = None,
    ):
        super().__init__(strength, group_axis, size_scaling, weights)
