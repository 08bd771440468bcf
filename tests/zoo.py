"""Every model of `hub_models` against NumPy: the report, the loss, the proximal step, saved files.

`make zoo` runs it on the backend that KERAS_BACKEND names and writes the table of docs/models.md.
It ends with an error if anything does not hold.

    python tests/zoo.py [--write] [model ...]
"""

import argparse
import functools
import multiprocessing
import sys
import tempfile
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import hub_models
import keras
import keras_hub
import numpy as np

import keras_reg as kr

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
MARK = "<!-- `make zoo` writes what follows -->"
RATE, STRENGTH, GROUP_STRENGTH = 0.5, 0.2, 2.2
L1, GroupLasso = kr.regularizers.L1, kr.regularizers.GroupLasso
TopK, NM = kr.regularizers.TopK, kr.regularizers.NM
Proximal = kr.optimizers.Proximal

# By the class of a layer and the names of its kernels: the axes of their inputs and their outputs.
# The channels of a depthwise kernel are outputs that have an input each, so that no inputs lie side
# by side in it. Every expert has outputs of its own.
PLAIN = ((-2,), (-1,))
DEPTHWISE = ((), (-2, -1))
EXPERTS = ((-2,), (-3, -1))
AXES = {
    "Conv1D": {"kernel": PLAIN},
    "Conv2D": {"kernel": PLAIN},
    "Dense": {"kernel": PLAIN},
    "DepthwiseConv2D": {"kernel": DEPTHWISE},
    "Embedding": {"embeddings": PLAIN},
    "GptOssExperts": {"gate_up_proj": EXPERTS, "down_proj": EXPERTS},
    "MixtralMoeExperts": {
        "expert_feedforward_gate_dense": EXPERTS,
        "expert_feedforward_intermediate_dense": EXPERTS,
        "expert_feedforward_output_dense": EXPERTS,
    },
    "Qwen3MoeExperts": {
        "expert_feedforward_gate_dense": EXPERTS,
        "expert_feedforward_output_dense": EXPERTS,
    },
    "QwenMoeExperts": {
        "expert_feedforward_gate_dense": EXPERTS,
        "expert_feedforward_output_dense": EXPERTS,
    },
    "ReversibleEmbedding": {"embeddings": PLAIN, "reverse_embeddings": PLAIN},
    "SeparableConv2D": {"depthwise_kernel": DEPTHWISE, "pointwise_kernel": PLAIN},
}


def numpy(value):
    return keras.ops.convert_to_numpy(value)


def fill(model, seed=0):
    """Random weights, so that no constant initial value hides an error."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "float" in keras.backend.standardize_dtype(weight.dtype):
            weight.assign(rng.standard_normal(weight.shape).astype("float32"))
    return model


def kernels(model):
    """The id of each kernel, and its input and output axes: by `AXES`, or by the einsum.

    Embeddings of places and segments are none.
    """
    found = {}
    for layer in model._flatten_layers():
        is_embedding = isinstance(layer, keras.layers.Embedding)
        if is_embedding and ("position" in layer.name or "segment" in layer.name):
            continue
        for weight in layer._trainable_variables:
            named = AXES.get(type(layer).__name__, {})
            if isinstance(layer, keras.layers.EinsumDense) and weight.name == "kernel":
                found[id(weight)] = einsum_axes(layer.equation, weight.shape)
            elif weight.name in named:
                rank = len(weight.shape)
                found[id(weight)] = [tuple(a + rank for a in axes) for axes in named[weight.name]]
    return found


def einsum_axes(equation, shape):
    """The first index of an output axis reaches some of the outputs, that of an input axis all."""
    data, kernel = equation.split("->")[0].split(",")
    sizes = dict(zip(kernel, shape, strict=True))
    inputs = np.ones([sizes.get(letter, 2) for letter in data])
    axes = [], []
    for axis, length in enumerate(shape):
        first = np.zeros(length)
        first[0] = 1
        w = np.ones(shape) * np.expand_dims(first, [a for a in range(len(shape)) if a != axis])
        axes[not np.all(np.einsum(equation, inputs, w))].append(axis)
    return tuple(map(tuple, axes))


def kernels_of(model):
    found = kernels(model)
    return [weight for weight in model.trainable_weights if id(weight) in found]


def gradients(model, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(v.shape).astype("float32") for v in model.trainable_variables]


def step(model, optimizer, grads):
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], model.trainable_variables)


def assert_reported(model):
    """The zeros of each weight, half of which are set to zero."""
    rng = np.random.default_rng(2)
    counted = []
    for weight in kernels_of(fill(model)):
        weight.assign(numpy(weight) * rng.integers(0, 2, weight.shape))
        counted.append((tuple(weight.shape), int(np.sum(numpy(weight) == 0))))
    table = kr.sparsity(model)
    assert sorted(counted) == sorted((row.shape, row.zeros) for row in table)
    assert table.zeros == sum(zeros for _, zeros in counted)
    assert table.parameters == model.count_params()
    assert str(table)


def hand_sum(model):
    return STRENGTH * sum(np.sum(np.abs(numpy(w)), dtype="float64") for w in kernels_of(model))


def assert_in_the_loss(model):
    assert_regularized(fill(model))
    kr.regularize(model, None)
    assert model.losses == []


def assert_in_the_loss_again(model):
    """`regularize` on the loaded file of a model that it was called on."""
    kr.regularize(fill(model), L1(STRENGTH))
    assert_regularized(saved(model))


def assert_regularized(model):
    rows = kr.regularize(model, L1(STRENGTH))
    assert [row.path for row in rows] == [weight.path for weight in kernels_of(model)]
    total = sum(float(numpy(loss)) for loss in model.losses)
    np.testing.assert_allclose(total, hand_sum(model), rtol=1e-4)


def saved(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        return keras.models.load_model(Path(folder) / "model.keras")


def assert_kept(model):
    """A compiled model is saved with its penalties, and goes on as it would have."""
    optimizer = Proximal(keras.optimizers.Adam(0.1), L1(STRENGTH), model=model)
    loaded = assert_goes_on(model, optimizer)
    assert repr(loaded.optimizer.penalties) == repr(optimizer.penalties)
    assert kr.sparsity(loaded).zeros > 0


def assert_goes_on(model, optimizer):
    fill(model).compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    step(model, optimizer, gradients(model))
    loaded = saved(model)
    for one in (model, loaded):
        step(one, one.optimizer, gradients(model, 3))
    for weight, again in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numpy(weight), numpy(again), weight.path)
    return loaded


def shrunk(w, inputs, outputs):
    return np.sign(w) * np.maximum(np.abs(w) - RATE * STRENGTH, 0)


def largest(w, inputs, outputs):
    kept = np.zeros(w.size)
    order = np.argsort(-np.abs(w), axis=None)[: round(0.3 * w.size)]
    kept[order] = w.ravel()[order]
    return kept.reshape(w.shape)


def whole_outputs(w, inputs, outputs):
    """Each output alone, scaled as one vector."""
    scaled = np.zeros(w.shape)
    for index in np.ndindex(*(w.shape[axis] for axis in outputs)):
        at = [slice(None)] * w.ndim
        for axis, i in zip(outputs, index, strict=True):
            at[axis] = i
        group = w[tuple(at)]
        threshold = RATE * GROUP_STRENGTH * np.sqrt(group.size)
        scaled[tuple(at)] = group * max(0, 1 - threshold / np.linalg.norm(group))
    return scaled


def two_of_four(w, inputs, outputs):
    """The two largest of every four inputs, one after another, if four divides their number."""
    others = [axis for axis in range(w.ndim) if axis not in inputs]
    order = [*others, *inputs]
    moved = np.transpose(w, order)
    if not inputs or np.prod([w.shape[axis] for axis in inputs]) % 4:
        return w
    blocks = moved.reshape(-1, 4).copy()
    for block in blocks:
        block[np.argsort(np.abs(block))[:2]] = 0
    return np.transpose(blocks.reshape(moved.shape), np.argsort(order))


def assert_steps(penalty, prox):
    """A check of one proximal step after one of SGD, on all weights of a model."""

    def check(model):
        before, grads = [numpy(v).copy() for v in fill(model).trainable_variables], gradients(model)
        step(model, built(model, penalty), grads)
        axes, zeros = kernels(model), 0
        for variable, w, g in zip(model.trainable_variables, before, grads, strict=True):
            w = w - np.float32(RATE) * g
            expected = prox(w, *axes[id(variable)]) if id(variable) in axes else w
            np.testing.assert_allclose(numpy(variable), expected, atol=2e-6, err_msg=variable.path)
            zeros += np.sum(expected == 0)
        assert 0 < zeros == sum(np.sum(numpy(v) == 0) for v in model.trainable_variables)

    return check


def built(model, penalty):
    optimizer = Proximal(keras.optimizers.SGD(RATE), penalty, model=model)
    optimizer.build(model.trainable_variables)
    return optimizer


CHECKS = {
    "report": assert_reported,
    "in the loss": assert_in_the_loss,
    "in the loss when loaded": assert_in_the_loss_again,
    "saved and loaded": assert_kept,
    "L1": assert_steps(L1(STRENGTH), shrunk),
    "GroupLasso": assert_steps(GroupLasso(GROUP_STRENGTH), whole_outputs),
    "TopK": assert_steps(TopK(0.7), largest),
    "NM": assert_steps(NM(2, 4, skip_unfit=True), two_of_four),
}


def assert_adam_goes_on(model):
    assert_goes_on(model, keras.optimizers.Adam(0.1))


# What Keras does alone where a check needs it, and the checks that fail with it, and why.
BASELINES = {"in the loss when loaded": saved, "saved and loaded": assert_adam_goes_on}
NOT_IN_KERAS = {
    "DINOv2": (
        ["saved and loaded"],
        "loading computes the interpolated table of positions anew, which is a weight of its own",
    ),
    "SigLIP": (
        ["saved and loaded"],
        "its `compile` is its own, with which `load_model` returns no optimizer",
    ),
}
YES, NOT_KERAS = "yes", "not in Keras"


def outcomes_of(name):
    """How many kernels a model has, and the outcome of each check.

    The checks that save no model leave it as it was, and share one.
    """
    make = hub_models.MODELS[name]
    shared = functools.cache(make)
    found = {
        check: outcome(name, check, make if check in BASELINES else shared) for check in CHECKS
    }
    return len(kernels(shared())), found


def outcome(name, check, make):
    """ "yes", what went wrong, or that Keras alone fails at the same, as is known of the model."""
    wrong = error_of(make, CHECKS[check])
    if check in NOT_IN_KERAS.get(name, ((), ""))[0]:
        return not_in_keras(wrong, error_of(make, BASELINES[check]))
    if wrong:
        print(wrong, file=sys.stderr)
    return wrong.splitlines()[0] if wrong else YES


def not_in_keras(wrong, alone):
    """The same kind of error with and without the package is no error of the package."""
    kinds = [error.split(" ")[0] for error in (wrong, alone)]
    if alone and kinds[0] == kinds[1]:
        return NOT_KERAS
    print(wrong, alone, file=sys.stderr)
    return f"expected one error with Keras alone and here, received {kinds}"


def error_of(make, check):
    keras.utils.set_random_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(make())
    except Exception as error:
        summary = f"{type(error).__name__} {error}".strip().splitlines()[0]
        return f"{summary}\n{traceback.format_exc()}"
    return ""


def page(results):
    lines = [
        f"{len(results)} models of keras-hub {keras_hub.__version__}, on Keras "
        f"{keras.__version__} and {keras.backend.backend()}:",
        "",
        "| model | kernels | " + " | ".join(CHECKS) + " |",
        "|---|---:" + "|:---:" * len(CHECKS) + "|",
    ]
    for name, (count, outcomes) in results.items():
        cells = [outcomes[check] for check in CHECKS]
        lines.append(f"| {name} | {count} | " + " | ".join(cells) + " |")
    lines += ["", "Not in Keras:", ""]
    lines += [f"- {name}: {reason}." for name, (_, reason) in NOT_IN_KERAS.items()]
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("names", nargs="*", default=list(hub_models.MODELS))
    arguments.add_argument("--write", action="store_true", help="rewrite the table of the docs")
    given = arguments.parse_args()
    results, start = {}, time.perf_counter()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for name, result in zip(given.names, pool.map(outcomes_of, given.names), strict=True):
            results[name] = result
            others = {key: text for key, text in result[1].items() if text != YES}
            print(f"{name}: {others or 'all hold'}", flush=True)
    if given.write:
        head = PAGE.read_text().split(MARK)[0]
        PAGE.write_text(f"{head}{MARK}\n\n{page(results)}")
    failed = [n for n, (_, found) in results.items() if set(found.values()) - {YES, NOT_KERAS}]
    print(f"{len(results)} models, {len(failed)} with errors, {time.perf_counter() - start:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
