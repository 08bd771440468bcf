"""Paths as estimators of scikit-learn, which they need."""

from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from keras_reg.selection.path import path


class _PathEstimator(BaseEstimator):
    """What regressors and classifiers share."""

    def __init__(
        self,
        build: Any,
        penalty: Any,
        *,
        epochs: int = 50,
        further_epochs: int | None = None,
        strengths: Any = 20,
        smallest: float = 1e-3,
        folds: Any = 5,
        choose: Any = "one_se",
        relaxed: bool = False,
        scoring: Any = "loss",
        mode: str | None = None,
        seeds: Any = 1,
        batch_size: int = 32,
        metric: str = "euclidean",
        warm: bool = True,
        chunk: int | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.build = build
        self.penalty = penalty
        self.epochs = epochs
        self.further_epochs = further_epochs
        self.strengths = strengths
        self.smallest = smallest
        self.folds = folds
        self.choose = choose
        self.relaxed = relaxed
        self.scoring = scoring
        self.mode = mode
        self.seeds = seeds
        self.batch_size = batch_size
        self.metric = metric
        self.warm = warm
        self.chunk = chunk
        self.n_jobs = n_jobs
        self.verbose = verbose

    @property
    def coef_(self) -> np.ndarray:
        """The weights of a linear model, as those of scikit-learn are arranged."""
        kernel = self._linear().kernel
        return self._arranged(keras.ops.convert_to_numpy(kernel).T)

    @property
    def intercept_(self) -> Any:
        """The biases of a linear model."""
        layer = self._linear()
        bias = keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else np.zeros(layer.units)
        return self._arranged(bias)

    def _walk(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        """Trains the path, and chooses."""
        self._check_choose()
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        self.path_ = path(
            lambda: self._built(X, y),
            X,
            y,
            self.penalty,
            epochs=self.epochs,
            further_epochs=self.further_epochs,
            strengths=self.strengths,
            smallest=self.smallest,
            folds=self.folds,
            groups=groups,
            score=self.scoring,
            mode=self.mode,
            seeds=self.seeds,
            batch_size=self.batch_size,
            sample_weight=sample_weight,
            metric=self.metric,
            warm=self.warm,
            chunk=self.chunk,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        row = self.path_.choose(self.choose)
        self.strength_ = row.strength
        self.model_ = self.path_.refit(row, relaxed=self.relaxed)
        # Keras loads, and so unpickles, no optimizer that was saved before it was built.
        self.model_.optimizer.build(self.model_.trainable_variables)
        norms = self.path_.norms[row.place, 0]
        # Where the first penalized weight reads something else, no input is left out.
        is_of_inputs = len(norms) == X.shape[1]
        self.selected_inputs_ = np.flatnonzero(norms) if is_of_inputs else np.arange(X.shape[1])

    def _check_choose(self) -> None:
        """Raises: ValueError if no strength can be chosen so, before a path is trained for it."""
        if not isinstance(self.choose, str):
            return
        if self.choose not in ("best", "one_se"):
            raise ValueError(
                f'Expected `choose` to be "best", "one_se" or a strength. Received: {self.choose!r}'
            )
        if self.folds is None:
            raise ValueError(
                f"Expected `folds` where choose={self.choose!r}, or a strength as `choose`. "
                "Received: folds=None"
            )

    def _built(self, X: Any, y: Any) -> Any:
        """A new model, whose outputs are as many as the targets need."""
        model = self.build(X, y)
        if isinstance(model, keras.Model):
            made, needed = model(X[:1].astype(keras.config.floatx())).shape[-1], self._widths(y)
            if made not in needed:
                raise ValueError(
                    f"Expected build to return a model with {' or '.join(map(str, needed))} "
                    f"outputs. Received: a model with {made}"
                )
        return model

    def _widths(self, y: Any) -> tuple[int, ...]:
        """How many outputs a model may have."""
        raise NotImplementedError

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return np.asarray(self.model_.predict(X, batch_size=1024, verbose=0), "float64")

    def _linear(self) -> Any:
        check_is_fitted(self)
        layers = [one for one in self.model_.layers if one.weights]
        if len(layers) != 1 or type(layers[0]) is not keras.layers.Dense:
            raise AttributeError(
                "Expected a model with one Dense layer, whose weights are coefficients. Received: "
                f"{[type(one).__name__ for one in layers]}"
            )
        return layers[0]

    def _arranged(self, values: np.ndarray) -> Any:
        return values


class PathRegressor(RegressorMixin, _PathEstimator):
    """A network whose strength is chosen by cross-validation, as a regressor of scikit-learn.

    `fit` trains a `path`, chooses a strength, and keeps the network of it; so a path fits in a
    `Pipeline`, `cross_val_score` and `GridSearchCV`. Scale the inputs in the pipeline.

    Args:
        build: function of (X, y), as `keras.wrappers` takes it, that returns a new compiled
            `keras.Model` each time. y is as it is trained on.
        penalty: as `path` takes it.
        epochs: int >= 1. At the weakest strength.
        further_epochs: int >= 1, or None for a sixth of `epochs`. At each of the other strengths.
        strengths: int >= 2, or numbers > 0.
        smallest: float between 0 and 1.
        folds: int >= 2, a splitter of scikit-learn, or pairs of row numbers; None where `choose` is
            a strength.
        choose: "one_se", "best" or a strength of the path.
        relaxed: bool. Whether the network is trained on, without the penalty, its zeros fixed.
        scoring: as `score` of `path`.
        mode: "min", "max" or None.
        seeds: int >= 1 or ints.
        batch_size: int >= 1.
        metric: as `Proximal` takes it.
        warm: bool. Whether each further strength goes on from the one before.
        chunk: int or None.
        n_jobs: int or None.
        verbose: 0 or 1.

    Attributes:
        path_: the `PathResult`.
        strength_: float. The chosen strength.
        model_: the `keras.Model` at that strength.
        selected_inputs_: int array. The inputs that are left: that have a weight that is not zero
            in the first penalized weight; all if that one does not read the inputs.
        coef_: weights of a model with one Dense layer; no attribute of others.
        intercept_: its bias.

    Example:
        >>> from keras_reg.regularizers import L1
        >>> def linear(X, y):
        ...     model = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.Dense(1)])
        ...     model.compile(keras.optimizers.SGD(0.1), "mse")
        ...     return model
        >>> X = np.random.default_rng(0).standard_normal((60, 8))
        >>> y = X[:, 0] - X[:, 1]
        >>> settings = {"epochs": 30, "batch_size": 60, "strengths": [0.1, 0.3], "folds": 3}
        >>> lasso = PathRegressor(linear, L1(), **settings).fit(X, y)
        >>> lasso.selected_inputs_.tolist()
        [0, 1]
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> "PathRegressor":
        """Trains the path and keeps the network of the chosen strength.

        Args:
            X: (n, inputs) array.
            y: (n,) or (n, targets) array.
            sample_weight: (n,) array or None.
            groups: (n,) array or None. Rows of one group are in one fold.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, ensure_min_samples=2)
        self._is_single = y.ndim == 1
        self._walk(X, y.astype("float32"), sample_weight, groups)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The network's outputs, in the shape of the targets.

        Args:
            X: (n, inputs) array.
        """
        outputs = self._outputs(X)
        return outputs.reshape(-1) if self._is_single else outputs

    def _widths(self, y: Any) -> tuple[int, ...]:
        return (1 if y.ndim == 1 else y.shape[1],)

    def _arranged(self, values: np.ndarray) -> Any:
        return values[0] if self._is_single else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class PathClassifier(ClassifierMixin, _PathEstimator):
    """A network whose strength is chosen by cross-validation, as a classifier of scikit-learn.

    Arguments and attributes are those of `PathRegressor`. Besides there is `classes_`: `build` sees
    their numbers, from 0 on, as y. The model has an output for each class, or one for the second of
    two: probabilities, or logits where its loss has `from_logits=True`.

    Example:
        >>> from keras_reg.regularizers import L1
        >>> def logistic(X, y):
        ...     model = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.Dense(1)])
        ...     loss = keras.losses.BinaryCrossentropy(from_logits=True)
        ...     model.compile(keras.optimizers.SGD(0.5), loss)
        ...     return model
        >>> X = np.random.default_rng(0).standard_normal((60, 8))
        >>> y = np.where(X[:, 0] > X[:, 1], "yes", "no")
        >>> settings = {"epochs": 30, "batch_size": 60, "strengths": [0.05, 0.1], "folds": 3}
        >>> model = PathClassifier(logistic, L1(), **settings).fit(X, y)
        >>> model.selected_inputs_.tolist(), model.classes_.tolist()
        ([0, 1], ['no', 'yes'])
    """

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None
    ) -> "PathClassifier":
        """Trains the path and keeps the network of the chosen strength.

        Args:
            X: (n, inputs) array.
            y: (n,) array of classes.
            sample_weight: (n,) array or None.
            groups: (n,) array or None. Rows of one group are in one fold.
        Raises: ValueError if there is one class alone.
        """
        X, y = validate_data(self, X, y, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"Expected two classes or more. Received: one class, {self.classes_}")
        self._walk(X, numbers.astype("int32"), sample_weight, groups)
        return self

    def _widths(self, y: Any) -> tuple[int, ...]:
        count = len(self.classes_)
        return (1, 2) if count == 2 else (count,)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, classes).

        Args:
            X: (n, inputs) array.
        """
        outputs = self._outputs(X)
        if getattr(self.model_.loss, "from_logits", False):
            activation = keras.ops.sigmoid if outputs.shape[1] == 1 else keras.ops.softmax
            outputs = keras.ops.convert_to_numpy(activation(outputs))
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predict(self, X: Any) -> np.ndarray:
        """The most probable classes, (n,).

        Args:
            X: (n, inputs) array.
        """
        chances = self.predict_proba(X)
        return self.classes_[np.argmax(chances, axis=1)]
