"""TopK: magnitude pruning."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.budgets import Budget, within_budget
from keras_reg.ops.grouping import Grouping, Within
from keras_reg.ops.norms import TINY, GroupAxis, check_group_axis
from keras_reg.ops.ranks import lamp_scores, largest, largest_of_all, ranks, share_of
from keras_reg.regularizers.group_weights import check_no_groups
from keras_reg.regularizers.penalty import Penalty, widen
from keras_reg.regularizers.projection import Projection
from keras_reg.structure import Layout

# As late as a schedule is asked.
_LATEST = 2**30


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

    With `scope="all"` all variables of one rule in `Proximal` are ranked together: all kernels for
    a penalty alone, what the pattern names in a dict. Layers that need their weights then keep more
    of them, which is worth most at high sparsities. Outside of `Proximal` there is one variable.

    A step may differ from weight to weight, as in `Proximal(metric="adaptive")`. What stays is then
    nearest in that metric: the weights with the largest |w| / sqrt(step).

    Args:
        sparsity: float from 0 to 1, or a schedule (only inside `Proximal`). Fraction of zeros.
        group_axis: "outputs", "inputs", int, tuple of ints or None. Axes that index the groups;
            None: every weight is its own group.
        scope: "variable" or "all". What is ranked together.
        score: "magnitude", "fan_in" or "lamp". What is ranked. "magnitude": |w|, or ||w_g||.
            "fan_in": the root mean square of the group times the root of the fan-in, which is the
            size relative to that at which layers start; an embedding has a fan-in of 1. "lamp": the
            square over the sum of the squares of the variable that are not smaller, which never
            empties a layer before the others; it takes a sort of each variable.
        at_least: float from 0 to 1. With `scope="all"`, the fraction of its weights, or groups,
            rounded up, that every variable keeps. Where a schedule goes beyond, this floor holds.
        of: "groups", "parameters" or "macs". What `sparsity` is a fraction of. On channels, with
            `scope="all"`: as many are removed, those with the lowest score first, that the model
            without them has no more than 1 - sparsity of its parameters or multiply-adds.
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if an argument is out of range, if `at_least` leaves too few weights to
        remove, or if it is put in a layer.
    Warns: with `scope="all"`, at the end of `fit`, of each variable that lost all its weights.
    Reference: Zhu & Gupta, "To prune, or not to prune", 2017; Blumensath & Davies, Appl. Comput.
        Harmon. Anal. 2009, for the projection; Lee et al., "Layer-adaptive Sparsity for the
        Magnitude-based Pruning", ICLR 2021, for "lamp".

    Example:
        >>> w = TopK(0.5).prox(keras.ops.array([0.1, -3.0, 2.0, 0.5]), step=1.0)
        >>> keras.ops.convert_to_numpy(w).tolist()
        [0.0, -3.0, 2.0, 0.0]
    """

    def __init__(
        self,
        sparsity: schedules.Value = 0.5,
        group_axis: GroupAxis = None,
        scope: str = "variable",
        score: str = "magnitude",
        at_least: float = 0.0,
        of: str = "groups",
    ):
        super().__init__()
        self.sparsity = schedules.check_value(sparsity, "sparsity", at_least=0, at_most=1)
        self.group_axis = check_group_axis(group_axis)
        self.scope = _check_choice(scope, "scope", ("variable", "all"))
        self.score = _check_choice(score, "score", ("magnitude", "fan_in", "lamp"))
        self.at_least = schedules.check_number(at_least, "at_least", at_least=0, at_most=1)
        self.of = _check_choice(of, "of", ("groups", "parameters", "macs"))
        self._fan_in: int | None = None
        self._check_floor()

    def _check_floor(self) -> None:
        if self.of != "groups" and self.scope != "all":
            raise ValueError(
                f'Expected `of="groups"` without `scope="all"`. Received: of={self.of!r}, '
                f"scope={self.scope!r}"
            )
        if self.at_least and self.scope != "all":
            raise ValueError(
                'Expected `at_least` to be 0 without `scope="all"`. '
                f"Received: at_least={self.at_least!r}, scope={self.scope!r}"
            )
        # Here and not when it is used, which may be while a step is traced.
        is_asked = self.at_least or self.of != "groups"
        self._last = float(schedules.evaluate(self.sparsity, _LATEST)) if is_asked else 0.0
        if self.of == "groups" and self.at_least > 1.0 - self._last + 1e-6:
            raise ValueError(
                "Expected `at_least` to be at most 1 - sparsity. "
                f"Received: at_least={self.at_least!r}, sparsity={schedules.shown(self.sparsity)}"
            )

    @property
    def spans_variables(self) -> bool:  # type: ignore[override]
        return self.scope == "all"

    @property
    def needs_layout(self) -> bool:
        return super().needs_layout or (self.score == "fan_in" and self._fan_in is None)

    def placed(self, layout: Layout, path: str = "") -> Penalty:
        by_axes = super().placed(layout, path) if isinstance(self.group_axis, str) else self
        if self.score != "fan_in" or self._fan_in is not None:
            return by_axes
        # A row of an embedding is looked up, not summed over.
        fan_in = 1 if path.rpartition("/")[2] == "embeddings" else layout.fan_in
        key = ("fan_in", by_axes.group_axis, fan_in)
        if key not in self._placed:
            self._placed[key] = copy.copy(by_axes)
            self._placed[key]._fan_in = fan_in
        return self._placed[key]

    def together(self, placed: Sequence["TopK"], shapes: Sequence[tuple[int, ...]]) -> Grouping:
        """The groups of several variables, from this penalty placed on each.

        Args:
            placed: what `placed` gave for each.
            shapes: their shapes.
        """
        fan_ins = None if self.score != "fan_in" else [one._fan_in or 1 for one in placed]
        return Within(shapes, [one.group_axis for one in placed], fan_ins)

    def check_grouping(self, grouping: Grouping) -> None:
        if not isinstance(grouping, Within):
            check_no_groups(self)
        if self.score == "fan_in" and grouping.fan_ins is None:
            raise ValueError(
                'Expected a `score` of "magnitude" or "lamp" on channels, which span variables of '
                f"several fan-ins. Received: {self}"
            )
        if self.of != "groups":
            self._check_budget(grouping)
            return
        count, floor = sum(grouping.counts), sum(self._floors(grouping))
        if not callable(self.sparsity) and floor > count - self._zeros(count, None):
            raise ValueError(
                f"Expected `at_least`, rounded up to {floor} weights or groups of all variables, "
                f"to be no more than stay of {count}. Received: {self}"
            )

    def get_config(self) -> dict:
        return {
            "sparsity": schedules.serialize(self.sparsity),
            "group_axis": self.group_axis,
            "scope": self.scope,
            "score": self.score,
            "at_least": self.at_least,
            "of": self.of,
        }

    def _kept(self, w: Any, iteration: Any) -> Any:
        shapes = [tuple(w.shape)]
        return self._marks([w], self.together([self], shapes), iteration)[0]

    def _prox_of_groups(
        self, ws: list[Any], grouping: Grouping, step: Any, iteration: Any
    ) -> list[Any]:
        steps = step if isinstance(step, list) else [step] * len(ws)
        seen = [_in_metric(*one) for one in zip(ws, steps, strict=True)]
        marks = grouping.spread(self._marks(seen, grouping, iteration), ops.logical_and)
        return [self._only(w, w, *one) for w, *one in zip(ws, marks, steps, strict=True)]

    def _project(self, w: Any, step: Any, iteration: Any) -> Any:
        wide = widen(w)
        return self._only(w, wide, self._kept(_in_metric(wide, step), iteration), step)

    def _marks(self, ws: list[Any], grouping: Grouping, iteration: Any) -> list[Any]:
        """Which groups stay: a bool tensor for each set."""
        scores = self._scores(grouping.norms(ws), grouping)
        if self.scope == "variable":
            pairs = zip(scores, grouping.counts, strict=True)
            return [largest(one, count - self._zeros(count, iteration)) for one, count in pairs]
        floors = self._floors(grouping)
        if self.at_least:
            scores = [_above_others(*one) for one in zip(scores, floors, strict=True)]
        if self.of != "groups":
            return self._within_budget(scores, grouping, sum(floors), iteration)
        count = sum(grouping.counts)
        kept = count - self._zeros(count, iteration)
        return largest_of_all(scores, ops.maximum(kept, sum(floors)) if self.at_least else kept)

    def _within_budget(
        self, scores: list[Any], grouping: Grouping, least: int, iteration: Any
    ) -> list[Any]:
        share, budget = 1.0 - self._fraction(iteration), self._budget(grouping)
        places = ranks(scores)
        kept = within_budget(places, budget, share, least)
        return [ops.less(one, kept) for one in places]

    def _budget(self, grouping: Grouping) -> Budget:
        if self.of not in grouping.budgets:
            raise ValueError(
                f"Expected channels for `of={self.of!r}`, as in `Proximal(..., "
                "{keras_reg.channels(model): ...})`"
                + (", whose multiply-adds are all known" if self.of == "macs" else "")
                + f". Received: {self}"
            )
        return grouping.budgets[self.of]

    def _check_budget(self, grouping: Grouping) -> None:
        least = self._budget(grouping).share(self._floors(grouping), grouping.counts)
        if least > 1.0 - self._last + 1e-6:
            raise ValueError(
                f"Expected a sparsity of at most {math.floor(1e4 * (1 - least)) / 1e4:g}: "
                f"{least:.2%} of the {self.of} are left with no more channels than `at_least` "
                f"keeps. Received: {self}"
            )

    def _scores(self, norms: list[Any], grouping: Grouping) -> list[Any]:
        if self.score == "lamp":
            return [lamp_scores(one) for one in norms]
        if self.score == "magnitude" or grouping.fan_ins is None:
            return norms
        each = zip(norms, grouping.sizes, grouping.fan_ins, strict=True)
        return [one * math.sqrt(fan_in / max(1, size)) for one, size, fan_in in each]

    def _floors(self, grouping: Grouping) -> list[int]:
        """How many groups of each set stay in any case."""
        return [share_of(self.at_least, count) for count in grouping.counts]

    def _zeros(self, count: int, iteration: Any) -> Any:
        """How many of `count` are zero."""
        if not callable(self.sparsity):
            return round(self.sparsity * count)
        return ops.cast(ops.round(self._fraction(iteration) * count), "int32")

    def _fraction(self, iteration: Any) -> Any:
        if callable(self.sparsity) and iteration is None:
            raise ValueError(
                "Expected a float `sparsity` outside of Proximal, which alone knows the iteration "
                f"that a schedule needs. Received: sparsity={self.sparsity!r}"
            )
        return ops.clip(schedules.evaluate(self.sparsity, iteration), 0.0, 1.0)


def _in_metric(w: Any, step: Any) -> Any:
    """What weights measure in the metric in which their steps are one."""
    if not getattr(step, "shape", ()):
        return w
    return w / ops.sqrt(ops.maximum(step, TINY))


def _above_others(scores: Any, count: int) -> Any:
    """The scores, the largest few of them raised to infinity."""
    return ops.where(largest(scores, count), math.inf, scores)


def _check_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"Expected `{name}` to be one of {choices}. Received: {name}={value!r}")
    return value
