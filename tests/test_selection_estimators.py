"""Paths as estimators of scikit-learn: its own checks, pipelines, searches, and its lasso."""

import pickle

import keras
import numpy as np
import pytest
from selection_models import classes, data, network
from sklearn.base import clone
from sklearn.linear_model import Lasso, LassoCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from keras_reg.regularizers import L1, MCP, GroupLasso
from keras_reg.selection import PathClassifier, PathRegressor

FOLDS = KFold(3, shuffle=True, random_state=1)


def linear(X, y):
    model = keras.Sequential([keras.Input(X.shape[1:])])
    model.add(keras.layers.Dense(1 if y.ndim == 1 else y.shape[1]))
    model.compile(keras.optimizers.SGD(0.2), "mse")
    return model


def scaled(X, y):
    """The same on inputs of any scale."""
    scaling = keras.layers.Normalization()
    scaling.adapt(X)
    model = keras.Sequential([scaling, *linear(X, y).layers])
    model.compile(keras.optimizers.SGD(0.2), "mse")
    return model


def softmax(X, y):
    model = keras.Sequential([keras.Input(X.shape[1:])])
    model.add(keras.layers.Dense(int(y.max()) + 1, activation="softmax"))
    model.compile(keras.optimizers.SGD(0.2), "sparse_categorical_crossentropy")
    return model


def logits(X, y):
    return network(keras.losses.BinaryCrossentropy(from_logits=True))


def hidden(X, y):
    return network(dropout=0.0)


QUICK = {"epochs": 10, "further_epochs": 1, "folds": 2, "batch_size": 200}
WEIGHTED = (
    "a row of weight 2 is not two rows: folds and batches are of rows, and there is one more row"
)
FAILS = {"check_sample_weight_equivalence_on_dense_data": WEIGHTED}


@pytest.mark.once
@pytest.mark.parametrize(("kind", "build"), [(PathRegressor, scaled), (PathClassifier, softmax)])
def test_the_checks_of_scikit_learn_pass(kind, build):
    estimator = kind(build, L1(), strengths=[1e-4, 1e-3], **QUICK)
    results = check_estimator(estimator, expected_failed_checks=FAILS, on_skip=None)
    skipped = {one["check_name"] for one in results if one["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}
    assert len(results) > 40


@pytest.mark.once("jax")
def test_a_linear_path_in_a_pipeline_is_the_lasso_of_scikit_learn():
    x, y = data(80)
    x = x * [1, 2, 3, 4, 5, 6] + 7
    scaled = StandardScaler().fit_transform(x)
    settings = {"epochs": 60, "further_epochs": 40, "strengths": 5, "batch_size": 80}
    ours = PathRegressor(linear, L1(), folds=FOLDS, choose="best", **settings)
    pipeline = make_pipeline(StandardScaler(), ours).fit(x, y)
    theirs = LassoCV(alphas=5, cv=FOLDS).fit(scaled, y)
    # Keras's squared error is not halved.
    assert pipeline[-1].strength_ == pytest.approx(2 * theirs.alpha_, rel=1e-3)
    np.testing.assert_allclose(pipeline[-1].coef_, theirs.coef_, atol=2e-3)
    assert pipeline[-1].intercept_ == pytest.approx(theirs.intercept_, abs=2e-3)
    np.testing.assert_allclose(pipeline.predict(x), theirs.predict(scaled), atol=5e-3)
    np.testing.assert_array_equal(pipeline[-1].selected_inputs_, np.flatnonzero(theirs.coef_))


@pytest.mark.once
def test_searches_and_cross_validation_go_through_it():
    x, y = data()
    settings = {"epochs": 20, "strengths": [0.5, 2.0], "folds": FOLDS, "batch_size": 60}
    estimator = PathRegressor(linear, L1(), **settings)
    scores = cross_val_score(estimator, x, y, cv=FOLDS)
    splits = list(FOLDS.split(x))
    lasso = [Lasso(0.25).fit(x[train], y[train]).score(x[test], y[test]) for train, test in splits]
    np.testing.assert_allclose(scores, lasso, atol=0.05)
    search = GridSearchCV(estimator, {"penalty": [L1(), MCP()], "choose": ["best"]}, cv=2)
    assert repr(search.fit(x, y).best_params_["penalty"]) == repr(MCP())
    assert repr(clone(estimator)) == repr(estimator)


@pytest.mark.parametrize("build", [softmax, logits])
def test_classes_of_any_name(build):
    x, y = classes()
    names = np.array(["no", "yes"])[y]
    penalty = GroupLasso(0.01, group_axis="inputs")
    settings = {"epochs": 30, "strengths": [0.05, 0.1], "folds": 2, "scoring": "roc_auc"}
    model = PathClassifier(build, {".*kernel": penalty}, relaxed=True, **settings).fit(x, names)
    chances = model.predict_proba(x)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    assert (model.predict(x) == model.classes_[chances.argmax(axis=1)]).all()
    assert model.score(x, names) > 0.8
    row = model.path_.choose("one_se")
    assert model.strength_ == row.strength
    assert len(model.selected_inputs_) == row.inputs_left
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(again.predict_proba(x), chances, rtol=1e-6)
    with pytest.raises(ValueError, match="in the process that trained it"):
        again.path_.refit("best")


@pytest.mark.once
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"choose": "bets"}, '`choose` to be "best"'),
        ({"folds": None}, "`folds` where choose='one_se'"),
        ({"build": lambda X, y: linear(X, X)}, "a model with 3 outputs.* with 6"),
    ],
)
def test_what_cannot_end_well_is_refused_before_the_path(kwargs, message):
    x, y = data()
    settings = {"build": softmax, "penalty": L1(), "epochs": 1, "strengths": [0.1, 0.2]}
    with pytest.raises(ValueError, match=message):
        PathClassifier(**settings | kwargs).fit(x, np.digitize(y, [-1, 1]))


def test_only_a_linear_model_has_coefficients():
    settings = {"epochs": 1, "strengths": [0.1, 0.2], "folds": None, "choose": 0.1}
    model = PathRegressor(hidden, {"hidden/kernel": L1()}, **settings).fit(*data())
    assert not hasattr(model, "coef_")
    with pytest.raises(AttributeError, match="one Dense layer"):
        model.coef_  # noqa: B018
