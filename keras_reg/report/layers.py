"""Totals of layers, from the counts of their weights, units and heads."""

from keras_reg.report.plan import Plan
from keras_reg.report.rows import LayerSparsity, WeightSparsity, total
from keras_reg.structure.graph import Block, product
from keras_reg.structure.registry import rule_of


def layer_rows(
    plan: Plan,
    rows: tuple[WeightSparsity, ...],
    used: dict[int, int | None],
    units: list[int],
    heads: list[int],
    charges: dict[int, float],
) -> tuple[LayerSparsity, ...]:
    """A row for each layer that owns weights.

    Args:
        plan: the layout of the model.
        rows: its weights.
        used: how often an example uses each weight of an owner.
        units: units that live, in the order of `plan.units`.
        heads: zero heads, in the order of `plan.heads`.
        charges: the value of the penalties on each variable.
    """
    by_variable = {id(v): row for (_, v), row in zip(plan.kernels, rows, strict=True)}
    alive = dict(zip(plan.units, units, strict=True))
    zero = dict(zip(plan.heads, heads, strict=True))
    return tuple(
        _layer(plan, block, by_variable, alive, zero, charges)
        for block in plan.blocks
        if block.owners
    )


def _layer(
    plan: Plan, block: Block, by_variable: dict, alive: dict, zero: dict, charges: dict
) -> LayerSparsity:
    variables = [variable for _, own in block.owners for variable in own]
    rows = [by_variable[id(v)] for v in variables if id(v) in by_variable]
    parts = [plan.units[id(owner)] for owner, _ in block.owners if id(owner) in plan.units]
    units = sum(part[0].stop - part[0].start for part in parts)
    living = sum(alive.get(id(owner), 0) for owner, _ in block.owners)
    inside = [one for one in block.layer._flatten_layers() if id(one) in plan.heads]
    heads = sum(plan.heads[id(one)].heads for one in inside)
    zero_heads = sum(zero[id(one)] for one in inside)
    parameters = sum(product(tuple(v.shape)) or 0 for v in variables)
    size = sum(row.size for row in rows)
    left = total([row.left for row in rows])
    charged = [charges[id(v)] for v in variables if id(v) in charges]
    scores = _scores(plan, block)
    return LayerSparsity(
        block.path,
        type(block.layer).__name__,
        tuple(row.path for row in rows),
        parameters,
        size,
        sum(row.zeros for row in rows),
        None if left is None else parameters - size + left,
        units,
        units - living,
        heads,
        zero_heads,
        total([*(row.macs for row in rows), _times(scores, heads)]),
        total([*(row.macs_left for row in rows), _times(scores, heads - zero_heads)]),
        sum(charged) if charged else None,
    )


def _times(scores: int | None, heads: int) -> int | None:
    return product((scores, heads)) if heads else 0


def _scores(plan: Plan, block: Block) -> int | None:
    """Multiply-adds of the scores of one head of an attention layer; None if it is called inside
    another, or its lengths are not known.
    """
    calls = plan.calls.shapes.get(id(block.layer))
    rule = rule_of(block.layer, "scores")
    if rule is None or not calls:
        return None
    return total([rule(block.layer, shapes) for shapes in calls])
