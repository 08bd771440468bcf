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
        variables: tuple of variables.
        penalty: a `Penalty`, or a regularizer of Keras.
        clock: a variable that counts the updates, which a schedule follows; None in the loss.
        scale: a variable that all strengths of a `Proximal` are multiplied with, or None.
        grouping: which weights of several variables form each group, or None.
    """

    variables: tuple[Any, ...]
    penalty: Any
    clock: Any = None
    scale: Any = None
    grouping: Any = None

    @property
    def key(self) -> int:
        """The `id` of what it is the penalty of."""
        return id(self.variables[0] if self.grouping is None else self.grouping)


def terms_of(model: Any) -> list[Term]:
    """The penalties on a model's trainable weights; a frozen weight has none, as in Keras.

    A `Projection` is a condition and has no value.

    Example:
        >>> layer = keras.layers.Dense(2, kernel_regularizer="l2")
        >>> layer.build((None, 3))
        >>> [term.variables[0].name for term in terms_of(layer)]
        ['kernel']
    """
    trainable = model.trainable_weights
    terms = [Term((v,), _in_loss(v)) for v in trainable if getattr(v, "regularizer", None)]
    for proximal in Proximal.all_of(model):
        try:
            entries = proximal.entries(trainable)
        except ValueError:
            entries = []  # The optimizer says what does not fit when it is built.
        clock, scale = proximal.iterations, proximal.strength_scale
        terms += [Term(tuple(on), one, clock, scale, grouping) for one, on, grouping in entries]
    return [term for term in terms if not isinstance(term.penalty, Projection)]


def _in_loss(variable: Any) -> Any:
    """A variable's regularizer as the loss uses it."""
    penalty = variable.regularizer
    if not isinstance(penalty, Penalty):
        return penalty
    return penalty.placed_by_path(tuple(variable.shape), path_of(variable))


def penalty_values(terms: list[Term], is_compiled: bool = False) -> dict[int, float]:
    """The value of the penalties on each variable, or group of them, by the `key` of the term.

    Args:
        terms: the penalties.
        is_compiled: bool. Whether to compile, which is worth it for what is read again and again.
    """
    in_numpy = [term for term in terms if not is_compiled and _is_in_numpy(term.penalty)]
    others = [term for term in terms if is_compiled or not _is_in_numpy(term.penalty)]
    values_of = [*_in_numpy(in_numpy), *_by_tensors(others, is_compiled)]
    found: dict[int, float] = {}
    for term, value in zip([*in_numpy, *others], values_of, strict=True):
        found[term.key] = found.get(term.key, 0.0) + value
    return found


@arrays.in_numpy()
def _in_numpy(terms: list[Term]) -> list[float]:
    strengths: dict[tuple[int, ...], float] = {}  # A schedule may be that of many weights.
    found = []
    for term in terms:
        ws = [values(variable) for variable in term.variables]
        if not isinstance(term.penalty, Penalty):
            found.append(_of_keras(term.penalty, *ws))
            continue
        key = (id(term.penalty.strength), id(term.clock), id(term.scale))
        if key not in strengths:
            strengths[key] = _strength_now(term)
        found.append(strengths[key] * float(_omega(term.penalty, term.grouping, ws)))
    return found


def _by_tensors(terms: list[Term], is_compiled: bool) -> list[float]:
    if not terms:
        return []
    what = tuple((term.penalty, term.grouping) for term in terms)
    can_compile = all(getattr(term.penalty, "compilable", True) for term in terms)
    is_worth_it = is_compiled or compiles_each_operation()
    evaluate = _compiled(what) if can_compile and is_worth_it else functools.partial(_values, what)
    weights = [[read(variable) for variable in term.variables] for term in terms]
    clocks = [0 if term.clock is None else read(term.clock) for term in terms]
    scales = [1.0 if term.scale is None else read(term.scale) for term in terms]
    return ops.convert_to_numpy(evaluate(weights, clocks, scales)).tolist()


@functools.lru_cache(maxsize=64)
def _compiled(what: tuple) -> Callable:
    return compiled(functools.partial(_values, what))


def _values(what: tuple, weights: list[list], clocks: list[Any], scales: list[Any]) -> Any:
    each = zip(what, weights, clocks, strict=True)
    found = [_value(penalty, grouping, ws, clock) for (penalty, grouping), ws, clock in each]
    return ops.stack(found) * ops.cast(ops.stack(scales), "float32")


def _value(penalty: Any, grouping: Any, ws: list[Any], updates: Any) -> Any:
    ws = [ops.stop_gradient(w) for w in ws]
    if not isinstance(penalty, Penalty):
        return ops.cast(penalty(*ws), "float32")
    strength = ops.cast(schedules.evaluate(penalty.strength, updates, at_least=0.0), "float32")
    return strength * _omega(penalty, grouping, [ops.cast(w, "float32") for w in ws])


def _omega(penalty: Penalty, grouping: Any, ws: list[Any]) -> Any:
    return penalty._omega(*ws) if grouping is None else penalty._omega_of_groups(ws, grouping)


def _is_in_numpy(penalty: Any) -> bool:
    return penalty.is_in_numpy if isinstance(penalty, Penalty) else type(penalty) in _KERAS_OWN


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
    """The `key`s of the variables with an L1 in the loss, which users expect to make zeros.

    Example:
        >>> variable = keras.Variable([[1.0]])
        >>> one, other = keras.regularizers.L1(0.1), keras.regularizers.L2(0.1)
        >>> [len(lacking_zeros([Term((variable,), penalty)])) for penalty in (one, other)]
        [1, 0]
    """
    return {term.key for term in terms if term.clock is None and _is_l1(term.penalty)}


def _is_l1(penalty: Any) -> bool:
    is_mixed = isinstance(penalty, keras.regularizers.L1L2) and float(penalty.l1) > 0.0
    return is_mixed or isinstance(penalty, (L1, keras.regularizers.L1))


def distance(term: Term, gradient: Any) -> tuple[float, int | None] | None:
    """The largest distance of a group from optimality, and how many zero groups are not at rest.

    None if the penalty does not define it.
    """
    if not isinstance(term.penalty, Penalty):
        return None
    penalty, weights = _at_its_strength_now(term), ops.stop_gradient(read(term.variables[0]))
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
    return penalty.with_strength(_strength_now(term))


def _strength_now(term: Term) -> float:
    scale = 1.0 if term.scale is None else float(read(term.scale))
    clock = 0 if term.clock is None else read(term.clock)
    return scale * float(schedules.evaluate(term.penalty.strength, clock, at_least=0.0))
