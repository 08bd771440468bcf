"""Every operation is lowered for CPUs, GPUs and TPUs, with no such device at hand."""

import ast
import pathlib

import keras
import numpy as np
import pytest
from catalogue import CASES, PROX_CASES
from keras import ops
from lowering import gradient, lower, training_call, update_step

import keras_reg as kr
from keras_reg import regularizers
from keras_reg.ops import (
    arrays,
    backend,
    bits,
    blocks,
    budgets,
    counted_ranks,
    counting,
    group_rows,
    isotonic,
    leading,
    matrix,
    noise,
    norms,
    prox,
    random,
    ranks,
    roots,
    scan,
    sorted_l1,
    sums,
    thresholds,
    updates,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch runs the operations eagerly"
)

W = np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
ROW = np.sort(np.abs(W[:, 0]))[::-1].copy()
MAPS = np.ones((2, 6, 5, 3), "float32")
SEED, STEP = np.int32(1), np.int32(2)
RATE, SCALE = np.float32(0.3), np.float32(0.5)
GROUPS = regularizers.GroupLasso(0.1, group_axis=-1)

# An example of every operation: a function of arrays, and the arrays.
OPS = {
    "alpha": (lambda *a: noise.alpha(*a), W, RATE, SEED, STEP),
    "any_along": (lambda x: bits.any_along(bits.pack(x != 0), 0), W),
    "as_given": (lambda x: x + arrays.as_given(np.ones(4), like=x), W),
    "as_matrix": (matrix.as_matrix, W),
    "ball_threshold": (lambda *a: thresholds.ball_threshold(*a, (0,)), np.abs(W), SCALE),
    "bh_weights": (lambda x: x * sorted_l1.bh_weights(4, 0.1), W),
    "bits": (lambda *a: random.bits((4, 5), *a), SEED, STEP),
    "byte": (lambda x: ops.cast(x, "uint8") + bits.byte(3), SCALE),
    "capped_soft_threshold": (lambda r, t: prox.capped_soft_threshold(r, t, 2.0), np.abs(W), SCALE),
    "from_matrix": (lambda w: matrix.from_matrix(w, (3, 2, 4), axis=(0, 1)), W.T),
    "isotonic_fit": (isotonic.isotonic_fit, W, SCALE, SCALE),
    "cast": (lambda x: arrays.cast(x, "float16"), W),
    "choose_gradient": (lambda g: updates.choose_gradient(g, g > 0), W),
    "count": (lambda x: bits.count(bits.pack(x != 0)), W),
    "count_true": (lambda x: counting.count_true([x > 0]), W),
    "counters": (lambda x: random.counters((4, 5))[1] + ops.cast(x, "int32"), SCALE),
    "drop_block": (lambda *a: noise.drop_block(*a, 3, False), MAPS, RATE, SEED, STEP),
    "dropout": (lambda *a: noise.dropout(*a), W, RATE, SEED, STEP),
    "element_bits": (
        lambda *a: random.element_bits(None, *a),
        np.arange(4, dtype="int32"),
        SEED,
        STEP,
    ),
    "exceeds": (counting.exceeds, W, SCALE),
    "folded": (lambda x: sums.folded(x), np.ones((32, 5), "float32")),
    "falling_ranks": (counted_ranks.falling_ranks, np.arange(5000, dtype="float32")),
    "from_group_rows": (lambda x: group_rows.from_group_rows(x, (4, 6), 0), W.T.copy()),
    "gaussian": (lambda *a: noise.gaussian(*a), W, RATE, SEED, STEP),
    "fuller_blocks": (lambda x: bits.fuller_blocks(bits.pack(x != 0), 2, 4), W),
    "gram_error": (matrix.gram_error, W),
    "gram_minus_identity": (matrix.gram_minus_identity, W),
    "gram_residual": (matrix.gram_residual, W, W[:1]),
    "group_norms": (norms.group_norms, W),
    "group_rows": (lambda x: group_rows.group_rows(x, -1), W),
    "hash32": (random.hash32, np.arange(4, dtype="int32"), SEED),
    "inverse_kept": (random.inverse_kept, RATE),
    "inverse_root": (lambda x: roots.inverse_root(x, 2), ROW),
    "kept_alone": (lambda x: backend.kept_alone(x, x > 0), W),
    "keep": (lambda *a: random.keep((4, 5), *a), RATE, SEED, STEP),
    "keep_non_finite": (matrix.keep_non_finite, W, W),
    "lamp_scores": (ranks.lamp_scores, W),
    "largest": (ranks.largest, ROW, np.int32(3)),
    "largest_along": (lambda x: blocks.largest_along(x * x, 2, 0), W),
    "largest_of_all": (lambda *x: ranks.largest_of_all(x, 3)[0], W, ROW),
    "leading_pairs": (
        lambda x, seed: leading.leading_pairs(
            ops.matmul(ops.transpose(x), x),
            2,
            seed,
            lambda values, residuals, is_bounded: (is_bounded(values[:-1], 1)[0], values[1] > 0),
        ),
        W,
        SEED,
    ),
    "least_to_keep": (lambda x, k: counting.least_to_keep([x], k, 24)[0], W, np.int32(3)),
    "linear_weights": (lambda x: x * sorted_l1.linear_weights(4), W),
    "normal": (lambda *a: random.normal((4, 5), *a), SEED, STEP),
    "nibble_counts": (lambda x: bits.nibble_counts(bits.pack(x != 0)), W),
    "over_many": (lambda w, step: updates.over_many(GROUPS.prox)(w, step), MAPS, ROW[:2]),
    "pack": (lambda x: bits.pack(x != 0), W),
    "ranks": (lambda x: ranks.ranks([x])[0], ROW),
    "random_signs": (lambda seed: matrix.random_signs(2, 4, seed), SEED),
    "rank_mask": (lambda s: matrix.rank_mask(s, (6, 4)), ROW),
    "reaches": (counting.reaches, W, SCALE),
    "reduced": (lambda x: sums.reduced(x, (0,)), np.ones((32, 5), "float32")),
    "replica_seed": (lambda seed: random.replica_seed(seed, 1), SEED),
    "safe_norm": (norms.safe_norm, W),
    "scan_rows": (lambda x: scan.scan_rows(lambda a, b: (a[0] + b[0],), (x,), ops.isnan), W),
    "shrink_norms": (lambda x: prox.shrink_norms(x, -1, lambda r: r / 2), W),
    "soft_threshold": (prox.soft_threshold, W, SCALE),
    "sorted_l1_prox": (sorted_l1.sorted_l1_prox, ROW, ROW),
    "squared_sum_threshold": (
        lambda *a: thresholds.squared_sum_threshold(*a, (0,)),
        np.abs(W),
        SCALE,
    ),
    "thin_svd": (matrix.thin_svd, W),
    "threshold": (random.threshold, RATE),
    "sum_of_squares": (lambda x: sums.sum_of_squares(x, (0,)), np.ones((32, 5), "float32")),
    "full_sum": (lambda x: sums.full_sum(x), np.ones((32, 5), "float32")),
    "top_direction": (lambda x: matrix.top_direction(x, 2), W),
    "uniform": (lambda seed, step: random.uniform((4, 5), seed, step), SEED, STEP),
    "unpack": (lambda x: bits.unpack(bits.pack(x != 0), 4), W),
    "unit": (matrix.unit, ROW),
    "weight_seed": (matrix.weight_seed, W),
    "within_budget": (
        lambda x: budgets.within_budget(
            [ranks.ranks([x])[0]],
            budgets.Budget([budgets.Term(1, [budgets.Axis(0, [(0, 1)])])]),
            0.5,
            0,
        ),
        ROW,
    ),
    "with_sign_of": (norms.with_sign_of, W, SCALE),
}
# Public functions of the subpackage that take no tensor, or run what is given to them.
NO_OPERATION = {
    "block_size",
    "can_stack",
    "check_group_axis",
    "check_matrix",
    "compiled",
    "compiled_alone",
    "compiled_in_graph",
    "compiled_step",
    "custom_gradient",
    "compiles_each_operation",
    "gradients_of_many",
    "group_size",
    "fuses_reductions",
    "has_kth_largest",
    "in_numpy",
    "in_program",
    "in_replica",
    "is_chief",
    "joined",
    "kth_largest",
    "latest_state",
    "narrows_doubles",
    "next_state",
    "on_host",
    "outside_of_graph",
    "read",
    "recomputed",
    "rounding",
    "runs_operations_singly",
    "reduced_axes",
    "records_gradients",
    "replica_id",
    "share_of",
    "slices_of_a_sum",
    "stacked",
    "stacked_steps",
    "strides",
    "update",
    "update_together",
    "updates_in_one_program",
    "xla_enabled",
    "xla_on_cpu",
    "xla_suits_matrices",
}


# The shape of one input, by the end of a layer's name.
SPATIAL = {"2D": (6, 5, 3), "3D": (4, 4, 4, 3)}


def public_functions():
    """The names of the functions that the files of `keras_reg.ops` define."""
    for path in sorted(pathlib.Path(kr.ops.__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield node.name


def test_every_operation_has_an_example():
    assert set(public_functions()) == set(OPS) | NO_OPERATION


@pytest.mark.parametrize("name", OPS)
def test_operation_is_lowered(name):
    function, *arrays = OPS[name]
    assert lower(function, *arrays)


@pytest.mark.parametrize(("cls", "kwargs"), CASES)
def test_value_and_gradient_are_lowered(cls, kwargs):
    penalty = cls(0.1, **kwargs)
    assert lower(penalty.value, W)
    if cls.differentiable:
        assert lower(lambda w: gradient(penalty, w), W)


PROJECTED = [(regularizers.TopK, {"sparsity": 0.5}), (regularizers.NM, {"n": 1, "m": 2})]


@pytest.mark.parametrize(("cls", "kwargs"), [*PROX_CASES, *PROJECTED])
def test_prox_is_lowered(cls, kwargs):
    penalty = cls(**kwargs)
    assert lower(lambda w, step: penalty.prox(w, step), W, SCALE)


@pytest.mark.parametrize("group_axis", [None, -1])
def test_proximal_round_adam_is_lowered(group_axis):
    penalty = regularizers.L1(0.1, group_axis=group_axis)
    optimizer = kr.optimizers.Proximal(keras.optimizers.Adam(), penalty)
    assert lower(*update_step(optimizer, W.shape))


@pytest.mark.parametrize(
    "name",
    [name for name in kr.layers.__all__ if name.startswith("Scheduled") and name != "Scheduled"],
)
def test_dropout_layer_is_lowered(name):
    rate = kr.schedules.Linear(0.1, 0.5, steps=10)
    layer = getattr(kr.layers, name)
    made = layer(keras.layers.Dense(3), rate) if "Connect" in name else layer(rate)
    shape = (2, *SPATIAL.get(name[-2:], (4, 3)))
    assert lower(*training_call(made, shape))
