"""The proximal step of one penalty, on the variable or the variables that it acts on."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_reg.ops.backend import compiled, read
from keras_reg.ops.grouping import Grouping
from keras_reg.ops.updates import in_program, update, update_together
from keras_reg.optimizers.metrics import Diagonal
from keras_reg.regularizers.penalty import Penalty, widen
from keras_reg.structure import path_of

# Keras's own optimizers that XLA fuses with the proximal step into one pass over a weight. Not a
# subclass: what a user writes in one, XLA may not know.
ELEMENTWISE = (
    keras.optimizers.Adagrad,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adamax,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
    keras.optimizers.SGD,
)


class Part(NamedTuple):
    """A penalty, the variables it acts on, and the optimizer whose learning rate moves them.

    Args:
        penalty: `Penalty`.
        variables: tuple of variables: one, unless there is a grouping.
        optimizer: the optimizer that updates them.
        diagonals: for each variable a `Diagonal`, the metric of the step; empty: Euclidean.
        grouping: `Grouping` or None. Which weights of the variables form each group.
    """

    penalty: Penalty
    variables: tuple[Any, ...]
    optimizer: Any
    diagonals: tuple[Diagonal, ...] = ()
    grouping: Grouping | None = None

    def zeros(self, are_held: Any) -> list[Any]:
        """Where the variables are zero now; nowhere if `are_held` is false."""
        return [ops.logical_and(are_held, ops.equal(read(v), 0)) for v in self.variables]

    def shrink(
        self,
        given: list[bool],
        step: Any,
        iteration: Any,
        always: bool = True,
        held: list[Any] | None = None,
    ) -> None:
        """Takes a proximal step.

        Args:
            given: for each variable, whether it is to change.
            step: scalar >= 0. The length.
            iteration: integer scalar. What a schedule is evaluated at.
            always: bool. False: no time is spent on a step of length 0.
            held: for each variable, what is zero after such a step; None: nothing changes.
        """
        slots = [diagonal.slots() for diagonal in self.diagonals]
        lengths = tuple(diagonal.lengths for diagonal in self.diagonals)
        if self.grouping is not None:
            act = _prox_of_groups(self.penalty, self.grouping, lengths)
            act = act if always else _when_due(act)
            update_together(self.variables, _only(act, given), step, iteration, held, *slots)
        elif any(given):
            act = _prox_of(self.penalty, lengths[0] if lengths else None)
            act = act if always else _when_due(act)
            mask = held[0] if held else None
            update(self.variables[0], act, step, iteration, mask, *(slots[0] if slots else ()))


def warn_of_regularizers(parts: Iterable[Part]) -> None:
    """Warns of variables whose layer has a regularizer of Keras beside a proximal penalty."""
    twice = [
        f"{path_of(variable)} ({type(regularizer).__name__} and {part.penalty})"
        for part in parts
        for variable in part.variables
        if (regularizer := getattr(variable, "regularizer", None)) is not None
    ]
    if twice:
        warnings.warn(
            "Expected one penalty on a variable, in the loss or in Proximal. These have a "
            "regularizer of Keras in their layer and one of Proximal, and both act: "
            + ", ".join(twice),
            stacklevel=2,
        )


def _only(act: Callable, given: list[bool]) -> Callable:
    def chosen(ws: list[Any], *arguments: Any) -> list[Any]:
        pairs = zip(act(ws, *arguments), given, strict=True)
        return [w if is_given else None for w, is_given in pairs]

    return chosen


def _when_due(prox: Callable) -> Callable:
    """`prox` where the step is greater than 0; otherwise only what is held becomes zero."""

    def act(w: Any, step: Any, iteration: Any, held: Any, *slots: Any) -> Any:
        return ops.cond(
            ops.greater(step, 0),
            lambda: prox(w, step, iteration, held, *slots),
            lambda: _held(w, held),
        )

    return act


def _held(w: Any, held: Any) -> Any:
    if isinstance(w, list):
        return [_held(*one) for one in zip(w, held or [None] * len(w), strict=True)]
    return ops.copy(w) if held is None else ops.where(held, ops.zeros_like(w), w)


def _apply_prox(
    penalty: Penalty, lengths: Any, w: Any, step: Any, iteration: Any, *slots: Any
) -> Any:
    if lengths:
        step = _step_in(lengths, w, step, slots)
    return penalty.prox(ops.stop_gradient(w), step, iteration)


def _step_in(lengths: Callable, w: Any, step: Any, slots: Any) -> Any:
    """The step of every weight, in the metric of the optimizer."""
    wide = widen(w).dtype
    return ops.cast(step, wide) * lengths(*(ops.cast(slot, wide) for slot in slots))


_prox = compiled(_apply_prox, static_argnums=(0, 1))


def _is_compiled_here(penalty: Penalty) -> bool:
    # Within a program, a function of its own is one more for TensorFlow to trace and to inline.
    return penalty.compilable and not in_program()


def _prox_of(penalty: Penalty, lengths: Any) -> Callable:
    apply = _prox if _is_compiled_here(penalty) else _apply_prox
    return lambda w, step, iteration, held, *slots: apply(
        penalty, lengths, w, step, iteration, *slots
    )


def _apply_prox_of_groups(
    penalty: Penalty,
    grouping: Grouping,
    lengths: tuple[Callable, ...],
    ws: list[Any],
    step: Any,
    iteration: Any,
    *slots: Any,
) -> list[Any]:
    if lengths:
        each = zip(lengths, ws, slots, strict=True)
        step = [_step_in(length, w, step, slot) for length, w, slot in each]
    ws = [ops.stop_gradient(w) for w in ws]
    return penalty.prox_of_groups(ws, grouping, step, iteration)


_compiled_prox_of_groups = compiled(_apply_prox_of_groups, static_argnums=(0, 1, 2))


def _prox_of_groups(
    penalty: Penalty, grouping: Grouping, lengths: tuple[Callable, ...]
) -> Callable:
    apply = _compiled_prox_of_groups if _is_compiled_here(penalty) else _apply_prox_of_groups
    return lambda ws, step, iteration, held, *slots: apply(
        penalty, grouping, lengths, ws, step, iteration, *slots
    )
