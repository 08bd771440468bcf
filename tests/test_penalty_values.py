"""The values of penalties in one report: from NumPy, and nothing is compiled for them."""

import keras
import numpy as np
import oracles
import pytest
from catalogue import CASES
from keras import layers, ops

from keras_reg import optimizers, regularizers, schedules, sparsity

IN_NUMPY = [case for case in CASES if case.values[0].is_in_numpy]
OTHERS = {regularizers.Orthogonal, regularizers.SLOPE, regularizers.SpectralNorm}
W = np.random.default_rng(0).standard_normal((3, 2, 4)).astype("float32")
W[:, :, 1] = 0.0


def test_most_penalties_compute_in_numpy():
    assert {case.values[0] for case in CASES} - {case.values[0] for case in IN_NUMPY} == OTHERS


@pytest.mark.parametrize(("cls", "kwargs"), IN_NUMPY)
def test_value_in_numpy_is_its_definition(cls, kwargs):
    penalty = cls(1.0, **kwargs).placed_by_path(W.shape, "")
    value = penalty._omega(W)
    assert not ops.is_tensor(value)
    assert float(value) == pytest.approx(oracles.value(penalty, W), rel=1e-5)


@pytest.mark.parametrize("factors", [[0.0, 2.0, 0.5, 1.0], None])
def test_factors_of_groups_stay_in_numpy(factors):
    penalty = regularizers.GroupLasso(1.0, group_axis=-1, weights=factors)
    norms = np.linalg.norm(W.reshape(-1, 4), axis=0) * np.sqrt(6)
    value = penalty._omega(W)
    assert not ops.is_tensor(value)
    assert float(value) == pytest.approx(np.dot(norms, factors or np.ones(4)), rel=1e-5)


@pytest.mark.parametrize(
    "regularizer",
    [
        keras.regularizers.L1(0.2),
        keras.regularizers.L2(0.3),
        keras.regularizers.L1L2(0.2, 0.3),
        keras.regularizers.OrthogonalRegularizer(0.1),
    ],
)
def test_regularizers_of_keras_are_what_the_loss_has(regularizer):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=regularizer)])
    assert sparsity(model).penalty == pytest.approx(
        float(ops.stop_gradient(model.losses[0])), rel=1e-5
    )


def trained_with(penalty, width):
    kernels = [layers.Dense(width + i) for i in range(3)]
    model = keras.Sequential([keras.Input((width,)), *kernels])
    model.compile(optimizers.Proximal("sgd", penalty, model=model), "mse")
    return model


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX says what it compiles")
@pytest.mark.parametrize("strength", [0.1, schedules.Linear(0.1, 0.2, steps=3)])
@pytest.mark.parametrize("cls", [regularizers.L1, regularizers.SparseGroupLasso, regularizers.MCP])
def test_one_report_compiles_nothing_for_a_shape(cls, strength):
    import jax

    compiled = []
    trained, other = (trained_with(cls(strength), width) for width in (5, 11))
    sparsity(trained)  # Numbers, such as the strength, may be computed on the device.
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **named: compiled.append(event) if "backend_compile" in event else None
    )
    try:
        assert sparsity(other).penalty > 0
    finally:
        jax.monitoring.clear_event_listeners()
    assert not compiled
