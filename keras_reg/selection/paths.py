"""path: a network trained from weak to strong penalties, on folds and from several seeds."""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_reg import schedules
from keras_reg.selection.examples import Batches, Examples, examples_of
from keras_reg.selection.grid import check_strengths, largest_strength
from keras_reg.selection.members import Member, check_seeds, last_rows, members_of, split
from keras_reg.selection.network import Network
from keras_reg.selection.one_by_one import OneByOne
from keras_reg.selection.progress import progress
from keras_reg.selection.refit import Refit
from keras_reg.selection.result import PathResult
from keras_reg.selection.schedule import Batching
from keras_reg.selection.scoring import check_score
from keras_reg.selection.stacked import Stacked, state_bytes, why_not_stacked
from keras_reg.selection.visits import Walk


def path(
    build: Callable[[], keras.Model],
    x: Any,
    y: Any = None,
    penalty: Any = None,
    *,
    epochs: int,
    further_epochs: int | None = None,
    strengths: Any = 20,
    smallest: float = 1e-3,
    folds: Any = None,
    groups: Any = None,
    stratify: bool | None = None,
    seeds: Any = 1,
    score: Any = "loss",
    mode: str | None = None,
    batch_size: int = 32,
    sample_weight: Any = None,
    class_weight: dict | None = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    metric: str = "euclidean",
    stack: bool | None = None,
    chunk: int | None = None,
    verbose: int = 1,
) -> PathResult:
    """Trains a network along strengths of a penalty and scores it at each.

    It starts dense, at the weakest strength, with `epochs`; each further strength goes on from the
    weights and the optimizer's state of the one before, with `further_epochs`. One member is
    trained on all rows, and one on the training rows of each fold, from each seed. All members make
    the same number of updates. A learning rate schedule runs on over the whole path.

    `strengths` are those of the strongest penalty; of several in a dict the others keep their
    ratio to it. Without numbers the largest is that which makes all penalized weights zero: the
    penalty's `max_strength` for a model with one kernel, else found by trials.

    On JAX all members are trained at once, by the model's own `train_step` with their states
    stacked. Elsewhere, and for datasets, they are trained by `fit`, one after the other; results
    are the same within rounding. A member's state takes `notes["bytes"]` of the result.

    Ctrl-C ends it and returns what is done.

    Args:
        build: function without arguments that returns a new compiled `keras.Model` each time. Its
            optimizer is wrapped in `Proximal`.
        x: array, or a list or dict of arrays, with a row for each example; or, without folds, a
            dataset: `tf.data`, `keras.utils.PyDataset` or a PyTorch `DataLoader`.
        y: as `x`; None for a dataset.
        penalty: a penalty or a dict from patterns to penalties, as `Proximal` takes them. Their
            strengths count only relative to each other.
        epochs: int >= 1. At the weakest strength. One epoch is as many updates as a pass over all
            rows.
        further_epochs: int >= 1, or None for a sixth of `epochs`. At each of the other strengths.
        strengths: int >= 2, or numbers > 0.
        smallest: float between 0 and 1. The smallest strength as a share of the largest, where
            `strengths` is an int.
        folds: None, int >= 2, a splitter of scikit-learn, or pairs of row numbers. An int shuffles.
        groups: (n,) array or None. Rows of one group are in one fold.
        stratify: bool or None. Whether folds have the shares of classes of all rows; None: if
            targets are classes.
        seeds: int >= 1 or ints. Seeds of initial weights, dropout and shuffling.
        score: "loss" or another of the model's metrics, the name of a scorer of scikit-learn or
            such a scorer, or a function of (targets, outputs).
        mode: "min", "max" or None: what is better, where the name of the score does not tell.
        batch_size: int >= 1. As large as the data, each update takes all rows.
        sample_weight: (n,) array or None.
        class_weight: dict from class numbers to numbers, or None. For training alone.
        validation_data: (x, y), (x, y, sample_weight) or a dataset, or None.
        validation_split: float. The share of the rows, at their end, to score on.
        metric: as `Proximal` takes it.
        stack: bool or None. Whether members are trained at once; None: where it is possible.
        chunk: int or None. How many members at once; None: what fits into 1 GiB.
        verbose: 0 or 1. Whether a bar is shown.

    Returns:
        A `PathResult`.

    Raises:
        TypeError: if `build` returns no model.
        ValueError: if an argument is out of range; if data or penalties do not fit; if `build`
            returns another architecture, or the same model, a second time.
        ImportError: if scikit-learn is needed and missing.
    Warns: if it was interrupted.
    Reference: Friedman, Hastie & Tibshirani, "Regularization Paths for Generalized Linear Models
        via Coordinate Descent", JSS 2010; Lemhadri, Ruan, Abraham & Tibshirani, "LassoNet", JMLR
        2021, for the order; Breiman et al., "Classification and Regression Trees", 1984, for one
        standard error.

    Example:
        >>> from keras_reg.regularizers import L1
        >>> def build():
        ...     model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        ...     model.compile(keras.optimizers.SGD(0.1), "mse")
        ...     return model
        >>> x = np.random.default_rng(0).standard_normal((60, 8))
        >>> y = x[:, 0] - x[:, 1]
        >>> settings = {"epochs": 30, "further_epochs": 30, "batch_size": 60, "verbose": 0}
        >>> result = path(build, x, y, L1(), strengths=5, folds=3, **settings)
        >>> result.rows[-1].zeros, result.best.inputs_left
        (1.0, 2)
    """
    epochs = schedules.check_count(epochs, "epochs", at_least=1)
    further = max(1, epochs // 6) if further_epochs is None else further_epochs
    further = schedules.check_count(further, "further_epochs", at_least=1)
    batch_size = schedules.check_count(batch_size, "batch_size", at_least=1)
    if chunk is not None:
        schedules.check_count(chunk, "chunk", at_least=1)
    grid, seeds = check_strengths(strengths, smallest), check_seeds(seeds)
    examples = examples_of(x, y, sample_weight, class_weight)
    members = _members(examples, seeds, folds, groups, stratify, validation_data, validation_split)
    network = Network(build, penalty, seeds, _sample(examples), metric)
    scored, held_out = _scored(examples, sample_weight), _held_out(validation_data)
    checked = check_score(score, mode, _metrics(network, scored))
    batching = _batching(batch_size, members)
    trainer = _trainer(network, examples, batching, members, stack, chunk)
    has_folds = any(member.test is not None for member in members)
    walk = Walk(network, trainer, scored, held_out, checked, epochs, further, has_folds)
    with progress(1, bool(verbose)) as advance:
        if isinstance(grid, int):
            advance(0, "largest strength")
            largest = largest_strength(network, trainer, members, walk)
            grid = np.geomspace(largest * smallest, largest, grid)
    result = PathResult(
        grid,
        [member.fold for member in members],
        [member.seed for member in members],
        checked.name,
        checked.mode,
        {"trained": trainer.name, "bytes": state_bytes(network), "chunk": trainer.chunk},
    )
    result._refit = Refit(network, examples, batch_size, further)
    _fill(result, walk, members, bool(verbose))
    return result


def _fill(result: PathResult, walk: Walk, members: tuple[Member, ...], verbose: bool) -> None:
    """Trains the members, some at once, and puts what is seen into the result."""
    numbers = list(range(len(members)))
    size = walk.trainer.chunk
    chunks = [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]
    with progress(len(members) * len(result.strengths), verbose) as advance:
        try:
            for chunk in chunks:
                mine = tuple(members[number] for number in chunk)
                for visit, _ in walk.visits(mine, result.strengths):
                    result.add(visit, chunk)
                    strength = result.strengths[visit.place]
                    advance(len(chunk), f"strength {strength:.3g}, zeros {visit.zeros[0]:.0%}")
        except KeyboardInterrupt:
            warnings.warn(
                f"Interrupted after {int(result.done.sum())} of {result.done.size} strengths and "
                "members: the result holds what is done.",
                stacklevel=3,
            )


def _members(
    examples: Any,
    seeds: list[int],
    folds: Any,
    groups: Any,
    stratify: bool | None,
    validation_data: Any,
    validation_split: float,
) -> tuple[Member, ...]:
    ways = {
        "folds": folds is not None,
        "validation_data": validation_data is not None,
        "validation_split": bool(validation_split),
    }
    if sum(ways.values()) > 1:
        raise ValueError(f"Expected one way to hold rows out. Received: {ways}")
    if folds is None and (groups is not None or stratify is not None):
        raise ValueError("Expected `folds` beside `groups` and `stratify`. Received: folds=None")
    if isinstance(examples, Batches):
        if folds is not None or validation_split:
            raise ValueError(
                "Expected arrays where rows are held out by `folds` or `validation_split`. "
                f"Received: {type(examples.x).__name__}"
            )
        return members_of([], seeds, None)
    splits = []
    if folds is not None:
        splits = split(examples, folds, groups, stratify)
    elif validation_split:
        splits = last_rows(examples, validation_split)
    return members_of(splits, seeds, len(examples))


def _sample(examples: Any) -> Any:
    """A few inputs."""
    if isinstance(examples, Batches):
        batch = next(iter(examples.x))
        return batch[0] if isinstance(batch, tuple | list) else batch
    return examples.take(slice(0, 1)).x


def _scored(examples: Any, sample_weight: Any) -> Any:
    """The examples with the weights that scores take: not those of classes."""
    if isinstance(examples, Batches):
        return examples
    weights = None if sample_weight is None else np.asarray(sample_weight, "float32")
    return Examples(examples.x, examples.y, weights)


def _held_out(validation_data: Any) -> Any:
    if validation_data is None:
        return None
    if isinstance(validation_data, tuple | list):
        return examples_of(*validation_data)
    return Batches(validation_data)


def _metrics(network: Network, examples: Any) -> list[str]:
    """The names of the model's own metrics. Scoring some rows also makes their variables."""
    model = network.model
    if isinstance(examples, Batches):
        batch = next(iter(examples.x))
        logs = model.test_on_batch(*batch, return_dict=True)
    else:
        part = examples.take(slice(0, 2))
        logs = model.test_on_batch(part.x, part.y, part.weights, return_dict=True)
    model.reset_metrics()
    return list(logs)


def _batching(batch_size: int, members: tuple[Member, ...]) -> Batching | None:
    lengths = [len(member.train) for member in members if member.train is not None]
    return Batching(batch_size, max(lengths)) if lengths else None


def _trainer(
    network: Network,
    examples: Any,
    batching: Batching | None,
    members: tuple[Member, ...],
    stack: bool | None,
    chunk: int | None,
) -> OneByOne | Stacked:
    reason = why_not_stacked(network, examples, batching, members)
    if stack and reason:
        raise ValueError(f"Expected members that can be trained at once: {reason}")
    if reason or stack is False or batching is None:
        return OneByOne(network, examples, batching, chunk)
    return Stacked(network, examples, batching, chunk)
