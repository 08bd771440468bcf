"""Along the path: members trained at one strength after the other, and what is seen at each."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_reg.report.sparsity import Meter
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network, State
from keras_reg.selection.scoring import Score

NAN = float("nan")
# Stands for all rows.
ALL = slice(None)


@dataclasses.dataclass(frozen=True)
class Visit:
    """What is seen of some members at one strength.

    Args:
        place: int. The number of the strength.
        scores: (members,) float array. On each member's test rows; NaN without.
        training_scores: (members,) float array.
        zeros: (members,) float array. Shares of exact zeros among the penalized weights.
        diverged: (members,) bool array. Whether a weight is not finite.
        norms: (members, inputs) float32 array. The norm of the weights that read each input of the
            first penalized weight.
        channels: float. Of the first member, the units and filters that a penalized weight makes.
        macs: float. Of the first member, the multiply-adds without channels that do nothing; NaN
            if they are not known.
        weights: list of arrays. All weights of the first member, in the order of `model.weights`.
    """

    place: int
    scores: np.ndarray
    training_scores: np.ndarray
    zeros: np.ndarray
    diverged: np.ndarray
    norms: np.ndarray
    channels: float
    macs: float
    weights: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Walk:
    """How members are trained and scored along the strengths.

    Args:
        network: the network.
        trainer: `OneByOne` or `Stacked`.
        examples: the examples, with the weights that scores take.
        held_out: examples to score all members on, or None for each member's test rows.
        score: the score.
        epochs: int. At the first strength.
        further_epochs: int. At each of the others.
        warm: bool. Whether these go on from the strength before.
        has_folds: bool. Whether some members have test rows of their own.
    """

    network: Network
    trainer: Any
    examples: Any
    held_out: Any
    score: Score
    epochs: int
    further_epochs: int
    warm: bool
    has_folds: bool

    def visits(
        self,
        members: tuple[Member, ...],
        strengths: np.ndarray,
        first: int = 0,
        states: list[State] | None = None,
    ) -> Iterator[tuple[Visit, Any]]:
        """Trains members at the strengths, from the number `first` on, and yields what is seen.

        Beside each `Visit` comes a function without arguments to the members' states.
        """
        trainer = self.trainer
        now = trainer.start(members) if states is None else trainer.restore(states)
        for place in range(first, len(strengths)):
            epochs = self.further_epochs if place else self.epochs
            same = [float(strengths[place])] * len(members)
            if not self.warm:
                now = trainer.start(members)
            now = trainer.train(now, members, same, epochs, place if self.warm else 0)
            values = trainer.states(now)
            yield self._visit(place, members, now, values), lambda values=values: values

    def _visit(
        self, place: int, members: tuple[Member, ...], now: Any, values: list[State]
    ) -> Visit:
        score = self.trainer.score
        scores = training = [NAN] * len(members)
        if self.held_out is not None:
            scores = score(now, self.held_out, [ALL] * len(members), self.score)
        else:
            scores = score(now, self.examples, [one.test for one in members], self.score)
        if members[0].train is not None:
            # Beside folds, the member on all rows has no score to compare with.
            is_compared = self.has_folds and self.held_out is None
            rows = [None if is_compared and one.test is None else one.train for one in members]
            training = score(now, self.examples, rows, self.score)
        return Visit(
            place,
            np.array(scores, "float64"),
            np.array(training, "float64"),
            np.array([_zeros(self.network.values(state)) for state in values]),
            np.array([not _is_finite(state) for state in values]),
            np.stack([self._norms(state) for state in values]),
            self.network.channels(values[0]),
            self._macs(values[0]) if _is_finite(values[0]) else NAN,
            self.network.weights(values[0]),
        )

    def _macs(self, state: State) -> float:
        self.network.load(state)
        left = self._meter.measure().macs_left
        return NAN if left is None else float(left)

    @functools.cached_property
    def _meter(self) -> Meter:
        return Meter(self.network.model)

    def _norms(self, state: State) -> np.ndarray:
        found = self.network.inputs_axes()
        if found is None:
            return np.zeros(0, "float32")
        number, axes = found
        w = np.asarray(self.network.values(state)[number], "float32")
        others = tuple(axis for axis in range(w.ndim) if axis not in axes)
        # A norm is not zero unless all weights are, also where their squares underflow.
        largest = np.max(np.abs(w), axis=others, keepdims=True, initial=0.0)
        scaled = w / np.where(largest > 0, largest, 1.0)
        norms = np.sqrt(np.sum(np.square(scaled), axis=others, keepdims=True)) * largest
        return norms.reshape(-1)


def _zeros(values: list[np.ndarray]) -> float:
    return sum(int((w == 0).sum()) for w in values) / max(1, sum(w.size for w in values))


def _is_finite(state: State) -> bool:
    return all(np.isfinite(np.asarray(value, "float32")).all() for value in state.trainable)
