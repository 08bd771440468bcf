"""stability: paths on halves of the rows, to see which inputs are selected again and again."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_reg import schedules
from keras_reg.selection.console import progress
from keras_reg.selection.examples import Batches, class_numbers
from keras_reg.selection.members import Member
from keras_reg.selection.preparing import Prepared, Setting, prepare, trained
from keras_reg.selection.stability_result import StabilityResult


def stability(
    build: Callable[[], keras.Model],
    x: Any,
    y: Any,
    penalty: Any,
    *,
    epochs: int,
    further_epochs: int | None = None,
    pairs: int = 50,
    strengths: Any = 20,
    smallest: float = 0.05,
    seed: int = 0,
    batch_size: int = 32,
    sample_weight: Any = None,
    class_weight: dict | None = None,
    metric: str = "euclidean",
    warm: bool = True,
    stack: bool | None = None,
    chunk: int | None = None,
    folder: Any = None,
    n_jobs: int | None = None,
    verbose: int = 1,
) -> StabilityResult:
    """Counts on how many halves of the rows each input is selected: stability selection.

    Rows are split into two halves at random, again and again; on each half a path is trained, as
    by `path`, which says what the other arguments mean. Inputs are those of the first penalized
    weight, and one is selected where a weight that reads it is not zero. Halves are trained at once
    where `path` does so.

    Args:
        build: function without arguments that returns a new compiled `keras.Model` each time.
        x: array, or a list or dict of arrays.
        y: as `x`. Of classes each half has the same share.
        penalty: as `Proximal` takes it, such as `GroupLasso(group_axis="inputs")` on the first
            kernel.
        epochs: int >= 1. At the weakest strength. One epoch is a pass over a half.
        further_epochs: int >= 1, or None for a sixth of `epochs`.
        pairs: int >= 1. How often the rows are split.
        strengths: int >= 2, or numbers > 0.
        smallest: float between 0 and 1.
        seed: int. Of the halves, and of the network.
        batch_size: int >= 1.
        sample_weight: (n,) array or None.
        class_weight: dict from class numbers to numbers, or None.
        metric: as `Proximal` takes it.
        warm: bool. As `path` takes it.
        stack: bool or None.
        chunk: int or None.
        folder: str or path, or None.
        n_jobs: int or None.
        verbose: 0 or 1.

    Returns:
        A `StabilityResult`.

    Raises:
        TypeError or ValueError: as `path`; also if the data is a dataset, or no penalized weight
            has inputs.
    Reference: Meinshausen & Buehlmann, "Stability Selection", JRSS-B 2010; Shah & Samworth,
        "Variable Selection with Error Control: Another Look at Stability Selection", JRSS-B 2013,
        for the pairs.

    Example:
        >>> from keras_reg.regularizers import L1
        >>> def build():
        ...     model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        ...     model.compile(keras.optimizers.SGD(0.1), "mse")
        ...     return model
        >>> x = np.random.default_rng(0).standard_normal((80, 8))
        >>> y = x[:, 0] - x[:, 1]
        >>> settings = {"epochs": 20, "pairs": 4, "batch_size": 40, "verbose": 0}
        >>> stability(build, x, y, L1(), strengths=[0.2, 0.5, 1.0], **settings).selected().tolist()
        [0, 1]
    """
    pairs = schedules.check_count(pairs, "pairs", at_least=1)
    seed = schedules.check_count(seed, "seed", at_least=0)
    setting = Setting(
        epochs, further_epochs, strengths, smallest, batch_size, metric, warm, stack, chunk,
        folder, n_jobs, verbose,
    )  # fmt: skip

    def halves(examples: Any) -> tuple[Member, ...]:
        if isinstance(examples, Batches) or len(examples) < 4:
            raise ValueError("Expected arrays of 4 rows or more, to split them into halves")
        return _halves(len(examples), class_numbers(examples.y), pairs, seed)

    prepared = prepare(build, x, y, penalty, setting, [seed], halves, sample_weight, class_weight)
    if prepared.walk.network.inputs_axes() is None:
        raise ValueError("Expected a penalized weight that has inputs. Received: none")
    return StabilityResult(prepared.strengths, _entries(prepared, bool(verbose)))


def _entries(prepared: Prepared, verbose: bool) -> np.ndarray:
    """Trains all halves: the number of the strongest strength that selects each input, or -1."""
    grid, count = prepared.strengths, len(prepared.recipe.members)
    entry = np.full((count, 0), -1)
    with progress(count * len(grid), verbose) as advance:
        for _, numbers, visit in trained([prepared]):
            if not entry.shape[1]:
                entry = np.full((count, visit.norms.shape[1]), -1)
            # Strengths rise: the last one at which an input is selected is the strongest.
            entry[numbers] = np.where(visit.norms != 0, visit.place, entry[numbers])
            advance(len(numbers), f"strength {grid[visit.place]:.3g}")
    return entry


def _halves(rows: int, classes: Any, pairs: int, seed: int) -> tuple[Member, ...]:
    """Members on complementary halves, all of the same size; one row more may be left out."""
    random = np.random.default_rng(seed)
    members = []
    for pair in range(pairs):
        order = random.permutation(rows)
        if classes is not None:
            # Rows of one class lie side by side, and every other row goes into one half.
            order = order[np.argsort(classes[order], kind="stable")]
        for half in (0, 1):
            train = np.sort(order[half::2][: rows // 2])
            members.append(Member(2 * pair + half, seed, train))
    return tuple(members)
