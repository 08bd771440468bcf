"""The three backends compute the same training."""

import importlib.util
import json
import os
import subprocess
import sys

import hundred_steps
import keras
import numpy as np
import pytest


@pytest.mark.parametrize("other", ["jax", "torch"])
def test_hundred_steps_agree(other):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the run on TensorFlow compares the others with itself")
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"{other} is not installed")
    script = hundred_steps.__file__
    environment = {**os.environ, "KERAS_BACKEND": other}
    printed = subprocess.run(
        [sys.executable, script], env=environment, check=True, capture_output=True, text=True
    ).stdout
    for ours, theirs in zip(hundred_steps.train(), json.loads(printed), strict=True):
        ours, theirs = np.array(ours), np.array(theirs)
        assert np.array_equal(ours == 0, theirs == 0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
