"""Members of a path: what is trained at every strength, each on its own rows from its own seed."""

import dataclasses
import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_reg import schedules
from keras_reg.selection.examples import Examples, class_numbers

Splits = list[tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Member:
    """One network of a path.

    Args:
        fold: int, or None for all rows.
        seed: int. Of its initial weights, dropout and shuffling.
        train: (n,) int array, or None for a dataset. The rows that it is trained on.
        test: (n,) int array, or None. The rows that it is scored on.
    """

    fold: int | None
    seed: int
    train: np.ndarray | None = None
    test: np.ndarray | None = None

    def __str__(self) -> str:
        return ("all rows" if self.fold is None else f"fold {self.fold}") + f", seed {self.seed}"


def members_of(splits: Splits, seeds: list[int], rows: int | None) -> tuple[Member, ...]:
    """The members: one on all rows, which comes first, and one for each split and seed.

    Example:
        >>> splits = [(np.array([0, 1]), np.array([2]))]
        >>> [str(member) for member in members_of(splits, [0, 1], rows=3)]
        ['all rows, seed 0', 'fold 0, seed 0', 'fold 0, seed 1']
    """
    every = None if rows is None else np.arange(rows)
    whole = [Member(None, seed, every) for seed in (seeds[:1] if splits else seeds)]
    parts = [
        Member(fold, seed, train, test)
        for seed in seeds
        for fold, (train, test) in enumerate(splits)
    ]
    return (*whole, *parts)


def check_seeds(seeds: int | Iterable[int]) -> list[int]:
    """A list of different seeds: the first `seeds` from 0, or those that are given.

    Raises: ValueError if there are none, two are equal or one is no int >= 0.

    Example:
        >>> check_seeds(2), check_seeds([7, 3])
        ([0, 1], [7, 3])
    """
    if isinstance(seeds, Iterable):
        found = [schedules.check_count(seed, "seeds", at_least=0) for seed in seeds]
    else:
        found = list(range(schedules.check_count(seeds, "seeds", at_least=1)))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"Expected different seeds, at least one. Received: seeds={seeds!r}")
    return found


def split(
    examples: Examples, folds: Any, groups: Any = None, stratify: bool | None = None
) -> Splits:
    """The rows to train and to test on of each fold.

    Args:
        examples: the data.
        folds: int >= 2, a splitter of scikit-learn, or a list of pairs of row numbers.
        groups: (n,) array or None. Rows of one group are never on both sides.
        stratify: bool or None. Whether each fold has the shares of the classes that all rows have;
            None: where targets are classes.
    Raises: ValueError if a fold would be empty or classes are fewer than folds.

    Example:
        >>> data = Examples(np.eye(4), np.array([0, 0, 1, 1]))
        >>> [sorted(data.y[test].tolist()) for _, test in split(data, 2)]
        [[0, 1], [0, 1]]
    """
    if isinstance(folds, list | tuple):
        if groups is not None or stratify is not None:
            raise ValueError(
                "Expected pairs of row numbers alone. Received: `groups` or `stratify` beside them"
            )
        return _checked([(np.asarray(a), np.asarray(b)) for a, b in folds], len(examples))
    classes = class_numbers(examples.y)
    if isinstance(folds, int | np.integer):
        folds = _splitter(int(folds), examples, classes, groups, stratify)
    elif not hasattr(folds, "split") or stratify is not None:
        raise ValueError(
            "Expected `folds` to be an int, a splitter of scikit-learn or a list of pairs of row "
            f"numbers, and `stratify` beside an int alone. Received: folds={folds!r}, "
            f"stratify={stratify}"
        )
    targets = np.zeros(len(examples)) if classes is None else classes
    return _checked(list(folds.split(np.zeros((len(examples), 1)), targets, groups)), len(examples))


def last_rows(examples: Examples, share: float) -> Splits:
    """One split, whose test rows are the last, as Keras's `validation_split`.

    Example:
        >>> ((train, test),) = last_rows(Examples(np.ones(4), np.ones(4)), 0.25)
        >>> train.tolist(), test.tolist()
        ([0, 1, 2], [3])
    """
    schedules.check_number(share, "validation_split", at_least=0, at_most=1)
    at = int(len(examples) * (1 - share))
    rows = np.arange(len(examples))
    return _checked([(rows[:at], rows[at:])], len(examples))


def _splitter(
    folds: int, examples: Examples, classes: Any, groups: Any, stratify: bool | None
) -> Any:
    selection = sklearn_part("model_selection")
    if folds < 2 or folds > len(examples):
        raise ValueError(
            f"Expected `folds` from 2 to {len(examples)}, the number of rows. Received: {folds}"
        )
    if stratify and classes is None:
        raise ValueError("Expected targets to be classes. Received: stratify=True, y has none")
    stratified = classes is not None if stratify is None else stratify
    if stratified:
        names, counts = np.unique(classes, return_counts=True)
        if counts.min() < folds:
            raise ValueError(
                f"Expected every class to have at least folds={folds} rows. Received: class "
                f"{names[counts.argmin()]} has {counts.min()}. Use fewer folds, or stratify=False "
                "if the targets are numbers"
            )
    if groups is not None:
        return (selection.StratifiedGroupKFold if stratified else selection.GroupKFold)(folds)
    kind = selection.StratifiedKFold if stratified else selection.KFold
    return kind(folds, shuffle=True, random_state=0)


def _checked(splits: Splits, rows: int) -> Splits:
    for number, (train, test) in enumerate(splits):
        if not len(train) or not len(test):
            raise ValueError(f"Expected rows on both sides of a split. Received: fold {number}")
        used = np.concatenate([train, test])
        if used.dtype.kind not in "iu" or used.min() < 0 or used.max() >= rows:
            raise ValueError(
                f"Expected row numbers from 0 to {rows - 1}. Received: fold {number} has others"
            )
        if np.intersect1d(train, test).size:
            raise ValueError(
                f"Expected no row on both sides of a split. Received: fold {number} has "
                f"{np.intersect1d(train, test).size}"
            )
    return splits


def sklearn_part(name: str) -> Any:
    """A module of scikit-learn.

    Raises: ImportError that says how to install it.

    Example:
        >>> sklearn_part("model_selection").__name__
        'sklearn.model_selection'
    """
    try:
        return importlib.import_module(f"sklearn.{name}")
    except ImportError as error:
        raise ImportError(
            "keras_reg.selection needs scikit-learn for this: `pip install 'keras-reg[selection]'`"
        ) from error
