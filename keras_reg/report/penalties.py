"""The penalties of a model's weights: their values, and how far a weight is from its optimum."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_reg import schedules
from keras_reg.ops import arrays
from keras_reg.ops.backend import compiled, compiles_each_operation, read
from keras_reg.ops.norms import group_norms
from keras_reg.optimizers.proximal import Proximal
from keras_reg.regularizers import L1
from keras_reg.regularizers.penalty import Penalty
from keras_reg.regularizers.projection import Projection
from keras_reg.report.counting import values
from keras_reg.structure import path_of


class Term(NamedTuple):
    """A penalty on a variable, in the loss or in `Proximal`, or on several variables together.

    Args:
        variable: the variable, or a tuple of them.
        penalty: a `Penalty`, or a regularizer of Keras.
        clock: a variable that counts the updates, which a schedule follows; None in the loss.
        scale: a variable that all strengths of a `Proximal` are multiplied with, or None.
        grouping: which weights of several variables form each group, or None.
    """

    variable: Any
    penalty: Any
    clock: Any
    scale: Any = None
    grouping: Any = None


def terms_of(model: Any) -> list[Term]:
    """The penalties on a model's trainable weights; a frozen weight has none, as in Keras.

    A `Projection` is a condition and has no value.

    Example:
        >>> layer = keras.layers.Dense(2, kernel_regularizer="l2")
        >>> layer.build((None, 3))
        >>> [term.variable.name for term in terms_of(layer)]
        ['kernel']
    """
    trainable = model.trainable_weights
    terms = [Term(v, _in_loss(v), None) for v in trainable if getattr(v, "regularizer", None)]
    for proximal in Proximal.all_of(model):
        try:
            entries = proximal.entries(trainable)
        except ValueError:
            entries = []  # The optimizer says what does not fit when it is built.
        clock, scale = proximal.iterations, proximal.strength_scale
        for penalty, variables, grouping in entries:
            on = variables[0] if grouping is None else variables
            terms.append(Term(on, penalty, clock, scale, grouping))
    return [term for term in terms if not isinstance(term.penalty, Projection)]


def _in_loss(variable: Any) -> Any:
    """A variable's regularizer as the loss uses it."""
    penalty = variable.regularizer
    if not isinstance(penalty, Penalty):
        return penalty
    return penalty.placed_by_path(tuple(variable.shape), path_of(variable))


def penalty_values(terms: list[Term], is_compiled: bool = False) -> dict[int, float]:
    """The value of the penalties on each variable, or group of them, by its `id`.

    Args:
        terms: the penalties.
        is_compiled: bool. Whether to compile, which is worth it for what is read again and again.
    """
    spanning = [term for term in terms if term.grouping is not None]
    found = {id(term.grouping): _of_groups(term, is_compiled) for term in spanning}
    terms = [term for term in terms if term.grouping is None]
    in_numpy = [not is_compiled and _is_in_numpy(term.penalty) for term in terms]
    at_once, others = (
        [term for term, is_one in zip(terms, in_numpy, strict=True) if is_one is wanted]
        for wanted in (True, False)
    )
    for term, value in [*_in_numpy(at_once), *_by_tensors(others, is_compiled)]:
        found[id(term.variable)] = found.get(id(term.variable), 0.0) + value
    return found


def _of_groups(term: Term, is_compiled: bool) -> float:
    penalty, grouping = term.penalty, term.grouping
    if not is_compiled and penalty.is_in_numpy:
        with arrays.in_numpy():
            value = penalty._omega_of_groups([values(v) for v in term.variable], grouping)
        return _strength_now(term) * float(value)
    is_worth_it = is_compiled or compiles_each_operation()
    omega = _compiled_omega if is_worth_it and penalty.compilable else _omega_of_groups
    value = omega([read(variable) for variable in term.variable], penalty, grouping)
    return _strength_now(term) * float(ops.convert_to_numpy(value))


def _omega_of_groups(ws: list[Any], penalty: Penalty, grouping: Any) -> Any:
    return penalty._omega_of_groups(
        [ops.stop_gradient(ops.cast(w, "float32")) for w in ws], grouping
    )


_compiled_omega = compiled(_omega_of_groups, static_argnums=(1, 2))


def _by_tensors(terms: list[Term], is_compiled: bool) -> list[tuple[Term, float]]:
    if not terms:
        return []
    make = _compiled if is_compiled or compiles_each_operation() else _uncompiled
    evaluate = make(tuple(term.penalty for term in terms))
    clocks = [0 if term.clock is None else read(term.clock) for term in terms]
    scales = [1.0 if term.scale is None else read(term.scale) for term in terms]
    found = evaluate([read(term.variable) for term in terms], clocks, scales)
    return list(zip(terms, ops.convert_to_numpy(found).tolist(), strict=True))


@arrays.in_numpy()
def _in_numpy(terms: list[Term]) -> list[tuple[Term, float]]:
    strengths: dict[tuple[int, ...], float] = {}  # A schedule may be that of many weights.
    found = []
    for term in terms:
        penalty, w = term.penalty, values(term.variable)
        if not isinstance(penalty, Penalty):
            found.append((term, _of_keras(penalty, w)))
            continue
        key = (id(penalty.strength), id(term.clock), id(term.scale))
        if key not in strengths:
            strengths[key] = _strength_now(term)
        found.append((term, strengths[key] * float(penalty._omega(w))))
    return found


def _is_in_numpy(penalty: Any) -> bool:
    if isinstance(penalty, Penalty):
        return penalty.is_in_numpy
    return type(penalty) in _KERAS_OWN


_KERAS_OWN = (
    keras.regularizers.L1,
    keras.regularizers.L1L2,
    keras.regularizers.L2,
    keras.regularizers.OrthogonalRegularizer,
)


def _of_keras(regularizer: Any, w: np.ndarray) -> float:
    if isinstance(regularizer, keras.regularizers.OrthogonalRegularizer):
        if w.ndim != 2:
            return float(regularizer(w))  # It says what is wrong.
        rows = w if regularizer.mode == "rows" else w.T
        return float(regularizer.factor) * _between_directions(rows)
    l1, l2 = (float(getattr(regularizer, name, 0.0)) for name in ("l1", "l2"))
    return l1 * float(np.sum(np.abs(w))) + l2 * float(np.sum(np.square(w)))


def _between_directions(rows: np.ndarray) -> float:
    """The mean absolute cosine of the angles between rows, as Keras defines it, over two."""
    lengths = np.sqrt(np.maximum(np.sum(np.square(rows), axis=1, keepdims=True), 1e-12))
    cosines = np.abs((rows / lengths) @ (rows / lengths).T)
    pairs = len(rows) * (len(rows) - 1) / 2
    return float(np.divide(0.5 * (np.sum(cosines) - np.trace(cosines)), pairs))


def lacking_zeros(terms: list[Term]) -> set[int]:
    """The `id`s of the variables with an L1 in the loss, which users expect to make zeros.

    Example:
        >>> variable = keras.Variable([[1.0]])
        >>> one, other = keras.regularizers.L1(0.1), keras.regularizers.L2(0.1)
        >>> [len(lacking_zeros([Term(variable, penalty, None)])) for penalty in (one, other)]
        [1, 0]
    """
    return {id(term.variable) for term in terms if term.clock is None and _is_l1(term.penalty)}


def _is_l1(penalty: Any) -> bool:
    is_mixed = isinstance(penalty, keras.regularizers.L1L2) and float(penalty.l1) > 0.0
    return is_mixed or isinstance(penalty, (L1, keras.regularizers.L1))


def distance(term: Term, gradient: Any) -> tuple[float, int | None] | None:
    """The largest distance of a group from optimality, and how many zero groups are not at rest.

    None if the penalty does not define it.
    """
    if not isinstance(term.penalty, Penalty):
        return None
    penalty, weights = _at_its_strength_now(term), ops.stop_gradient(read(term.variable))
    try:
        distances = penalty.stationarity(weights, gradient)
    except NotImplementedError:
        return None
    norms = group_norms(ops.cast(weights, distances.dtype), getattr(penalty, "group_axis", None))
    accidental = None
    if tuple(norms.shape) == tuple(distances.shape):
        moving = ops.logical_and(ops.equal(norms, 0), ops.greater(distances, 0))
        accidental = int(ops.sum(ops.cast(moving, "int32")))
    return float(ops.max(distances)), accidental


def _at_its_strength_now(term: Term) -> Penalty:
    """The penalty with the strength that its schedule, and the scale, give it now."""
    schedule = keras.optimizers.schedules.LearningRateSchedule
    penalty, scale = term.penalty, 1.0 if term.scale is None else float(read(term.scale))
    if term.clock is None or (scale == 1.0 and not isinstance(penalty.strength, schedule)):
        return penalty
    return type(penalty).from_config({**penalty.get_config(), "strength": _strength_now(term)})


def _strength_now(term: Term) -> float:
    scale = 1.0 if term.scale is None else float(read(term.scale))
    clock = 0 if term.clock is None else read(term.clock)
    return scale * float(schedules.evaluate(term.penalty.strength, clock, at_least=0.0))


def _one_value(penalty: Any, weights: Any, updates: Any) -> Any:
    weights = ops.stop_gradient(weights)
    if not isinstance(penalty, Penalty):
        return ops.cast(penalty(weights), "float32")
    strength = ops.cast(schedules.evaluate(penalty.strength, updates, at_least=0.0), "float32")
    return strength * penalty._omega(ops.cast(weights, "float32"))


def _values(penalties: tuple, weights: list[Any], clocks: list[Any], scales: list[Any]) -> Any:
    each = zip(penalties, weights, clocks, strict=True)
    return ops.stack([_one_value(*one) for one in each]) * ops.cast(ops.stack(scales), "float32")


def _uncompiled(penalties: tuple) -> Callable:
    return functools.partial(_values, penalties)


@functools.lru_cache(maxsize=64)
def _compiled(penalties: tuple) -> Callable:
    can_compile = all(getattr(penalty, "compilable", True) for penalty in penalties)
    return compiled(_uncompiled(penalties)) if can_compile else _uncompiled(penalties)
