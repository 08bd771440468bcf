"""Keras's own tests of its optimizers, as it installs them, with each wrapped at strength 0."""

import importlib
import pkgutil
import unittest

import keras
import pytest

from keras_reg.optimizers import Proximal
from keras_reg.regularizers import L1

# Tests that look at private details of an optimizer, which its wrapper does not have.
STEP = "calls `update_step`, which a wrapper refuses"
DECAY = "calls the private `_apply_weight_decay`"
PRIVATE = {
    "muon_test-test_adamw_single_step": STEP,
    "muon_test-test_muon_single_step": STEP,
    "muon_test-test_adamw_weight_decay": DECAY,
    "muon_test-test_muon_weight_decay": DECAY,
    "muon_test-test_should_use_adamw": "calls the private `_should_use_adamw`",
    "nadam_test-test_build_with_empty_var_list": "reads the private `_u_product`",
    "sgd_test-test_single_step": "counts variables: the strength scale is one more",
}


def cases():
    """A module and one of its tests, for each file of one optimizer that Keras brings."""
    package = importlib.import_module("keras.src.optimizers")
    names = [found.name for found in pkgutil.iter_modules(package.__path__)]
    for name in names:
        if not name.endswith("_test") or name.startswith(("optimizer", "loss_scale", "multi")):
            continue
        module = importlib.import_module(f"keras.src.optimizers.{name}")
        for test in unittest.defaultTestLoader.loadTestsFromModule(module):
            for case in test:
                identifier = f"{name}-{case.id().rpartition('.')[2]}"
                if identifier not in PRIVATE:
                    yield pytest.param(module, case, id=identifier)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("module", "case"), list(cases()))
def test_keras_test_passes_with_the_optimizer_wrapped(module, case, monkeypatch):
    for name, kind in list(vars(module).items()):
        if isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer):
            monkeypatch.setattr(module, name, wrapped(kind))
    result = case.run()
    problems = [text for _, text in [*result.failures, *result.errors]]
    assert not problems, problems[0]


def wrapped(kind):
    return lambda *arguments, **named: Proximal(kind(*arguments, **named), {".*": L1(0.0)})
