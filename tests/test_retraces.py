"""Rates, strengths and learning rates change during a training; its functions are traced once."""

import collections

import keras
import numpy as np
import pytest

import keras_reg as kr

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(BACKEND == "torch", reason="PyTorch runs eagerly")

TRACES = collections.Counter()


class CountedL1(kr.regularizers.L1):
    """Python runs these bodies only where a program is traced."""

    def _omega(self, w):
        TRACES["value"] += 1
        return super()._omega(w)

    def _omega_prox(self, w, scale):
        TRACES["prox"] += 1
        return super()._omega_prox(w, scale)


class CountedLinear(kr.schedules.Linear):
    def __call__(self, step):
        TRACES["schedule"] += 1
        return super().__call__(step)


class CountedDense(keras.layers.Dense):
    def call(self, x):
        TRACES["layer"] += 1
        return super().call(x)


class Changes(keras.callbacks.Callback):
    """Another learning rate in each epoch, and the traces made by its end."""

    def __init__(self):
        super().__init__()
        self.traces = []

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.1 / (1 + epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.traces.append(dict(TRACES))


# Without jit_compile the JAX trainer runs eagerly.
@pytest.mark.parametrize("jit_compile", [True, False] if BACKEND == "tensorflow" else [True])
@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_everything_is_traced_in_the_first_epoch_alone(jit_compile, steps_per_execution):
    TRACES.clear()
    model = keras.Sequential(
        [
            keras.Input((4,)),
            CountedDense(8, kernel_regularizer=CountedL1(0.01), name="hidden"),
            kr.layers.ScheduledDropout(CountedLinear(0.0, 0.9, steps=20)),
            keras.layers.Dense(1, name="out"),
        ]
    )
    strength = CountedLinear(0.0, 1.0, steps=20)
    optimizer = kr.optimizers.Proximal(keras.optimizers.Adam(), {"out/kernel": CountedL1(strength)})
    model.compile(
        optimizer, "mse", jit_compile=jit_compile, steps_per_execution=steps_per_execution
    )
    x = np.ones((32, 4), "float32")
    changes = Changes()
    model.fit(x, x[:, :1], batch_size=8, epochs=5, callbacks=[changes], verbose=0)
    assert set(TRACES) == {"value", "prox", "schedule", "layer"}
    assert changes.traces[0] == changes.traces[-1]


def test_a_retrace_would_be_seen():
    TRACES.clear()
    model = keras.Sequential([keras.Input((4,)), CountedDense(1)])
    x, changes = np.ones((8, 4), "float32"), Changes()
    for _ in range(2):
        model.compile("sgd", "mse")
        model.fit(x, x[:, :1], callbacks=[changes], verbose=0)
    assert changes.traces[0]["layer"] < changes.traces[1]["layer"]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tests how TensorFlow traces")
def test_an_update_that_builds_the_optimizer_is_traced_once_and_is_one_program():
    import tensorflow as tf

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    optimizer = kr.optimizers.Proximal(keras.optimizers.Adam(1.0), kr.regularizers.L1(10.0))
    traces = []

    @tf.function(autograph=False)
    def step():
        traces.append(1)
        variables = model.trainable_variables
        optimizer.apply([keras.ops.ones(v.shape) for v in variables], variables)

    step()
    assert len(traces) == 1
    assert all(np.all(layer.get_weights()[0] == 0) for layer in model.layers)
    functions = step.get_concrete_function().graph.as_graph_def().library.function
    assert sum(function.attr["_XlaMustCompile"].b for function in functions) == 1
