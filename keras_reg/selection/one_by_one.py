"""Training one member after the other, by Keras's own `fit`: on every backend, any model."""

from typing import Any

import keras
import numpy as np

from keras_reg.selection.examples import Batches, Examples
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network, State
from keras_reg.selection.schedule import Batching, draw_seed
from keras_reg.selection.scoring import Score

# Examples in a batch that is scored, and that a call of `fit` takes: more need more memory alone.
SCORED_AT_ONCE = 1024
_BYTES_AT_ONCE = 2**27


class OneByOne:
    """Trains and scores members, each by `fit` and `evaluate`.

    Args:
        network: the network.
        examples: `Examples` or `Batches` to train on.
        batching: `Batching`, or None for a dataset.
        chunk: int or None. Members whose states are kept at once: None for one.
    """

    name = "one by one"

    def __init__(
        self, network: Network, examples: Any, batching: Batching | None, chunk: int | None = None
    ):
        self.network, self.examples, self.batching = network, examples, batching
        self.chunk = chunk or 1

    def start(self, members: tuple[Member, ...]) -> list[State]:
        """The states of members that are not trained yet."""
        return [self.network.starts[member.seed] for member in members]

    def train(
        self,
        states: list[State],
        members: tuple[Member, ...],
        strengths: list[float],
        epochs: int,
        visit: int,
    ) -> list[State]:
        """The states after some more epochs.

        Args:
            states: what `start` or `train` returned.
            members: the members that they are of.
            strengths: list of floats, one for each member. That of the strongest penalty.
            epochs: int.
            visit: int. How often the members were trained before.
        """
        trained = []
        for state, member, strength in zip(states, members, strengths, strict=True):
            self.network.load(state)
            self.network.proximal.strength_scale = self.network.scale(strength)
            self._fit(member, epochs, visit)
            trained.append(self.network.state())
        return trained

    def states(self, states: list[State]) -> list[State]:
        """The states as NumPy arrays, one for each member."""
        return states

    def restore(self, states: list[State]) -> list[State]:
        """What `train` takes, from what `states` returned."""
        return states

    def score(
        self, states: list[State], examples: Any, rows: list[Any], score: Score
    ) -> list[float]:
        """The score of each member on rows of its own: a slice for all; NaN for None."""
        found = [float("nan")] * len(rows)
        for place, chosen in enumerate(rows):
            if chosen is not None:
                self.network.load(states[place])
                part = examples if isinstance(chosen, slice) else examples.take(chosen)
                found[place] = self._score(part, score)
        return found

    def _fit(self, member: Member, epochs: int, visit: int) -> None:
        model = self.network.model
        # PyTorch's dropout draws from the global generator, whatever the seed of the layer.
        keras.utils.set_random_seed(draw_seed(member, visit))
        if isinstance(self.examples, Batches) or self.batching is None:
            data = self.examples
            model.fit(data.x, epochs=epochs, shuffle=data.shuffles, verbose=0)
            return
        rows = self.batching.rows(member, self.batching.steps(epochs), visit)
        block = self._block(rows.shape[1])
        for begin in range(0, len(rows), block):
            part = self.examples.take(rows[begin : begin + block].reshape(-1))
            model.fit(
                part.x,
                part.y,
                sample_weight=part.weights,
                batch_size=rows.shape[1],
                shuffle=False,
                verbose=0,
            )

    def _block(self, batch: int) -> int:
        """Updates in one call of `fit`."""
        row = sum(array[:1].nbytes for array in keras.tree.flatten(self.examples.x))
        return max(1, _BYTES_AT_ONCE // (batch * max(1, row)))

    def _score(self, part: Any, score: Score) -> float:
        model = self.network.model
        if score.function is not None:
            if len(part) <= SCORED_AT_ONCE:
                outputs = model.predict_on_batch(part.x)
            else:
                outputs = model.predict(part.x, batch_size=SCORED_AT_ONCE, verbose=0)
            finite = all(np.isfinite(one).all() for one in keras.tree.flatten(outputs))
            return score.function(part.y, outputs, part.weights) if finite else float("nan")
        if not isinstance(part, Examples):
            logs = model.evaluate(part.x, verbose=0, return_dict=True)
        elif len(part) <= SCORED_AT_ONCE:
            # What `evaluate` does, without its callbacks and iterators.
            model.reset_metrics()
            logs = model.test_on_batch(part.x, part.y, part.weights, return_dict=True)
        else:
            logs = model.evaluate(
                part.x,
                part.y,
                sample_weight=part.weights,
                batch_size=SCORED_AT_ONCE,
                verbose=0,
                return_dict=True,
            )
        return float(logs[score.name])
