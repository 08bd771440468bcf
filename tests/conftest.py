"""Every test starts from the same seed; TensorFlow sees two CPU devices, for its strategies."""

import os

import hypothesis
import keras
import pytest

# Every run draws the same examples, and the first call of an op compiles it, which takes its time.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=12)
# Now and then, with pytest --hypothesis-profile=nightly: many more, and others each time.
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=200)
hypothesis.settings.load_profile("repeatable")

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


if keras.backend.backend() == "torch":
    import torch

    # The arrays are small: more threads would wait for each other.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def pytest_report_header():
    return f"keras {keras.__version__}, backend {os.environ.get('KERAS_BACKEND', 'tensorflow')}"
