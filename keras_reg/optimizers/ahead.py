"""What proximal steps would make zero, without the gradients between them."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_reg.ops.backend import compiled
from keras_reg.ops.grouping import Grouping, Within
from keras_reg.regularizers.penalty import widen_all
from keras_reg.regularizers.radial import RadialPenalty
from keras_reg.regularizers.trimmed import Trimmed


def is_alone(grouping: Grouping) -> bool:
    """Whether groups are those of one variable, of which the penalty itself knows.

    Example:
        >>> is_alone(Within([(3, 2)], [-1]))
        True
    """
    return isinstance(grouping, Within) and len(grouping.counts) == 1


def shrunk(ws: list[Any], step: Any, iteration: Any, penalty: Any, grouping: Any) -> list[Any]:
    """Weights after a proximal step.

    Args:
        ws: tensors.
        step: scalar.
        iteration: integer scalar. What a schedule is evaluated at.
        penalty: `Penalty`.
        grouping: `Grouping` of the weights, or None.
    """
    ws = [ops.stop_gradient(w) for w in ws]
    if grouping is None or is_alone(grouping):
        return [penalty.prox(w, step, iteration) for w in ws]
    return penalty.prox_of_groups(ws, grouping, step, iteration)


def scalars(numbers: Sequence[float]) -> list[Any]:
    """Numbers as float32 tensors, of which another value is no other program.

    Example:
        >>> float(scalars([0.5])[0])
        0.5
    """
    return [ops.convert_to_tensor(number, "float32") for number in numbers]


def _all_shrunk(
    values: list[list[Any]], steps: list[Any], iteration: Any, penalties: Any, groupings: Any
) -> list[list[Any]]:
    each = zip(values, steps, penalties, groupings, strict=True)
    return [shrunk(ws, step, iteration, *how) for ws, step, *how in each]


def _count_groups(values: list[list[Any]], groupings: tuple[Grouping, ...]) -> Any:
    pairs = zip(values, groupings, strict=True)
    return _numbers([zero for ws, grouping in pairs for zero in grouping.zeros(ws)])


def _groups_after(*arguments: Any) -> Any:
    return _count_groups(_all_shrunk(*arguments), arguments[-1])


def _weights_after(*arguments: Any) -> Any:
    return _numbers([ops.equal(w, 0) for ws in _all_shrunk(*arguments) for w in ws])


def _groups_ahead(
    values: list[list[Any]],
    steps: list[Any],
    times: list[Any],
    iteration: Any,
    penalties: Any,
    groupings: Any,
) -> Any:
    each = zip(values, steps, times, penalties, groupings, strict=True)
    return _numbers([zero for one in each for zero in _zeros_ahead(*one, iteration)])


def _zeros_ahead(
    ws: list[Any], step: Any, times: Any, penalty: Any, grouping: Any, iteration: Any
) -> list[Any]:
    ws = widen_all([ops.stop_gradient(w) for w in ws])
    if isinstance(penalty, (RadialPenalty, Trimmed)):
        return penalty.zeros_ahead(ws, grouping, step, times, iteration)
    return grouping.zeros(shrunk(ws, step * times, iteration, penalty, grouping))


def _numbers(flags: list[Any]) -> Any:
    return ops.stack([ops.sum(ops.cast(one, "int32")) for one in flags])


def _compiled_where_it_can_be(count: Callable, penalties: int) -> Callable:
    """A function compiled if its penalties, at a position before groupings, allow it."""
    fast = compiled(count, static_argnums=(penalties, penalties + 1))

    def counted(*arguments: Any) -> Any:
        is_compilable = all(penalty.compilable for penalty in arguments[penalties])
        return (fast if is_compilable else count)(*arguments)

    return counted


# How many groups of each set are zero.
count_groups = compiled(_count_groups, static_argnums=(1,))
# The same after a proximal step of a length for each entry; and how many weights of each variable.
groups_after = _compiled_where_it_can_be(_groups_after, penalties=3)
weights_after = _compiled_where_it_can_be(_weights_after, penalties=3)
# The same after several steps of a length.
groups_ahead = _compiled_where_it_can_be(_groups_ahead, penalties=4)
