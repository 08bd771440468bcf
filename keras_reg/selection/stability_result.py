"""What stability selection gives: how often each input is selected, and a bound on mistakes."""

import json
from typing import Any

import numpy as np

from keras_reg import schedules
from keras_reg.selection.plots import draw_stability


class StabilityResult:
    """How often inputs are selected on halves of the rows.

    The procedure whose selections are counted is a path from the largest strength down to a place:
    it selects what has a weight that is not zero at one of these strengths or more.

    Args:
        strengths: (strengths,) float array, from weak to strong.
        entry: (halves, inputs) int array. The number of the strongest strength at which an input is
            selected on a half of the rows, -1 for never. Halves 2k and 2k + 1 are of one pair.
    """

    def __init__(self, strengths: Any, entry: Any):
        self.strengths = np.asarray(strengths, "float64")
        self.entry = np.asarray(entry, "int64")

    @property
    def pairs(self) -> int:
        """The number of pairs of halves."""
        return len(self.entry) // 2

    @property
    def inputs(self) -> int:
        """The number of inputs."""
        return self.entry.shape[1]

    def probabilities(self, place: int = 0) -> np.ndarray:
        """The share of the halves on which each input is selected, (inputs,).

        Args:
            place: int. The number of the weakest strength that counts.
        """
        return np.mean(self.entry >= place, axis=0)

    def selected_on_average(self, place: int = 0) -> float:
        """The mean number of inputs that a half selects."""
        return float(np.mean(np.sum(self.entry >= place, axis=1)))

    def error_bound(self, threshold: float, place: int = 0, unimodal: bool = False) -> float:
        """A bound on the expected number of selected inputs that a half rarely selects.

        q**2 / ((2 * threshold - 1) * inputs), with q the mean number that a half selects. Inputs
        that are rarely selected are those below q / inputs: all that have nothing to do with the
        targets, if the procedure is no worse than a guess.

        Args:
            threshold: float in (0.5, 1].
            place: int. The number of the weakest strength that counts.
            unimodal: bool. The smaller bound of Shah & Samworth, which assumes that the numbers of
                pairs that select an input are unimodally distributed.
        """
        _check_threshold(threshold)
        share = self.selected_on_average(place) / self.inputs
        factor = 1.0 / (2.0 * threshold - 1.0)
        if unimodal and share <= 1.0 / np.sqrt(3.0):
            factor = min(factor, _unimodal(threshold, self.pairs, share))
        return float(factor * share**2 * self.inputs)

    def place(self, threshold: float = 0.75, errors: float = 1.0, unimodal: bool = False) -> int:
        """The weakest strength down to which the bound is at most `errors`.

        Raises: ValueError if there is none.
        """
        schedules.check_number(errors, "errors", at_least=0)
        bounds = [
            self.error_bound(threshold, place, unimodal) for place in range(len(self.strengths))
        ]
        fits = np.flatnonzero(np.array(bounds) <= errors)
        if not len(fits):
            raise ValueError(
                f"Expected `errors` of at least {min(bounds):.3g}, the bound at the largest "
                f"strength. Received: errors={errors}"
            )
        return int(fits[0])

    def selected(
        self, threshold: float = 0.75, errors: float = 1.0, unimodal: bool = False
    ) -> np.ndarray:
        """The inputs that at least a share `threshold` of the halves select.

        Args:
            threshold: float in (0.5, 1].
            errors: float. The largest bound on the expected number of false selections: strengths
                count down to where it is reached.
            unimodal: bool, as `error_bound` takes it.

        Returns:
            Their numbers, in order.

        Raises: ValueError if `threshold` is out of range, or no strength is strong enough.
        """
        place = self.place(threshold, errors, unimodal)
        return np.flatnonzero(self.probabilities(place) >= threshold)

    def plot(self, threshold: float = 0.75, errors: float = 1.0) -> Any:
        """A matplotlib figure of the probabilities over the strength."""
        return draw_stability(self, _check_threshold(threshold), errors)

    def to_json(self) -> str:
        """The result as JSON. `from_json` reads it."""
        return json.dumps({"strengths": self.strengths.tolist(), "entry": self.entry.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "StabilityResult":
        """The result that `to_json` wrote.

        Raises: ValueError if it is no such text.
        """
        try:
            read = json.loads(text)
            return cls(read["strengths"], read["entry"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Expected what StabilityResult.to_json wrote. Received: {text[:60]!r}"
            ) from error


def _check_threshold(threshold: float) -> float:
    schedules.check_number(threshold, "threshold", at_least=0, at_most=1)
    if threshold <= 0.5:
        raise ValueError(f"Expected `threshold` > 0.5. Received: threshold={threshold}")
    return threshold


def _unimodal(threshold: float, pairs: int, share: float) -> float:
    """The factor of Shah & Samworth's bound for unimodal distributions."""
    lowest = min(0.5 + share**2, 0.5 + 1.0 / (2 * pairs) + 0.75 * share**2)
    if threshold <= lowest:
        return np.inf
    if threshold <= 0.75:
        return 1.0 / (2.0 * (2.0 * threshold - 1.0 - 1.0 / (2 * pairs)))
    return 4.0 * (1.0 - threshold + 1.0 / (2 * pairs)) / (1.0 + 1.0 / pairs)
