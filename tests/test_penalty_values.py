"""The values of penalties in one report: from NumPy, and nothing is compiled for them."""

from functools import partial

import keras
import numpy as np
import oracles
import pytest
from catalogue import CASES
from keras import layers, ops

from keras_reg import channels, optimizers, regularizers, schedules, sparsity
from keras_reg.ops import arrays
from keras_reg.regularizers.orthogonal import KINDS

W = np.random.default_rng(0).standard_normal((3, 2, 4)).astype("float32")
W[:, :, 1] = 0.0


def in_numpy(penalty):
    with arrays.in_numpy():
        value = penalty.placed_by_path(W.shape, "")._omega(W)
    assert isinstance(value, np.generic | np.ndarray | float)
    return float(value)


@pytest.mark.parametrize(("cls", "kwargs"), CASES)
def test_value_in_numpy_is_its_definition(cls, kwargs):
    penalty = cls(1.0, **kwargs)
    assert penalty.is_in_numpy
    assert in_numpy(penalty) == pytest.approx(oracles.value(penalty, W), rel=1e-5)


@pytest.mark.parametrize(
    "penalty",
    [
        *(regularizers.Orthogonal(1.0, kind) for kind in KINDS),
        regularizers.Orthogonal(1.0, "srip", exact=True),
        regularizers.SpectralNorm(1.0),
    ],
    ids=repr,
)
def test_estimates_in_numpy_are_those_of_tensors(penalty):
    assert in_numpy(penalty) == pytest.approx(float(penalty.value(W)), rel=1e-4)


@pytest.mark.parametrize("factors", [[0.0, 2.0, 0.5, 1.0], None])
def test_factors_of_groups_stay_in_numpy(factors):
    penalty = regularizers.GroupLasso(1.0, group_axis=-1, weights=factors)
    norms = np.linalg.norm(W.reshape(-1, 4), axis=0) * np.sqrt(6)
    assert in_numpy(penalty) == pytest.approx(np.dot(norms, factors or np.ones(4)), rel=1e-5)


@pytest.mark.parametrize(
    "regularizer",
    [
        keras.regularizers.L1(0.2),
        keras.regularizers.L2(0.3),
        keras.regularizers.L1L2(0.2, 0.3),
        keras.regularizers.OrthogonalRegularizer(0.1),
        keras.regularizers.OrthogonalRegularizer(0.1, mode="columns"),
    ],
)
def test_regularizers_of_keras_are_what_the_loss_has(regularizer):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer=regularizer)])
    assert sparsity(model).penalty == pytest.approx(
        float(ops.stop_gradient(model.losses[0])), rel=1e-5
    )


def in_the_loss(regularizer, width):
    kernels = [layers.Dense(width + i, kernel_regularizer=regularizer) for i in range(3)]
    return keras.Sequential([keras.Input((width,)), *kernels])


def in_the_optimizer(penalty, width, on_channels=False):
    kernels = [layers.Dense(width + i) for i in range(3)]
    model = keras.Sequential([keras.Input((width,)), *kernels])
    rules = {channels(model): penalty} if on_channels else penalty
    model.compile(optimizers.Proximal("sgd", rules, model=model), "mse")
    return model


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX says what it compiles")
@pytest.mark.parametrize(
    ("make", "penalty"),
    [
        (in_the_optimizer, regularizers.L1(schedules.Linear(0.1, 0.2, steps=3))),
        (in_the_optimizer, regularizers.SparseGroupLasso(0.1)),
        (in_the_optimizer, regularizers.SLOPE(0.1)),
        (partial(in_the_optimizer, on_channels=True), regularizers.SparseGroupLasso(0.1)),
        (in_the_loss, regularizers.SpectralNorm(0.1)),
        (in_the_loss, regularizers.Orthogonal(0.1)),
        (in_the_loss, keras.regularizers.OrthogonalRegularizer(0.1)),
    ],
    ids=lambda one: repr(one) if isinstance(one, regularizers.Penalty) else "",
)
def test_one_report_compiles_nothing_for_a_shape(make, penalty):
    import jax

    compiled = []
    one, other = (make(penalty, width) for width in (5, 11))
    sparsity(one)  # Numbers, such as the strength, may be computed on the device.
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **named: compiled.append(event) if "backend_compile" in event else None
    )
    try:
        assert sparsity(other).penalty > 0
    finally:
        jax.monitoring.clear_event_listeners()
    assert not compiled
