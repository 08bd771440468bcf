"""Scores of members: by the model's own metrics, by scikit-learn, or by a function."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_reg.evaluation.scores import probabilities
from keras_reg.selection.examples import class_numbers
from keras_reg.selection.members import sklearn_part

# Parts of a metric's name that tell whether more is better.
_UP = ("acc", "auc", "precision", "recall", "f1", "fbeta", "r2", "iou", "similarity", "specificity")
_DOWN = ("loss", "error", "mse", "mae", "entropy", "hinge", "divergence", "poisson", "log_cosh")


@dataclasses.dataclass(frozen=True)
class Score:
    """A score and what is better.

    Args:
        name: str. One of the metrics that the model is compiled with, unless there is a function.
        mode: "min" or "max".
        function: (targets, outputs, weights or None) to a number, or None.
    """

    name: str
    mode: str
    function: Callable | None = None


def check_score(score: Any, mode: str | None, known: list[str]) -> Score:
    """A `Score` from what was given.

    Args:
        score: "loss" or another of the model's metrics, a name or scorer of scikit-learn, or a
            function of (targets, outputs).
        mode: "min", "max" or None, where the name tells.
        known: the names that the model's own `evaluate` returns.
    Raises: ValueError if the score is not known, or not whether more is better.

    Example:
        >>> check_score("loss", None, ["loss"])
        Score(name='loss', mode='min', function=None)
    """
    if mode not in (None, "min", "max"):
        raise ValueError(f'Expected `mode` to be "min", "max" or None. Received: {mode!r}')
    if isinstance(score, str) and score in known:
        return Score(score, mode or _mode_of(score))
    if isinstance(score, str):
        metrics = sklearn_part("metrics")
        if score not in metrics.get_scorer_names():
            raise ValueError(
                f"Expected `score` to be one of the model's metrics, {known}, the name of a scorer "
                f"of scikit-learn, or a function of (targets, outputs). Received: score={score!r}"
            )
        return Score(score, "max", _by_scorer(metrics.get_scorer(score)))
    if not callable(score):
        raise ValueError(f"Expected `score` to be a name or a function. Received: score={score!r}")
    if hasattr(score, "_score_func"):
        return Score(getattr(score._score_func, "__name__", "score"), "max", _by_scorer(score))
    if mode is None:
        raise ValueError(
            'Expected `mode` to be "min" or "max" beside a function. Received: mode=None'
        )
    name = getattr(score, "__name__", "score")
    return Score(name, mode, lambda targets, outputs, weights: float(score(targets, outputs)))


def _mode_of(name: str) -> str:
    up, down = (any(part in name.lower() for part in parts) for parts in (_UP, _DOWN))
    if up == down:
        raise ValueError(
            f'Expected `mode` to be "min" or "max": the name {name!r} does not tell which is better'
        )
    return "max" if up else "min"


def _by_scorer(scorer: Any) -> Callable:
    def score(targets: Any, outputs: np.ndarray, weights: Any) -> float:
        classes = class_numbers(targets)
        truth = targets if classes is None else classes
        weighted = {} if weights is None else {"sample_weight": weights}
        return float(scorer(_predicted(outputs, classes), outputs, truth, **weighted))

    return score


def _predicted(outputs: np.ndarray, classes: np.ndarray | None) -> Any:
    """An estimator of scikit-learn that predicts these outputs."""
    base = sklearn_part("base")
    outputs = np.asarray(outputs, "float64")
    mixin = base.RegressorMixin if classes is None else base.ClassifierMixin

    class Predicted(mixin, base.BaseEstimator):  # type: ignore[misc, valid-type, name-defined]
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, x: Any) -> np.ndarray:
            if classes is None:
                return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
            return probabilities(outputs).argmax(axis=1)

        if classes is not None:
            classes_ = np.arange(probabilities(outputs[:1]).shape[1])

            def predict_proba(self, x: Any) -> np.ndarray:
                return probabilities(outputs)

    return Predicted()
