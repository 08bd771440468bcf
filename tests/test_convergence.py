"""Training with Proximal finds the solutions that scikit-learn finds with its own solvers."""

import keras
import numpy as np
import pytest
from keras import ops
from sklearn import datasets, linear_model
from sklearn.preprocessing import StandardScaler

from keras_reg import regularizers
from keras_reg.optimizers import Proximal

MOMENTUM = 0.9


def diabetes():
    x, y = datasets.load_diabetes(return_X_y=True)
    x, y = StandardScaler().fit_transform(x), StandardScaler().fit_transform(y[:, None])
    return x.astype("float32"), y.astype("float32")


def linnerud():
    x, y = datasets.load_linnerud(return_X_y=True)
    # Products of the features make enough of them to choose from.
    x = np.hstack([x, x[:, [0]] * x[:, [1, 2]], x[:, [1]] * x[:, [2]], x**2])
    x, y = StandardScaler().fit_transform(x), StandardScaler().fit_transform(y)
    return x.astype("float32"), y.astype("float32")


def doubles(*arrays):
    return [array.astype("float64") for array in arrays]


def train(x, y, penalties=None, regularizer=None, loss="mse", steps=1500, momentum=MOMENTUM):
    """Full-batch descent on one Dense layer. Returns its kernel and bias."""
    model = keras.Sequential(
        [
            keras.Input((x.shape[1],)),
            keras.layers.Dense(y.shape[1], name="dense", kernel_regularizer=regularizer),
        ]
    )
    largest = np.linalg.eigvalsh(x.T @ x / len(x))[-1] + 1.0
    curvature = largest / (4 if loss != "mse" else 0.5 * y.shape[1])
    optimizer = keras.optimizers.SGD(float(1 / curvature), momentum=momentum)
    model.compile(optimizer if penalties is None else Proximal(optimizer, penalties), loss)

    copies = 500
    repeated = [np.tile(array, (copies, 1)) for array in (x, y)]
    model.fit(*repeated, batch_size=len(x), epochs=steps // copies, shuffle=False, verbose=0)
    return model.get_layer("dense").get_weights()


def assert_same_solution(kernel, coefficients):
    assert np.array_equal(kernel != 0, coefficients != 0)
    np.testing.assert_allclose(kernel, coefficients, rtol=1e-4)


@pytest.mark.parametrize(("alpha", "momentum"), [(0.3, 0.0), (0.1, MOMENTUM), (0.03, MOMENTUM)])
def test_lasso(alpha, momentum):
    x, y = diabetes()
    reference = linear_model.Lasso(alpha, tol=1e-12, max_iter=100_000).fit(*doubles(x, y))
    kernel, bias = train(x, y, regularizers.L1(2 * alpha), momentum=momentum)
    assert_same_solution(kernel[:, 0], reference.coef_)
    assert 0 < np.count_nonzero(kernel) < len(kernel)
    np.testing.assert_allclose(bias, reference.intercept_, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.3, 0.1])
def test_elastic_net(alpha):
    x, y = diabetes()
    rho = 0.5
    reference = linear_model.ElasticNet(alpha, l1_ratio=rho, tol=1e-12, max_iter=100_000)
    reference.fit(*doubles(x, y))
    strength, l1_ratio = alpha * (1 + rho) / 2, 2 * rho / (1 + rho)
    kernel, _ = train(x, y, regularizers.ElasticNet(2 * strength, l1_ratio=l1_ratio))
    assert_same_solution(kernel[:, 0], reference.coef_)
    assert 0 < np.count_nonzero(kernel) < len(kernel)


@pytest.mark.parametrize("place", ["loss", "prox"])
def test_ridge(place):
    x, y = diabetes()
    alpha = 50.0
    reference = linear_model.Ridge(alpha).fit(x, y[:, 0])
    penalty = regularizers.L2(alpha / len(x))
    where = {"regularizer": penalty} if place == "loss" else {"penalties": penalty}
    kernel, _ = train(x, y, **where)
    assert_same_solution(kernel[:, 0], reference.coef_)


def test_logistic_regression():
    x, y = datasets.load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x).astype("float32")
    C = 0.01
    reference = linear_model.LogisticRegression(
        C=C, l1_ratio=1.0, solver="saga", tol=1e-8, max_iter=100_000, random_state=0
    ).fit(*doubles(x, y))
    kernel, bias = train(
        x,
        y[:, None].astype("float32"),
        regularizers.L1(1 / (C * len(x))),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        steps=4000,
    )
    assert_same_solution(kernel[:, 0], reference.coef_[0])
    assert 0 < np.count_nonzero(kernel) < len(kernel)
    np.testing.assert_allclose(bias, reference.intercept_, rtol=1e-3)


def test_group_lasso_is_stationary_and_equals_multi_task_lasso():
    x, y = linnerud()
    outputs = y.shape[1]
    penalty = regularizers.GroupLasso(0.2, group_axis=-2, size_scaling=False)
    kernel, bias = train(x, y, penalty, steps=3000)
    gradient = 2 / y.size * x.T @ (x @ kernel + bias - y)
    residual = ops.convert_to_numpy(penalty.stationarity(kernel, gradient))
    at_zero = 2 / y.size * x.T @ (y.mean(axis=0) - y)
    assert residual.shape == (len(kernel),)
    assert residual.max() < 1e-5 * penalty.max_strength(at_zero.astype("float32"))
    reference = linear_model.MultiTaskLasso(0.2 * outputs / 2, tol=1e-12, max_iter=100_000)
    coefficients = reference.fit(*doubles(x, y)).coef_.T
    assert_same_solution(kernel, coefficients)
    assert 0 < np.count_nonzero(kernel.any(axis=1)) < len(kernel)


@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_max_strength_is_where_the_first_weight_appears():
    x, y = diabetes()
    at_zero = (2 / len(x) * x.T @ (y.mean() - y)).astype("float32")
    highest = regularizers.L1().max_strength(at_zero)
    for factor, count in ((1.01, 0), (0.97, 1)):
        kernel, _ = train(x, y, regularizers.L1(factor * highest), steps=500)
        assert np.count_nonzero(kernel) == count
