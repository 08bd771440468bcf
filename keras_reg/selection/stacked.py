"""Training all members at once on JAX: their states stacked, one vectorized step for all."""

from collections import defaultdict
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reg.keras_private import layers_in
from keras_reg.ops.updates import can_stack, stacked, stacked_steps
from keras_reg.selection.examples import Examples
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network, State
from keras_reg.selection.one_by_one import SCORED_AT_ONCE
from keras_reg.selection.schedule import Batching
from keras_reg.selection.scoring import Score

# Bytes of the states that are trained at once, where `chunk` is not given.
_BYTES_AT_ONCE = 2**30
_MEAN = "sum_over_batch_size"


class Stacked:
    """Trains and scores members by the model's own `train_step` and `test_step`, vectorized.

    The data is there once; each member reads the rows of its own batches. Methods are those of
    `OneByOne`.

    Args:
        network: the network.
        examples: `Examples` to train on.
        batching: `Batching`.
        chunk: int or None. Members trained at once: None for as many as fit into 1 GiB with their
            optimizer's state.
    """

    name = "stacked"

    def __init__(
        self, network: Network, examples: Examples, batching: Batching, chunk: int | None = None
    ):
        self.network, self.examples, self.batching = network, examples, batching
        self.bytes = state_bytes(network)
        self.chunk = chunk or max(1, _BYTES_AT_ONCE // max(1, self.bytes))
        self._steps, self._test = stacked_steps(self._train_step), stacked(self._test_step)
        self._predict = stacked(self._predict_step)
        self._shared: dict[int, Any] = {}
        self._place = next(
            place
            for place, variable in enumerate(network.optimizer.variables)
            if variable is network.proximal.strength_scale
        )

    def start(self, members: tuple[Member, ...]) -> State:
        """As `OneByOne.start`."""
        return self.restore([self.network.starts[member.seed] for member in members])

    def train(
        self,
        states: State,
        members: tuple[Member, ...],
        strengths: list[float],
        epochs: int,
        visit: int,
    ) -> State:
        """As `OneByOne.train`."""
        steps, block = self.batching.steps(epochs), self.batching.block(len(members))
        rows, factors = self._rows(members, steps, visit)
        optimizer = list(states.optimizer)
        scales = [self.network.scale(strength) for strength in strengths]
        optimizer[self._place] = ops.convert_to_tensor(scales, "float32")
        states = State(states.trainable, states.non_trainable, optimizer)
        for begin in range(0, steps, block):
            part = rows[begin : begin + block]
            own = np.zeros((block, *rows.shape[1:]), "int32")
            own[: len(part)] = part
            weights = None if factors is None else np.broadcast_to(factors, own.shape)
            states = self._steps(states, len(part), (own, weights), self._data(self.examples))
        return states

    def states(self, states: State) -> list[State]:
        """As `OneByOne.states`."""
        parts = [[ops.convert_to_numpy(one) for one in part] for part in states]
        count = len(parts[2][self._place])
        return [State(*([one[k] for one in part] for part in parts)) for k in range(count)]

    def restore(self, states: list[State]) -> State:
        """As `OneByOne.restore`."""
        columns = [zip(*(state[part] for state in states), strict=True) for part in range(3)]
        return State(
            *([ops.convert_to_tensor(np.stack(column)) for column in part] for part in columns)
        )

    def score(
        self, states: State, examples: Examples, rows: list[Any], score: Score
    ) -> list[float]:
        """As `OneByOne.score`."""
        groups, every = defaultdict(list), np.arange(len(examples))
        for place, one in enumerate(rows):
            if one is not None:
                groups[len(every[one])].append(place)
        found = [float("nan")] * len(rows)
        for places in groups.values():
            part = keras.tree.map_structure(lambda x: ops.take(x, places, axis=0), states)  # noqa: B023
            own = np.stack([every[rows[place]] for place in places]).astype("int32")
            scores = self._scores(part, examples, own, score)
            for place, value in zip(places, scores, strict=True):
                found[place] = float(value)
        return found

    def _rows(
        self, members: tuple[Member, ...], steps: int, visit: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows of every update, (steps, members, rows), and factors of their weights.

        Members that are trained on all of their rows at once and have different numbers of them are
        filled up with a row whose weight is 0.
        """
        each = [self.batching.rows(member, steps, visit) for member in members]
        widths = [rows.shape[1] for rows in each]
        if len(set(widths)) == 1:
            return np.stack(each, axis=1), None
        widest = max(widths)
        padded = [np.pad(rows, ((0, 0), (0, widest - rows.shape[1])), mode="edge") for rows in each]
        factors = np.zeros((len(members), widest), "float32")
        for place, width in enumerate(widths):
            factors[place, :width] = widest / width
        return np.stack(padded, axis=1), factors

    def _scores(self, states: State, examples: Examples, own: np.ndarray, score: Score) -> Any:
        parts = [
            own[:, begin : begin + SCORED_AT_ONCE]
            for begin in range(0, own.shape[1], SCORED_AT_ONCE)
        ]
        data = self._data(examples)
        if score.function is not None:
            outputs = [self._predict(states, part, data) for part in parts]
            whole = keras.tree.map_structure(
                lambda *ys: np.concatenate([ops.convert_to_numpy(y) for y in ys], 1), *outputs
            )
            return [self._by_function(score, examples, whole, own, k) for k in range(len(own))]
        self.network.model.reset_metrics()
        metrics = [
            ops.repeat(ops.convert_to_tensor(v)[None], len(own), axis=0)
            for v in self.network.model.metrics_variables
        ]
        for part in parts:
            logs, metrics = self._test((states, metrics), part, data)
        return ops.convert_to_numpy(logs[score.name])

    def _by_function(
        self, score: Score, examples: Examples, outputs: Any, own: np.ndarray, member: int
    ) -> float:
        mine = keras.tree.map_structure(lambda y: y[member], outputs)
        if not all(np.isfinite(one).all() for one in keras.tree.flatten(mine)):
            return float("nan")
        part = examples.take(own[member])
        assert score.function is not None
        return score.function(part.y, mine, part.weights)

    def _data(self, examples: Examples) -> Any:
        """The arrays of some examples on the device, put there once."""
        if id(examples) not in self._shared:
            arrays = (examples.x, examples.y, examples.weights)
            self._shared[id(examples)] = keras.tree.map_structure(
                lambda array: None if array is None else ops.convert_to_tensor(array), arrays
            )
        return self._shared[id(examples)]

    def _train_step(self, state: State, own: Any, data: Any) -> State:
        rows, factors = own
        x, y, weights = keras.tree.map_structure(lambda a: None if a is None else a[rows], data)
        if factors is not None:
            weights = factors if weights is None else weights * factors
        metrics = [ops.convert_to_tensor(v) for v in self.network.model.metrics_variables]
        _, (trainable, others, optimizer, _) = self.network.model.train_step(
            (state.trainable, state.non_trainable, state.optimizer, metrics), (x, y, weights)
        )
        return State(list(trainable), list(others), list(optimizer))

    def _test_step(self, state: Any, rows: Any, data: Any) -> Any:
        (weights, metrics), part = (
            state,
            keras.tree.map_structure(lambda a: None if a is None else a[rows], data),
        )
        logs, (_, _, metrics) = self.network.model.test_step(
            (weights.trainable, weights.non_trainable, metrics), part
        )
        return logs, metrics

    def _predict_step(self, state: State, rows: Any, data: Any) -> Any:
        x = keras.tree.map_structure(lambda a: a[rows], data[0])
        return self.network.model.predict_step((state.trainable, state.non_trainable), (x,))[0]


def state_bytes(network: Network) -> int:
    """Bytes of the state of a member: weights, what the optimizer keeps of them, counters."""
    return sum(value.nbytes for part in network.state() for value in part)


def why_not_stacked(
    network: Network, examples: Any, batching: Batching | None, members: tuple[Member, ...]
) -> str | None:
    """Why members cannot be trained at once, or None if they can."""
    model = network.model
    if not can_stack():
        return f"JAX is needed. Received: the {keras.backend.backend()} backend"
    if not isinstance(examples, Examples) or batching is None:
        return "arrays are needed. Received: a dataset"
    if model.run_eagerly:
        return "a compiled step is needed. Received: run_eagerly=True"
    if getattr(network.proximal.inner_optimizer, "use_ema", False):
        return "`fit` puts averages in place of weights at its end. Received: use_ema=True"
    lengths = {len(member.train) for member in members if member.train is not None}
    if batching.is_full and len(lengths) > 1 and not _takes_padding(model):
        return (
            "batches of all rows have to be equally long where the loss is no mean over the batch "
            f"or there is batch normalization. Received: training sets of {sorted(lengths)} rows"
        )
    return None


def _takes_padding(model: keras.Model) -> bool:
    """Whether rows with a weight of 0 change nothing, and others can make up for them."""
    losses = keras.tree.flatten(model.loss)
    means = all(getattr(one, "reduction", _MEAN) == _MEAN for one in losses)
    kinds = keras.layers.BatchNormalization
    return means and not any(isinstance(layer, kinds) for layer in layers_in(model))
