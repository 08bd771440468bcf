"""path: a network trained from weak to strong penalties, on folds and from several seeds."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_reg.selection.console import progress
from keras_reg.selection.examples import Batches, examples_of
from keras_reg.selection.members import Member, check_seeds, last_rows, members_of, split
from keras_reg.selection.network import Refit
from keras_reg.selection.preparing import Prepared, Setting, prepare, trained
from keras_reg.selection.result import PathResult
from keras_reg.selection.visits import Visit


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
    warm: bool = True,
    stack: bool | None = None,
    chunk: int | None = None,
    folder: Any = None,
    n_jobs: int | None = None,
    verbose: int = 1,
) -> PathResult:
    """Trains a network along strengths of a penalty and scores it at each.

    It starts dense, at the weakest strength, with `epochs`; each further strength goes on from the
    weights and the optimizer's state of the one before, with `further_epochs`. One member is
    trained on all rows, and one on the training rows of each fold, from each seed. All members make
    the same number of updates. A learning rate schedule runs on over the whole path.

    With `warm=False` each strength starts anew, with all of the `epochs`: what it gives are the
    scores, and so the choice, of so many separate fits, from the same seeds.

    `strengths` are those of the strongest penalty; of several in a dict the others keep their
    ratio to it. Without numbers the largest is that which makes all penalized weights zero: the
    penalty's `max_strength` for a model with one kernel, else found by trials.

    Members are trained at once, their states stacked: on JAX by the model's own `train_step`, on
    TensorFlow and PyTorch by a vectorized gradient where network and optimizer allow it. Else, as
    for datasets, they are trained by `fit`, one after the other; results are the same within
    rounding. `notes["trained"]` of the result says which, and `notes["bytes"]` what the state of a
    member takes.

    Ctrl-C ends it and returns what is done.

    With `n_jobs`, chunks of members are trained side by side in other processes, by joblib: its
    own, or those of Dask or Ray inside of `joblib.parallel_config`. They build the network
    themselves, on this backend and with Keras's settings here; a `folder` has to be theirs too.

    Args:
        build: function without arguments that returns a new compiled `keras.Model` each time. Its
            optimizer is wrapped in `Proximal`.
        x: array, or a list or dict of arrays, with a row for each example; or, without folds, a
            dataset: `tf.data`, `keras.utils.PyDataset` or a PyTorch `DataLoader`.
        y: as `x`; None for a dataset.
        penalty: a penalty or a dict from patterns to penalties, as `Proximal` takes them, or a
            function of the model to these, for `keras_reg.channels(model)` in a dict. Their
            strengths count only relative to each other.
        epochs: int >= 1. At the weakest strength. One epoch is as many updates as a pass over all
            rows.
        further_epochs: int >= 1, or None for a sixth of `epochs`. At each of the other strengths;
            None where `warm` is False.
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
        warm: bool. Whether each further strength goes on from the one before.
        stack: bool or None. Whether members are trained at once; None: where it is possible, but
            for convolutions that XLA compiles for a CPU, which are slower so.
        chunk: int or None. How many members at once; None: what fits into 1 GiB.
        folder: str or path, or None. Where what is trained is kept after each strength: the same
            call goes on from there if it was stopped. Delete it when done.
        n_jobs: int or None, as in scikit-learn. Processes that train members; -1 for one a core.
        verbose: 0 or 1. Whether a bar is shown.

    Returns:
        A `PathResult`.

    Raises:
        TypeError: if `build` returns no model; if `n_jobs` is given what can't be pickled.
        ValueError: if an argument is out of range; if data or penalties do not fit; if `build`
            returns another architecture, or the same model, a second time; if `folder` holds
            another run or a damaged file.
        ImportError: if scikit-learn is needed and missing.
    Warns: if it was interrupted.
    Reference: Friedman, Hastie & Tibshirani, "Regularization Paths for Generalized Linear Models
        via Coordinate Descent", JSS 2010; Lemhadri, Ruan, Abraham & Tibshirani, "LassoNet", JMLR
        2021, for the order; Breiman et al., "Classification and Regression Trees", 1984, for one
        standard error.

    Example:
        >>> import numpy as np
        >>> from keras_reg.regularizers import L1
        >>> def build():
        ...     model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        ...     model.compile(keras.optimizers.SGD(0.1), "mse")
        ...     return model
        >>> x = np.random.default_rng(0).standard_normal((60, 8))
        >>> y = x[:, 0] - x[:, 1]
        >>> settings = {"epochs": 30, "further_epochs": 30, "batch_size": 60, "verbose": 0}
        >>> result = path(build, x, y, L1(), strengths=5, folds=3, **settings)
        >>> result.best.zeros, result.best.inputs_left
        (0.75, 2)
    """
    result, prepared = begin(**locals())
    fill([result], [prepared], bool(verbose))
    return result


def begin(
    build: Callable,
    x: Any,
    y: Any,
    penalty: Any,
    *,
    folds: Any,
    groups: Any,
    stratify: bool | None,
    seeds: Any,
    score: Any,
    mode: str | None,
    sample_weight: Any,
    class_weight: Any,
    validation_data: Any,
    validation_split: float,
    **settings: Any,
) -> tuple[PathResult, Prepared]:
    """Arguments of `path` checked: a result with nothing in it yet, and what will fill it."""
    setting = Setting(**settings)
    seeds, held_out = check_seeds(seeds), _held_out(validation_data)

    def members(examples: Any) -> tuple[Member, ...]:
        return _members(examples, seeds, folds, groups, stratify, validation_data, validation_split)

    prepared = prepare(
        build, x, y, penalty, setting, seeds, members, sample_weight, class_weight, held_out,
        score, mode,
    )  # fmt: skip
    walk, network, members_ = prepared.walk, prepared.walk.network, prepared.recipe.members
    result = PathResult(
        prepared.strengths,
        [member.fold for member in members_],
        [member.seed for member in members_],
        walk.score.name,
        walk.score.mode,
        {
            "trained": walk.trainer.name,
            "bytes": network.bytes,
            "chunk": walk.trainer.chunk,
        },
    )
    result._refit = Refit(network, walk.trainer.examples, setting.batch_size, walk.further_epochs)
    return result, prepared


def fill(results: list[PathResult], prepared: list[Prepared], verbose: bool) -> None:
    """Trains the members, some at once, and puts what is seen into the results."""
    total = sum(result.done.size for result in results)
    # Closed in here, interrupted too: what runs in other processes ends.
    with progress(total, verbose) as advance, contextlib.closing(trained(prepared)) as visits:
        try:
            for number, chunk, visit in visits:
                result = results[number]
                result.add(visit, chunk)
                advance(len(chunk), _state(result, visit))
        except KeyboardInterrupt:
            warnings.warn(
                f"Interrupted after {sum(int(one.done.sum()) for one in results)} of {total} "
                "strengths and members: the result holds what is done.",
                stacklevel=3,
            )


def _state(result: PathResult, visit: Visit) -> str:
    """What the bar says of members at one strength."""
    scores = visit.scores[np.isfinite(visit.scores)]
    scored = f", {result.score_name} {scores.mean():.3g}" if len(scores) else ""
    strength = result.strengths[visit.place]
    return f"strength {strength:.3g}, zeros {visit.zeros[0]:.0%}{scored}"


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


def _held_out(validation_data: Any) -> Any:
    if validation_data is None:
        return None
    if isinstance(validation_data, tuple | list):
        if len(validation_data) not in (2, 3):
            raise ValueError(
                "Expected `validation_data` to be (x, y), (x, y, sample_weight) or a dataset. "
                f"Received: {len(validation_data)} parts"
            )
        return examples_of(*validation_data)
    return examples_of(validation_data, None)
