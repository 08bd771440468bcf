"""Training all members at once on JAX: their states stacked, one vectorized step for all."""

from collections import defaultdict
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reg.ops.updates import stacked, stacked_steps
from keras_reg.selection.examples import Examples
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network, State
from keras_reg.selection.one_by_one import SCORED_AT_ONCE
from keras_reg.selection.schedule import Batching, rows_of_members
from keras_reg.selection.scoring import Score


class Stacked:
    """Trains and scores members by the model's own `train_step` and `test_step`, vectorized.

    The data is there once; each member reads the rows of its own batches. Methods are those of
    `OneByOne`.

    Args:
        network: the network.
        examples: `Examples` to train on.
        batching: `Batching`.
        chunk: int. Members trained at once.
    """

    name = "stacked"

    def __init__(self, network: Network, examples: Examples, batching: Batching, chunk: int):
        self.network, self.examples, self.batching = network, examples, batching
        self.chunk = chunk
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
        rows, factors = rows_of_members(self.batching, members, steps, visit)
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
