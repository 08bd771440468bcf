"""All that is checked and built before members are trained."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_reg import schedules
from keras_reg.regularizers import Penalty
from keras_reg.selection.examples import Batches, Examples, examples_of
from keras_reg.selection.grid import check_strengths, largest_strength
from keras_reg.selection.keeping import Kept, fingerprint
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network
from keras_reg.selection.one_by_one import OneByOne
from keras_reg.selection.progress import progress
from keras_reg.selection.schedule import Batching
from keras_reg.selection.scoring import check_score
from keras_reg.selection.stacked import Stacked, why_not_stacked
from keras_reg.selection.visits import Visit, Walk


@dataclasses.dataclass
class Setting:
    """How members are trained: arguments of `path`, checked.

    Raises: ValueError if one is out of range.
    """

    epochs: int
    further_epochs: int | None
    strengths: Any
    smallest: float
    batch_size: int
    metric: str
    stack: bool | None
    chunk: int | None
    folder: Any
    verbose: bool

    def __post_init__(self) -> None:
        self.epochs = schedules.check_count(self.epochs, "epochs", at_least=1)
        further = max(1, self.epochs // 6) if self.further_epochs is None else self.further_epochs
        self.further_epochs = schedules.check_count(further, "further_epochs", at_least=1)
        self.batch_size = schedules.check_count(self.batch_size, "batch_size", at_least=1)
        if self.chunk is not None:
            schedules.check_count(self.chunk, "chunk", at_least=1)
        self.strengths = check_strengths(self.strengths, self.smallest)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Members, and how they walk along the strengths.

    Args:
        walk: the `Walk`.
        members: the members.
        strengths: (strengths,) float array, from weak to strong.
        kept: `Kept`, or None.
    """

    walk: Walk
    members: tuple[Member, ...]
    strengths: np.ndarray
    kept: Kept | None = None

    def visits(self) -> Iterator[tuple[list[int], Visit]]:
        """The numbers of members that are trained at once, and what is seen of them.

        What is kept from an earlier run is not trained again.
        """
        numbers, size = list(range(len(self.members))), self.walk.trainer.chunk
        chunks = [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]
        for place, chunk in enumerate(chunks):
            seen, states = ([], None) if self.kept is None else self.kept.read(place)
            yield from ((chunk, visit) for visit in seen)
            members = tuple(self.members[number] for number in chunk)
            for visit, now in self.walk.visits(members, self.strengths, len(seen), states):
                if self.kept is not None:
                    self.kept.write(place, visit, now())
                yield chunk, visit


def prepare(
    build: Callable,
    x: Any,
    y: Any,
    penalty: Any,
    setting: Setting,
    seeds: list[int],
    members_of: Callable[[Any], tuple[Member, ...]],
    sample_weight: Any = None,
    class_weight: Any = None,
    held_out: Any = None,
    score: Any = "loss",
    mode: str | None = None,
) -> Prepared:
    """Checks data and penalties, builds the network and finds the strengths.

    Args:
        members_of: a function of the checked examples to the members.
        held_out: examples to score all members on, or None.
    Raises: TypeError or ValueError as `path`.
    """
    examples = examples_of(x, y, sample_weight, class_weight)
    members = members_of(examples)
    network = Network(build, penalty, seeds, _sample(examples), setting.metric)
    scored = _scored(examples, sample_weight)
    checked = check_score(score, mode, _metrics(network, scored))
    batching = _batching(setting.batch_size, members)
    trainer = _trainer(network, examples, batching, members, setting.stack, setting.chunk)
    assert setting.further_epochs is not None
    walk = Walk(
        network,
        trainer,
        scored,
        held_out,
        checked,
        setting.epochs,
        setting.further_epochs,
        any(member.test is not None for member in members),
    )
    kept = None
    if setting.folder is not None:
        kept = Kept(setting.folder, _run(network, walk, members, held_out, setting, penalty))
    strengths = setting.strengths if kept is None or kept.strengths is None else kept.strengths
    if isinstance(strengths, int):
        with progress(1, setting.verbose) as advance:
            advance(0, "largest strength")
            largest = largest_strength(network, trainer, members, walk)
        strengths = np.geomspace(largest * setting.smallest, largest, strengths)
    if kept is not None:
        kept.begin(strengths)
    return Prepared(walk, members, strengths, kept)


def _run(
    network: Network, walk: Walk, members: Any, held_out: Any, setting: Setting, penalty: Any
) -> str:
    """The fingerprint of all that decides the results."""
    arrays = [
        (one.x, one.y, one.weights)
        for one in (walk.trainer.examples, walk.examples, held_out)
        if isinstance(one, Examples)
    ]
    rows = [(str(one), one.train, one.test) for one in members]
    arguments = dataclasses.asdict(setting) | {"folder": None, "verbose": None}
    how = walk.trainer.name, walk.trainer.chunk, walk.score.name, walk.score.mode
    # What a function does, its text does not tell.
    given = "a function" if callable(penalty) and not isinstance(penalty, Penalty) else penalty
    return fingerprint(
        arrays, rows, how, repr(sorted(arguments.items(), key=str)), repr(given), network.starts
    )


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
