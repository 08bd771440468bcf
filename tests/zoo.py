"""Every model of `hub_models` against NumPy: the report, the loss, the proximal step, saved files.

`make zoo` runs it on the backend that KERAS_BACKEND names and writes the table of docs/models.md.
It ends with an error if anything does not hold.

    python tests/zoo.py [--write] [model ...]
"""

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import hub_models
import keras
import keras_hub
import numpy as np

import keras_reg as kr
from keras_reg.structure import is_kernel

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
MARK = "<!-- `make zoo` writes what follows -->"
RATE, STRENGTH = 0.5, 0.2
L1 = kr.regularizers.L1


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
    return [weight for weight in model.trainable_weights if is_kernel(weight)]


def gradients(model, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(v.shape).astype("float32") for v in model.trainable_variables]


def step(model, optimizer, grads):
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], model.trainable_variables)


def assert_reported(model):
    """The zeros of each weight, half of which are set to zero."""
    rng = np.random.default_rng(2)
    counted = []
    for weight in fill(model).weights:
        if is_kernel(weight):
            weight.assign(numpy(weight) * rng.integers(0, 2, weight.shape))
            counted.append((tuple(weight.shape), int(np.sum(numpy(weight) == 0))))
    table = kr.sparsity(model)
    assert sorted(counted) == sorted((row.shape, row.zeros) for row in table)
    assert table.zeros == sum(zeros for _, zeros in counted)
    assert table.parameters == model.count_params()
    assert str(table)


def hand_sum(model):
    return STRENGTH * sum(np.sum(np.abs(numpy(w)), dtype="float64") for w in kernels(model))


def assert_in_the_loss(model):
    """The sum of the losses, in this model and, after a second call, in one that was loaded."""
    assert_regularized(fill(model))
    assert_regularized(saved(model))
    kr.regularize(model, None)
    assert model.losses == []


def assert_regularized(model):
    rows = kr.regularize(model, L1(STRENGTH))
    assert [row.path for row in rows] == [weight.path for weight in kernels(model)]
    total = sum(float(numpy(loss)) for loss in model.losses)
    np.testing.assert_allclose(total, hand_sum(model), rtol=1e-4)


def saved(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        return keras.models.load_model(Path(folder) / "model.keras")


def assert_kept(model):
    """A compiled model is saved with its penalties, and goes on as it would have."""
    optimizer = kr.optimizers.Proximal(keras.optimizers.Adam(0.1), L1(STRENGTH))
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


def shrunk(w):
    return np.sign(w) * np.maximum(np.abs(w) - RATE * STRENGTH, 0)


def largest(w):
    kept = np.zeros(w.size)
    order = np.argsort(-np.abs(w), axis=None)[: round(0.3 * w.size)]
    kept[order] = w.ravel()[order]
    return kept.reshape(w.shape)


def assert_steps(penalty, prox):
    """A check of one proximal step after one of SGD, on all weights of a model."""

    def check(model):
        before, grads = [numpy(v).copy() for v in fill(model).trainable_variables], gradients(model)
        optimizer = kr.optimizers.Proximal(keras.optimizers.SGD(RATE), penalty)
        optimizer.build(model.trainable_variables)
        step(model, optimizer, grads)
        zeros = 0
        for variable, w, g in zip(model.trainable_variables, before, grads, strict=True):
            w = w - np.float32(RATE) * g
            expected = prox(w) if is_kernel(variable) else w
            np.testing.assert_allclose(numpy(variable), expected, atol=2e-6, err_msg=variable.path)
            zeros += np.sum(expected == 0) if is_kernel(variable) else 0
        assert 0 < zeros == sum(np.sum(numpy(kernel) == 0) for kernel in kernels(model))

    return check


CHECKS = {
    "report": assert_reported,
    "in the loss": assert_in_the_loss,
    "saved and loaded": assert_kept,
    "L1": assert_steps(L1(STRENGTH), shrunk),
    "TopK": assert_steps(kr.regularizers.TopK(0.7), largest),
}


SAVING = ("in the loss", "saved and loaded")
YES, NOT_KERAS = "yes", "not in Keras"


def outcome(make, name):
    """ "yes", what went wrong, or that Keras alone, with its own Adam, fails at the same."""
    wrong = error_of(make, CHECKS[name])
    if wrong and name in SAVING and error_of(make, assert_adam_goes_on):
        return NOT_KERAS
    if wrong:
        print(wrong, file=sys.stderr)
    return wrong.splitlines()[0] if wrong else YES


def assert_adam_goes_on(model):
    assert_goes_on(model, keras.optimizers.Adam(0.1))


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
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("names", nargs="*", default=list(hub_models.MODELS))
    arguments.add_argument("--write", action="store_true", help="rewrite the table of the docs")
    given = arguments.parse_args()
    results, start = {}, time.perf_counter()
    for name in given.names:
        make = hub_models.MODELS[name]
        outcomes = {key: outcome(make, key) for key in CHECKS}
        results[name] = (len(kernels(make())), outcomes)
        others = {key: text for key, text in outcomes.items() if text != YES}
        print(f"{name}: {others or 'all hold'}", flush=True)
    if given.write:
        head = PAGE.read_text().split(MARK)[0]
        PAGE.write_text(f"{head}{MARK}\n\n{page(results)}")
    failed = [n for n, (_, found) in results.items() if set(found.values()) - {YES, NOT_KERAS}]
    print(f"{len(results)} models, {len(failed)} with errors, {time.perf_counter() - start:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
