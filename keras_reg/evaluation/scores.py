"""Scores of predictions, by scikit-learn, whatever form the targets and the outputs have."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

Metric: TypeAlias = str | Callable[[np.ndarray, np.ndarray], float]

CLASSIFICATION = ("accuracy", "precision", "recall", "f1", "roc_auc")
REGRESSION = ("mse", "mae", "r2")


def check_metrics(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Returns metrics as a tuple.

    Raises: ValueError if a name is not known.

    Example:
        >>> check_metrics(["accuracy", "f1"])
        ('accuracy', 'f1')
    """
    metrics = (metrics,) if isinstance(metrics, str) or callable(metrics) else tuple(metrics)
    known = CLASSIFICATION + REGRESSION
    unknown = [metric for metric in metrics if not callable(metric) and metric not in known]
    if unknown or not metrics:
        raise ValueError(
            f"Expected `metrics` to be functions of (targets, outputs) or names among {known}. "
            f"Received: {metrics!r}"
        )
    return metrics


def name_of(metric: Metric) -> str:
    """A metric's name.

    Example:
        >>> name_of("f1"), name_of(np.mean)
        ('f1', 'mean')
    """
    return metric if isinstance(metric, str) else getattr(metric, "__name__", repr(metric))


def score(metric: Metric, targets: Any, outputs: Any) -> float:
    """One score of a model's outputs.

    Precision, recall and F1 of more than two classes are means over the classes, and the ROC AUC is
    the mean over one class against the rest.

    Args:
        metric: a name, or a function of (targets, outputs).
        targets: (n,) class numbers or values, (n, 1), or (n, k) one-hot or values.
        outputs: (n, k) or (n, 1) or (n,): logits, probabilities or values, as a model returns them.

    Raises: ImportError if scikit-learn is missing.

    Example:
        >>> score("accuracy", [0, 1, 1], [[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
        0.6666666666666666
    """
    targets, outputs = np.asarray(targets), np.asarray(outputs, "float64")
    if callable(metric):
        return float(metric(targets, outputs))
    sklearn_metrics = _sklearn_metrics()
    if metric in REGRESSION:
        function = {
            "mse": sklearn_metrics.mean_squared_error,
            "mae": sklearn_metrics.mean_absolute_error,
            "r2": sklearn_metrics.r2_score,
        }[metric]
        return float(function(targets.reshape(len(targets), -1), outputs.reshape(len(targets), -1)))
    classes, chances = class_numbers(targets, outputs), probabilities(outputs)
    if metric == "roc_auc":
        is_binary = chances.shape[1] == 2
        chance = chances[:, 1] if is_binary else chances
        return float(sklearn_metrics.roc_auc_score(classes, chance, multi_class="ovr"))
    chosen = np.argmax(chances, axis=1)
    if metric == "accuracy":
        return float(sklearn_metrics.accuracy_score(classes, chosen))
    average = "binary" if chances.shape[1] == 2 else "macro"
    function = getattr(sklearn_metrics, f"{metric}_score")
    return float(function(classes, chosen, average=average, zero_division=0))


def class_numbers(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """The class of each target, (n,), from class numbers or one-hot rows.

    Example:
        >>> class_numbers(np.array([[0, 1], [1, 0]]), np.zeros((2, 2))).tolist()
        [1, 0]
    """
    if targets.ndim == 2 and targets.shape[1] > 1:
        return np.argmax(targets, axis=1)
    classes = targets.reshape(len(targets)).astype("int64")
    if not np.array_equal(classes, targets.reshape(len(targets))):
        raise ValueError("Expected targets to be class numbers or one-hot rows for this metric")
    return classes


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """Chances of the classes, (n, k), from probabilities or logits; one output is that of class 1.

    Example:
        >>> probabilities(np.array([0.25, 0.5])).tolist()
        [[0.75, 0.25], [0.5, 0.5]]
    """
    outputs = outputs.reshape(len(outputs), -1)
    are_chances = bool(np.all((outputs >= 0) & (outputs <= 1)))
    if outputs.shape[1] == 1:
        second = outputs[:, 0] if are_chances else 0.5 * (1 + np.tanh(outputs[:, 0] / 2))
        return np.stack([1 - second, second], axis=1)
    if are_chances and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        return outputs / outputs.sum(axis=1, keepdims=True)
    grown = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def _sklearn_metrics() -> Any:
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError(
            "keras_reg.compare takes its scores from scikit-learn: `pip install scikit-learn`"
        ) from error
    return metrics
