"""Keras's own tests of its dropout layers, as it installs them, with ours in their place."""

import importlib
import types
import unittest

import keras
import pytest

from keras_reg import layers

FILES = {
    "dropout_test": ["Dropout"],
    "alpha_dropout_test": ["AlphaDropout"],
    "gaussian_dropout_test": ["GaussianDropout"],
    "spatial_dropout_test": ["SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"],
}


def cases():
    """A file, a class of tests and the name of one, for each test that Keras brings."""
    for file in FILES:
        try:
            module = importlib.import_module(f"keras.src.layers.regularization.{file}")
        except ModuleNotFoundError:
            skip = pytest.mark.skip(reason="this Keras is packed without its tests")
            yield pytest.param(None, None, id=file, marks=skip)
            continue
        for test in unittest.defaultTestLoader.loadTestsFromModule(module):
            for case in test:
                yield pytest.param(module, case, id=case.id().rpartition(".")[2])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("module", "case"), list(cases()))
def test_keras_test_passes_with_our_layer(module, case, monkeypatch):
    names = FILES[module.__name__.rpartition(".")[2]]
    ours = {name: getattr(layers, f"Scheduled{name}") for name in names}
    stand_in = types.SimpleNamespace(**{**vars(keras.layers), **ours})
    monkeypatch.setattr(module, "layers", stand_in)
    result = case.run()
    problems = [text for _, text in [*result.failures, *result.errors]]
    assert (result.testsRun, result.skipped) == (1, [])
    assert not problems, problems[0]
