"""The data that a path is trained on: arrays with one row for each example, or a dataset."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

# What `tf.data` says of a dataset that repeats for ever.
_INFINITE = -1


@dataclasses.dataclass(frozen=True)
class Examples:
    """Arrays with one row for each example.

    Args:
        x: array, or a list, tuple or dict of arrays.
        y: as `x`.
        weights: (n,) float array, or None. The weight of each example in the loss.
    """

    x: Any
    y: Any
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(keras.tree.flatten(self.x)[0])

    def take(self, rows: Any) -> "Examples":
        """Some of the examples."""
        return Examples(
            keras.tree.map_structure(lambda array: array[rows], self.x),
            keras.tree.map_structure(lambda array: array[rows], self.y),
            None if self.weights is None else self.weights[rows],
        )


@dataclasses.dataclass(frozen=True)
class Batches:
    """A dataset that makes its own batches: `tf.data`, `PyDataset`, a PyTorch `DataLoader`."""

    x: Any

    @property
    def shuffles(self) -> bool:
        """What `fit` is told: Keras shuffles batches of a `PyDataset` alone."""
        return isinstance(self.x, keras.utils.PyDataset)


def examples_of(x: Any, y: Any, weights: Any = None, class_weight: Any = None) -> Any:
    """Checked `Examples`, or `Batches` where `y` is None.

    Raises: TypeError if a dataset does not begin anew; ValueError if it has no end, lengths differ,
        there is no example, a value is not finite, targets are no numbers, or weights are out of
        range.

    Example:
        >>> len(examples_of([[1.0], [2.0]], [0, 1]))
        2
    """
    if y is None:
        if weights is not None or class_weight is not None or _is_array(x):
            raise ValueError(
                "Expected `y` beside arrays and weights. Received: y=None. Only a dataset, such as "
                "tf.data or keras.utils.PyDataset, brings targets and weights of its own"
            )
        _check_restarts(x)
        return Batches(x)
    x, y = _arrays(x), _arrays(y)
    lengths = [array.shape[0] if array.ndim else 0 for array in keras.tree.flatten((x, y))]
    if min(lengths) == 0 or len(set(lengths)) > 1:
        raise ValueError(
            f"Expected x and y with one row for each example. Received rows: {lengths}"
        )
    for name, arrays in (("x", x), ("y", y)):
        for array in keras.tree.flatten(arrays):
            _check_finite(name, array)
    for array in keras.tree.flatten(y):
        if array.dtype.kind not in "fiub":
            raise ValueError(
                "Expected numbers as targets: number the classes, as PathClassifier does. "
                f"Received: y of dtype {array.dtype}"
            )
    return Examples(x, y, _weights(lengths[0], y, weights, class_weight))


def _weights(count: int, y: Any, weights: Any, class_weight: Any) -> np.ndarray | None:
    """The weight of each example: its own times that of its class."""
    if weights is None and class_weight is None:
        return None
    found = np.ones(count, "float32") if weights is None else np.asarray(weights, "float32")
    _check_finite("sample_weight", found)
    if found.shape != (count,) or found.min() < 0 or not found.any():
        raise ValueError(
            f"Expected `sample_weight` of {count} numbers >= 0, not all 0. Received: shape "
            f"{found.shape}, the smallest {found.min() if found.size else None}"
        )
    if class_weight is None:
        return found
    classes = class_numbers(y)
    missing = None if classes is None else set(classes.tolist()) - set(class_weight)
    if classes is None or missing:
        raise ValueError(
            "Expected `class_weight` with a number for each class of y. Received: class_weight="
            f"{class_weight}, y " + (f"has also {sorted(missing)}" if missing else "has no classes")
        )
    return found * np.array([class_weight[number] for number in classes.tolist()], "float32")


def check_targets(examples: Examples) -> None:
    """Raises: ValueError if all targets are equal, which leaves nothing to learn."""
    targets = keras.tree.flatten(examples.y)
    if all((array == array[:1]).all() for array in targets):
        raise ValueError(
            f"Expected targets that differ. Received: y is {targets[0][0]!r} in all "
            f"{len(examples)} rows"
        )


def class_numbers(y: Any) -> np.ndarray | None:
    """The class of each target, (n,), or None if targets are no classes.

    Classes are integers, truth values, floats that are all 0 or 1, strings, or one-hot rows.

    Example:
        >>> class_numbers(np.array([[0, 1], [1, 0]])).tolist(), class_numbers(np.array([0.5, 1]))
        ([1, 0], None)
    """
    if not isinstance(y, np.ndarray) or y.ndim not in (1, 2):
        return None
    is_binary = y.dtype.kind in "fiub" and bool(np.isin(y, (0, 1)).all())
    if y.ndim == 2 and y.shape[1] > 1:
        is_one_hot = is_binary and bool((y.sum(axis=1) == 1).all())
        return y.argmax(axis=1) if is_one_hot else None
    if y.dtype.kind in "iubUSO":
        return y.reshape(-1)
    return y.reshape(-1).astype("int64") if is_binary else None


def _check_restarts(x: Any) -> None:
    """Raises: TypeError or ValueError if a dataset can't be passed through once an epoch."""
    if isinstance(x, Iterator) or not isinstance(x, Iterable):
        raise TypeError(
            "Expected arrays, or a dataset that begins anew in each epoch: tf.data, "
            f"keras.utils.PyDataset or a PyTorch DataLoader. Received: {type(x).__name__}"
        )
    cardinality = getattr(x, "cardinality", None)
    is_endless = cardinality is not None and int(cardinality()) == _INFINITE
    if is_endless or (isinstance(x, keras.utils.PyDataset) and x.num_batches is None):
        raise ValueError(
            "Expected a dataset that ends, as an epoch is a pass through it. Received: "
            f"{type(x).__name__} without an end"
        )


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") or isinstance(x, list | tuple | dict)


def _arrays(data: Any) -> Any:
    """NumPy arrays in the structure that was given; a list of numbers is an array."""
    if isinstance(data, dict):
        return {key: _arrays(value) for key, value in data.items()}
    if isinstance(data, list | tuple) and all(getattr(one, "ndim", 0) for one in data):
        return type(data)(np.asarray(one) for one in data)
    return np.asarray(data)


def _check_finite(name: str, array: np.ndarray) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = tuple(int(number) for number in np.argwhere(~np.isfinite(array))[0])
        count = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"Expected finite numbers. Received: {name} has {count} NaN or infinite, the first "
            f"{name}[{', '.join(map(str, place))}] = {array[place]}"
        )
