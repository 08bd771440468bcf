"""Meter: measures one model, once or again and again."""

import dataclasses
import re
from typing import Any

import numpy as np
from keras import ops

from keras_reg import structure
from keras_reg.ops.backend import read
from keras_reg.report import penalties
from keras_reg.report.layers import layer_rows
from keras_reg.report.measure import Counts, State, numbers, unpacked
from keras_reg.report.plan import Kernel, Plan, Spec, plan_of
from keras_reg.report.rows import PATTERNS, WeightSparsity, fraction
from keras_reg.report.table import SparsityTable
from keras_reg.structure.graph import product
from keras_reg.structure.registry import uses_of

# What counts as near zero for the hint: where L1 in the loss leaves weights it cannot make zero.
_HINT_TOLERANCE, _HINT_SHARE = 1e-2, 0.25
_HINT = (
    "L1 in the loss leaves {share:.0%} of its weights near zero and makes none exactly zero. "
    "keras_reg.optimizers.Proximal(optimizer, L1(strength)) makes exact zeros."
)


class Meter:
    """Measures a model. What can be known beforehand is worked out once.

    Args:
        model: a built `keras.Model` or `keras.layers.Layer`. If its layers change, by quantization
            or LoRA, make another meter.
        tolerance: float in [0, 1].
        over_time: bool. Whether each measure is compared with the one before.
    Raises: ValueError as `sparsity` says.
    """

    def __init__(self, model: Any, tolerance: float = 0.0, over_time: bool = False):
        self.tolerance = check_tolerance(tolerance)
        self.plan = plan_of(model)
        self._model = model
        self._terms = penalties.terms_of(model)
        hinted = [
            t.variable for t in self._terms if t.clock is None and penalties.lacks_zeros(t.penalty)
        ]
        self._hinted = [any(v is one for one in hinted) for _, v in self.plan.kernels]
        self._spec = _spec(self.plan, [tolerance > 0 or one for one in self._hinted], over_time)
        self._uses = _uses(self.plan)
        self._state: State | None = None
        self._measures = 0

    def measure(self, gradients: Any = None) -> SparsityTable:
        """Reads the weights as they are now."""
        tolerances = [self.tolerance or _HINT_TOLERANCE] * len(self.plan.kernels)
        arrays = [read(variable) for variable in self.plan.variables]
        had_state = self._state is not None
        vector, self._state = numbers(self._spec, arrays, tolerances, self._state, self._measures)
        self._measures += 1
        if self._terms:
            vector = ops.concatenate([vector, penalties.values(self._terms)])
        # The one transfer.
        host = ops.convert_to_numpy(vector)
        end = len(host) - len(self._terms)
        counts, units, heads = unpacked(self._spec, host[:end])
        values = host[end:].tolist()
        rows = tuple(self._row(at, one, values, had_state) for at, one in enumerate(counts))
        if gradients is not None:
            rows = self._with_stationarity(rows, gradients)
        return SparsityTable(
            rows,
            layer_rows(self.plan, rows, self._uses, units, heads, self._charges(values)),
            self.tolerance,
            sum(values) if self._terms else None,
            self._hint(counts),
        )

    def first_zero(self) -> dict[str, dict[str, np.ndarray]]:
        """For each row the measure, from 0, in which each group was first all zero; -1: in none.

        Only of a meter over time.
        """
        if self._state is None:
            return {}
        sides = (self._state.first_inputs, self._state.first_outputs)
        inputs, outputs = ([ops.convert_to_numpy(one) for one in side] for side in sides)
        return {
            name: {"inputs": inputs[at], "outputs": outputs[at]}
            for at, name in enumerate(self.plan.names)
        }

    def _row(self, at: int, counts: Counts, values: list[float], had_state: bool) -> WeightSparsity:
        layout = self._spec.kernels[at].layout
        size = product(layout.shape) or 0
        used = self._uses.get(id(self.plan.kernels[at][0]))
        full = zip(PATTERNS, counts.full, strict=True)
        charges = self._charges(values)
        return WeightSparsity(
            self.plan.names[at],
            layout.shape,
            size - counts.alive,
            layout.input_groups - counts.inputs,
            layout.output_groups - counts.outputs,
            inputs=layout.input_groups,
            outputs=layout.output_groups,
            near_zeros=counts.near if self.tolerance else 0,
            left=counts.left,
            macs=product((size, used)),
            macs_left=product((counts.left, used)),
            compliance={
                f"{n}:{m}": fraction(size // m - f, size // m)
                for (n, m), f in full
                if f is not None
            },
            penalty=charges.get(id(self.plan.kernels[at][1])),
            churn=counts.changed / size if had_state and self._spec.over_time else None,
        )

    def _charges(self, values: list[float]) -> dict[int, float]:
        """The value of the penalties on each variable."""
        charges: dict[int, float] = {}
        for term, value in zip(self._terms, values, strict=True):
            charges[id(term.variable)] = charges.get(id(term.variable), 0.0) + value
        return charges

    def _with_stationarity(self, rows: tuple, gradients: Any) -> tuple[WeightSparsity, ...]:
        given = _by_variable(self._model, gradients)
        found = {}
        for term in self._terms:
            if id(term.variable) in given:
                result = penalties.distance(term, given[id(term.variable)])
                found[id(term.variable)] = result or (None, None)
        return tuple(
            dataclasses.replace(row, stationarity=distance, accidental=accidental)
            for row, (_, variable) in zip(rows, self.plan.kernels, strict=True)
            for distance, accidental in [found.get(id(variable), (None, None))]
        )

    def _hint(self, counts: list[Counts]) -> str | None:
        chosen = [at for at, is_hinted in enumerate(self._hinted) if is_hinted]
        sizes = sum(product(self._spec.kernels[at].layout.shape) or 0 for at in chosen)
        near = sum(counts[at].near for at in chosen)
        zeros = sizes - sum(counts[at].alive for at in chosen)
        is_due = bool(chosen) and zeros == 0 and near >= _HINT_SHARE * sizes
        return _HINT.format(share=near / sizes) if is_due else None


def check_tolerance(tolerance: float) -> float:
    """Returns a valid tolerance. Raises: ValueError if it is not in [0, 1].

    Example:
        >>> check_tolerance(0.5)
        0.5
    """
    is_number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if not is_number or not 0.0 <= tolerance <= 1.0:
        raise ValueError(f"Expected a `tolerance` in [0, 1]. Received: tolerance={tolerance!r}")
    return tolerance


def _spec(plan: Plan, near: list[bool], over_time: bool) -> Spec:
    kernels = tuple(Kernel(*pair) for pair in zip(plan.layouts(), near, strict=True))
    return Spec(kernels, tuple(plan.units.values()), tuple(plan.heads.values()), over_time)


def _uses(plan: Plan) -> dict[int, int | None]:
    """How often one example uses each weight of each owner; a missing one is not known."""
    total: dict[int, int | None] = {}
    for block in plan.blocks:
        for shapes in plan.calls.shapes.get(id(block.layer), []):
            for layer, value in uses_of(block.layer, shapes).items():
                before = total.get(id(layer), 0)
                total[id(layer)] = None if before is None or value is None else before + value
    return total


def _by_variable(model: Any, gradients: Any) -> dict[int, Any]:
    variables = list(model.trainable_weights)
    if isinstance(gradients, dict):
        found = structure.match([re.escape(path) for path in gradients], variables)
        pairs = [(found[re.escape(path)], gradient) for path, gradient in gradients.items()]
        return {id(variable): value for named, value in pairs for variable in named}
    if len(gradients) != len(variables):
        raise ValueError(
            f"Expected a gradient for each of {len(variables)} trainable weights. "
            f"Received: {len(gradients)}"
        )
    return {id(v): g for v, g in zip(variables, gradients, strict=True) if g is not None}
