"""Keras's own tests of its optimizers, as it installs them, with each wrapped at strength 0."""

import importlib
import importlib.util
import pkgutil
import types
import unittest
from unittest import mock

import keras
import pytest

from keras_reg.optimizers import Proximal
from keras_reg.regularizers import L1

# Tests that look at private details of an optimizer, which its wrapper does not have.
STEP = "calls `update_step`, which a wrapper refuses"
DECAY = "calls the private `_apply_weight_decay`"
ACCUMULATED = "reads the private `_iterations` and `_accumulated_gradients`"
CLASS = "asks for the name or the class of the optimizer itself"
MULTI = "multi_optimizer_test"
SPARSE = "optimizer_sparse_test-test_sparse_gradients"
INDEX = "reads the private `_var_to_optimizer_idx`"
PRIVATE = {
    f"around_all-{MULTI}-test_default_fallback": INDEX,
    f"around_all-{MULTI}-test_serialization": INDEX,
    f"around_all-{MULTI}-test_multi_optimizer_blocks_nested_optimizers": CLASS,
    f"{MULTI}-test_serialization": CLASS,
    "muon_test-test_adamw_single_step": STEP,
    "muon_test-test_muon_single_step": STEP,
    "muon_test-test_adamw_weight_decay": DECAY,
    "muon_test-test_muon_weight_decay": DECAY,
    "muon_test-test_should_use_adamw": "calls the private `_should_use_adamw`",
    "nadam_test-test_build_with_empty_var_list": "reads the private `_u_product`",
    SPARSE: "replaces the methods that an update calls",
    "optimizer_test-test_ema": "has weights of exactly 0, whose averages a wrapper makes 0 too",
    "optimizer_test-test_get_method": CLASS,
    "optimizer_test-test_gradient_accumulation": ACCUMULATED,
    "optimizer_test-test_optimizer_auto_naming": CLASS,
    "optimizer_test-test_overwrite_with_gradient_with_gradient_accumulation": ACCUMULATED,
    "optimizer_test-test_setting_lr_to_callable_untracks_lr_var": "counts variables",
    "sgd_test-test_single_step": "counts variables: the strength scale is one more",
}

# One test for eleven optimizers: JAX, which compiles each of its branches for each, takes two.
ACCUMULATION = "optimizer_test-test_gradient_accumulation_with_weigth_decay"
OFTEN = [f"{ACCUMULATION}{number}" for number in range(2, 11)]

# The optimizers that hold others: of these it is the members that are wrapped one by one,
AROUND = tuple(
    getattr(keras.optimizers, name)
    for name in ("LossScaleOptimizer", "MultiOptimizer")
    if hasattr(keras.optimizers, name)  # Keras 3.14 has no MultiOptimizer.
)
# and in the tests of a MultiOptimizer all of them at once too.


def cases():
    """Each test of optimizers that Keras brings."""
    package = importlib.import_module("keras.src.optimizers")
    names = [found.name for found in pkgutil.iter_modules(package.__path__)]
    for name in names:
        if name.endswith("_test"):
            yield from cases_of(name, is_single, "")
        if name == MULTI:
            yield from cases_of(name, is_multi, "around_all-")


def cases_of(name, is_wrapped, prefix):
    module = loaded(f"keras.src.optimizers.{name}", is_wrapped)
    for test in unittest.defaultTestLoader.loadTestsFromModule(module):
        for case in test:
            method = case._testMethodName  # `id` adds the arguments to it.
            identifier = f"{prefix}{name}-{method}"
            if not is_left_out(identifier):
                marks = [*marks_of(type(case)), *marks_of(getattr(case, method))]
                yield pytest.param(case, id=identifier, marks=marks)


def is_single(kind):
    return kind is not keras.optimizers.Optimizer and not issubclass(kind, AROUND)


def is_multi(kind):
    return issubclass(kind, keras.optimizers.MultiOptimizer)


def is_left_out(identifier):
    if keras.backend.backend() == "jax" and identifier in OFTEN:
        return True
    return identifier in PRIVATE or identifier.startswith(SPARSE)


def marks_of(tested):
    return getattr(tested, "pytestmark", [])


def loaded(name, is_wrapped):
    """A test file of Keras in which optimizers are wrapped, in its tables of cases too."""
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    inside = importlib.import_module("keras.src")
    with mock.patch.object(inside, "optimizers", with_wrapped(inside.optimizers, is_wrapped)):
        spec.loader.exec_module(module)
    vars(module).update(vars(with_wrapped(module, is_wrapped)))
    return module


def with_wrapped(module, is_wrapped):
    """The names of a module, with optimizers among them, and those it makes, wrapped."""
    found = {
        name: wrapped(kind)
        for name, kind in vars(module).items()
        if isinstance(kind, type)
        and issubclass(kind, keras.optimizers.Optimizer)
        and is_wrapped(kind)
    }
    made = {"get": gotten} if hasattr(module, "get") else {}
    return types.SimpleNamespace(**{**vars(module), **found, **made})


def wrapped(kind):
    return lambda *arguments, **named: wrap(kind(*arguments, **named), named.get("name"))


def gotten(identifier):
    optimizer = keras.optimizers.get(identifier)
    return optimizer and wrap(optimizer)


def wrap(optimizer, name=None):
    return Proximal(optimizer, {".*": L1(0.0)}, name=name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", list(cases()))
def test_keras_test_passes_with_the_optimizer_wrapped(case):
    result = case.run()
    problems = [text for _, text in [*result.failures, *result.errors]]
    assert not problems, problems[0]
