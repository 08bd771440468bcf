"""How many weights are zero, how many a penalty can make zero, and a warning when all are."""

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_reg import structure
from keras_reg.ops.backend import compiled, read
from keras_reg.ops.grouping import Grouping
from keras_reg.regularizers.penalty import Penalty
from keras_reg.regularizers.projection import Projection

# As strong as a penalty may get, and as late as a schedule may be asked.
_STRONGEST, _LATEST = 1e7, 2**30
# So many variables are named in a warning.
_NAMED = 4


def count_zeros(variables: Iterable[Any]) -> np.ndarray:
    """The number of exact zeros of each variable, in one compiled pass.

    Args:
        variables: variables or tensors.

    Example:
        >>> count_zeros([ops.array([1.0, 0.0]), ops.array([1.0])]).tolist()
        [1, 0]
    """
    values = [read(variable) for variable in variables]
    return ops.convert_to_numpy(_count(values)) if values else np.zeros(0, "int32")


def _count_each(ws: list[Any]) -> Any:
    return ops.stack([ops.sum(ops.cast(ops.equal(w, 0), "int32")) for w in ws])


_count = compiled(_count_each)


def size(variable: Any) -> int:
    """The number of weights of a variable.

    Example:
        >>> size(ops.array([[1.0, 2.0]]))
        2
    """
    return math.prod(variable.shape)


def most_zeros(penalty: Penalty, variable: Any) -> int:
    """How many weights of a variable the penalty makes zero, however strong it gets.

    It is tried on random weights: L2 makes none, nor does a strength of 0, `ExclusiveLasso` all but
    one of a group, and a group with a weight of 0 is left alone.

    Example:
        >>> from keras_reg import regularizers
        >>> kernel = ops.array([[1.0, 2.0]])
        >>> [most_zeros(cls(0.1), kernel) for cls in (regularizers.L1, regularizers.L2)]
        [2, 0]
    """
    return int(count_zeros(at_its_strongest(penalty, [variable]))[0])


def at_its_strongest(
    penalty: Penalty, variables: Sequence[Any], grouping: Grouping | None = None
) -> list[Any]:
    """Random weights in place of some variables', as the penalty makes them, however strong it is.

    Args:
        penalty: `Penalty`.
        variables: those on which it acts: one, or with a grouping several.
        grouping: `Grouping` of a penalty that acts on them together.

    Example:
        >>> from keras_reg import regularizers
        >>> (w,) = at_its_strongest(regularizers.L1(0.1), [ops.array([1.0, 2.0])])
        >>> ops.convert_to_numpy(w).tolist()
        [0.0, 0.0]
    """
    random = np.random.default_rng(0)
    ws = [random.standard_normal(tuple(v.shape)).astype("float32") for v in variables]
    ws = [ops.convert_to_tensor(w) for w in ws]
    iteration = ops.convert_to_tensor(_LATEST, "int32")
    if grouping is None:
        return [penalty.prox(w, _STRONGEST, iteration) for w in ws]
    return penalty.prox_of_groups(ws, grouping, _STRONGEST, iteration)


def has_strength(penalty: Penalty) -> bool:
    """Whether a factor changes what a penalty does: it does not for `TopK` and `NM`.

    Example:
        >>> from keras_reg import regularizers
        >>> has_strength(regularizers.L1(0.1)), has_strength(regularizers.TopK(0.5))
        (True, False)
    """
    return not isinstance(penalty, Projection)


class AllZeroWarning:
    """Warns once of each penalized variable whose weights are all zero."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def __call__(self, pairs: Iterable[tuple[Penalty, Any]], optimizer: Any) -> None:
        """Looks at the variables, and warns of those that it has not warned of.

        Args:
            pairs: penalties and the variables they act on.
            optimizer: the optimizer inside `Proximal`.
        """
        pairs = [pair for pair in pairs if id(pair[1]) not in self._told and size(pair[1])]
        zeros = count_zeros([variable for _, variable in pairs])
        dead = [pair for pair, n in zip(pairs, zeros, strict=True) if n == size(pair[1])]
        if not dead:
            return
        self._told.update(id(variable) for _, variable in dead)
        step = int(ops.convert_to_numpy(optimizer.iterations))
        named = [f"{structure.path_of(v)} ({penalty})" for penalty, v in dead[:_NAMED]]
        more = f" and {len(dead) - _NAMED} others" if len(dead) > _NAMED else ""
        warnings.warn(
            f"Every weight of {', '.join(named)}{more} is zero at step {step}: "
            + _advice(dead[0][0], optimizer),
            stacklevel=3,
        )


def _advice(penalty: Penalty, optimizer: Any) -> str:
    if getattr(penalty, "scope", None) == "all":
        return "others rank before them. Raise `at_least`, which every variable keeps."
    if not has_strength(penalty):
        return "the sparsity leaves none. Lower it."
    return (
        f"the penalty is far too strong for {type(optimizer).__name__}. Lower the strength, let "
        "keras_reg.callbacks.TargetSparsity find one, or wrap the penalty in "
        "keras_reg.regularizers.Trimmed, which keeps the largest groups of every variable."
    )
