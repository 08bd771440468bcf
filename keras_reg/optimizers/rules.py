"""The penalties given to an optimizer, and the variables they act on."""

from typing import Any

from keras_reg import structure
from keras_reg.regularizers.penalty import Penalty


class Rules:
    """The penalties as given, checked, and how they are laid out over variables.

    Args:
        penalties: one `Penalty`, or a dict from patterns to penalties.
    Raises: TypeError if it is neither; ValueError if a pattern is no regular expression or a
        penalty has no proximal operator.
    """

    def __init__(self, penalties: Any):
        self.penalties = dict(penalties) if isinstance(penalties, dict) else penalties
        values = self.penalties.values() if isinstance(penalties, dict) else [penalties]
        if not values or not all(isinstance(penalty, Penalty) for penalty in values):
            raise TypeError(
                "Expected `penalties` to be a penalty of keras_reg.regularizers or a non-empty "
                f"dict from patterns to penalties. Received: penalties={penalties!r}"
            )
        for penalty in values:
            penalty.check_proximable()
        if isinstance(penalties, dict):
            for pattern in penalties:
                structure.check_pattern(pattern)

    def resolve(self, variables: list[Any]) -> list[tuple[Penalty, Any]]:
        """The pairs of a penalty and a variable, checked against each other.

        Raises: ValueError if a pattern matches nothing, two match one variable, a penalty does not
            fit a variable's shape, or a variable has a penalty in its layer too.
        """
        if isinstance(self.penalties, dict):
            found = structure.match(self.penalties, variables)
            pairs = [(self.penalties[key], v) for key, named in found.items() for v in named]
        else:
            pairs = [(self.penalties, v) for v in variables if structure.is_kernel(v)]
        if not pairs:
            paths = [structure.path_of(variable) for variable in variables]
            raise ValueError(
                "Expected the model to have a trainable kernel or embedding matrix for the penalty "
                f"to act on. Received variables: {paths}"
            )
        for penalty, variable in pairs:
            path = structure.path_of(variable)
            penalty.check_shape(tuple(variable.shape), path)
            if isinstance(getattr(variable, "regularizer", None), Penalty):
                raise ValueError(
                    f"Expected one penalty on {path}, in the loss or in Proximal. Received two: "
                    f"its layer's {variable.regularizer!r} and the optimizer's {penalty!r}"
                )
        return pairs
