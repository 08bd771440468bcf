"""All that is checked and built before members are trained."""

import dataclasses
import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_reg import schedules
from keras_reg.regularizers import Penalty
from keras_reg.selection.console import progress
from keras_reg.selection.examples import Batches, Examples, check_targets, examples_of
from keras_reg.selection.grid import check_strengths, largest_strength
from keras_reg.selection.keeping import Kept, description, fingerprint
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network
from keras_reg.selection.parallel import in_parallel, processes
from keras_reg.selection.scoring import check_score
from keras_reg.selection.trainers import trainer_of
from keras_reg.selection.visits import Visit, Walk


@dataclasses.dataclass
class Setting:
    """How members are trained: arguments of `path`, checked.

    Attributes:
        jobs: int. The number of processes that `n_jobs` stands for.

    Raises: ValueError if one is out of range.
    """

    epochs: int
    further_epochs: int | None
    strengths: Any
    smallest: float
    batch_size: int
    metric: str
    warm: bool
    stack: bool | None
    chunk: int | None
    folder: Any
    n_jobs: int | None
    verbose: int

    def __post_init__(self) -> None:
        self.epochs = schedules.check_count(self.epochs, "epochs", at_least=1)
        self.further_epochs = self._further()
        self.batch_size = schedules.check_count(self.batch_size, "batch_size", at_least=1)
        if self.stack not in (None, True, False):
            raise ValueError(f"Expected `stack` to be a bool or None. Received: {self.stack!r}")
        if self.chunk is not None:
            schedules.check_count(self.chunk, "chunk", at_least=1)
        self.strengths = check_strengths(self.strengths, self.smallest)
        self.jobs = processes(self.n_jobs)

    def _further(self) -> int:
        if not isinstance(self.warm, bool):
            raise ValueError(f"Expected `warm` to be a bool. Received: warm={self.warm!r}")
        if self.further_epochs is None:
            return max(1, self.epochs // 6) if self.warm else self.epochs
        if not self.warm:
            raise ValueError(
                "Expected `further_epochs` beside warm=True alone: without, each strength has "
                f"`epochs`. Received: further_epochs={self.further_epochs}"
            )
        return schedules.check_count(self.further_epochs, "further_epochs", at_least=1)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides what members become, from which any process builds the same `Walk`.

    Args:
        build: as `path` takes it.
        penalty: as `path` takes it.
        setting: the `Setting`.
        seeds: list of ints.
        examples: to train on.
        scored: the same with the weights that scores take.
        held_out: examples to score all members on, or None.
        members: the members.
        score: as `path` takes it.
        mode: as `path` takes it.
    """

    build: Callable
    penalty: Any
    setting: Setting
    seeds: list[int]
    examples: Any
    scored: Any
    held_out: Any
    members: tuple[Member, ...]
    score: Any
    mode: str | None

    def walk(self) -> Walk:
        """The walk of a network that is built here."""
        setting, members = self.setting, self.members
        sample = _sample(self.examples)
        network = Network(self.build, self.penalty, self.seeds, sample, setting.metric)
        score = check_score(self.score, self.mode, _metrics(network, self.scored))
        on = self.scored if self.held_out is None else self.held_out
        if score.function is not None and isinstance(on, Batches):
            raise ValueError(
                f"Expected arrays to score on by {score.name!r}, or one of the model's own metrics "
                f"as `score`. Received: {type(on.x).__name__}"
            )
        assert setting.further_epochs is not None
        return Walk(
            network,
            trainer_of(network, self.examples, members, setting),
            self.scored,
            self.held_out,
            score,
            setting.epochs,
            setting.further_epochs,
            setting.warm,
            any(member.test is not None for member in members),
        )


class Prepared:
    """Members, and how they walk along the strengths.

    It pickles as its recipe and the states to start from: another process builds a network of its
    own, and there a thread may draw from the random numbers that initial weights come from.

    Args:
        recipe: the `Recipe`.

    Attributes:
        walk: the `Walk`.
        strengths: (strengths,) float array, from weak to strong.
        kept: `Kept`, or None.
    """

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.kept: Kept | None = None
        self._starts: dict | None = None
        if recipe.setting.folder is not None:
            self.kept = Kept(recipe.setting.folder, _run(recipe, self.walk))
        self.strengths = self._strengths()
        if self.kept is not None:
            self.kept.begin(self.strengths)

    @functools.cached_property
    def walk(self) -> Walk:
        walk = self.recipe.walk()
        walk.network.starts = self._starts or walk.network.starts
        return walk

    def __getstate__(self) -> dict[str, Any]:
        sent = {name: value for name, value in self.__dict__.items() if name != "walk"}
        return sent | {"_starts": self.walk.network.starts}

    @property
    def chunks(self) -> list[list[int]]:
        """The numbers of the members that are trained at once."""
        numbers, size = list(range(len(self.recipe.members))), self.walk.trainer.chunk
        return [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]

    def visits(self, place: int) -> Iterator[Visit]:
        """Trains a chunk of members and yields what is seen of them.

        What is kept from an earlier run is not trained again.

        Args:
            place: int. The number of the chunk.
        """
        seen, states = ([], None) if self.kept is None else self.kept.read(place)
        yield from seen
        members = tuple(self.recipe.members[number] for number in self.chunks[place])
        for visit, now in self.walk.visits(members, self.strengths, len(seen), states):
            if self.kept is not None:
                self.kept.write(place, visit, now())
            yield visit

    def _strengths(self) -> np.ndarray:
        setting = self.recipe.setting
        if self.kept is not None and self.kept.strengths is not None:
            return self.kept.strengths
        if not isinstance(setting.strengths, int):
            return setting.strengths
        with progress(1, bool(setting.verbose)) as advance:
            advance(0, "largest strength")
            walk = self.walk
            largest = largest_strength(walk.network, walk.trainer, self.recipe.members, walk)
        return np.geomspace(largest * setting.smallest, largest, setting.strengths)


def trained(prepared: list[Prepared]) -> Generator[tuple[int, list[int], Visit]]:
    """Trains all members, of which some at once, in so many processes as the setting says.

    Closed before its end, it ends what other processes do.

    Yields: the number of the prepared, the numbers of the members, and what is seen of them.
    """
    tasks = [
        (number, place) for number, one in enumerate(prepared) for place in range(len(one.chunks))
    ]
    setting = prepared[0].recipe.setting
    done: Iterable[tuple[tuple[int, int], Iterable[Visit]]]
    if setting.jobs == 1:
        done = ((task, prepared[task[0]].visits(task[1])) for task in tasks)
    else:
        done = in_parallel(prepared, tasks, setting.n_jobs)
    for (number, place), visits in done:
        for visit in visits:
            yield number, prepared[number].chunks[place], visit


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
    if isinstance(examples, Examples):
        check_targets(examples)
    members, scored = members_of(examples), _scored(examples, sample_weight)
    return Prepared(
        Recipe(build, penalty, setting, seeds, examples, scored, held_out, members, score, mode)
    )


def _run(recipe: Recipe, walk: Walk) -> str:
    """The fingerprint of all that decides the results."""
    arrays = [
        (one.x, one.y, one.weights)
        for one in (recipe.examples, recipe.scored, recipe.held_out)
        if isinstance(one, Examples)
    ]
    rows = [(str(one), one.train, one.test) for one in recipe.members]
    fields = dataclasses.asdict(recipe.setting)
    arguments = fields | {"folder": None, "verbose": None, "n_jobs": None}
    how = walk.trainer.name, walk.trainer.chunk, walk.score.name, walk.score.mode
    network = walk.network
    # What a function does, its text does not tell.
    is_function = callable(recipe.penalty) and not isinstance(recipe.penalty, Penalty)
    given = "a function" if is_function else recipe.penalty
    texts = repr(sorted(arguments.items(), key=str)), repr(given)
    return fingerprint(arrays, rows, how, texts, description(network.model), network.starts)


def _sample(examples: Any) -> Any:
    """A few inputs."""
    if isinstance(examples, Batches):
        batch = next(iter(examples.x))
        x = batch[0] if isinstance(batch, tuple | list) else batch
        return keras.tree.map_structure(
            lambda one: one if keras.ops.is_tensor(one) else np.asarray(one), x
        )
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
        # Keras takes what `test_on_batch` does not, such as PyTorch's tensors on JAX.
        logs = model.evaluate(examples.x, steps=1, verbose=0, return_dict=True)
    else:
        part = examples.take(slice(0, 2))
        logs = model.test_on_batch(part.x, part.y, part.weights, return_dict=True)
    model.reset_metrics()
    return list(logs)
