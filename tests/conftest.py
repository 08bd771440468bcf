"""Every test starts from the same seed; TensorFlow sees two CPU devices, for its strategies."""

import os
import tempfile

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


if keras.backend.backend() == "jax":
    import jax

    # Models of many tests are alike: what was compiled once is read. Each process has a folder of
    # its own, since what another is writing can be read half.
    compiled = tempfile.TemporaryDirectory(prefix="keras_reg_compiled_")
    jax.config.update("jax_compilation_cache_dir", compiled.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


if keras.backend.backend() == "torch":
    import torch

    # The arrays are small: more threads would wait for each other.
    torch.set_num_threads(1)


def pytest_configure(config):
    # Tests that mean it ignore it. On other backends, whose random numbers differ, others may too.
    if keras.backend.backend() == "torch":
        config.addinivalue_line("filterwarnings", "error:Every weight of:UserWarning")


def pytest_runtest_setup(item):
    """A test with the mark `once` runs on one backend: PyTorch, or the one that the mark names."""
    once = item.get_closest_marker("once")
    backend = (*once.args, "torch")[0] if once else keras.backend.backend()
    if keras.backend.backend() != backend:
        pytest.skip(f"the run on {backend} has it")


@pytest.fixture(autouse=True)
def fresh():
    keras.utils.set_random_seed(0)
    keras.config.enable_traceback_filtering()  # Keras's own tests turn it off for all that follow.


def pytest_report_header():
    return f"keras {keras.__version__}, backend {os.environ.get('KERAS_BACKEND', 'tensorflow')}"
