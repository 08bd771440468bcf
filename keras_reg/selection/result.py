"""What a path gives: scores, zeros and inputs at each strength, and the choice among them."""

import dataclasses
import json
from typing import Any

import keras
import numpy as np
from rich.table import Table

from keras_reg.selection import plots
from keras_reg.selection.console import as_text, cells, columns, table
from keras_reg.selection.network import Refit
from keras_reg.selection.visits import Visit

_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Row:
    """One strength of a path.

    Args:
        place: int. Its number, from the weakest on.
        strength: float.
        score: float. Mean over folds and seeds; NaN if nothing was held out.
        error: float. Standard error of that mean, over the folds; NaN for one fold.
        training_score: float. Mean on the rows that the same members were trained on.
        gap: float. `training_score - score`.
        zeros: float. Share of exact zeros among the penalized weights, of the member on all rows.
        inputs_left: int or None. Inputs that the first penalized weight still reads, there.
        channels_left: int or None. Units and filters that a penalized weight still makes, there.
        macs_left: int or None. Multiply-adds for one example without the channels that do nothing,
            as `sparsity` counts them.
        diverged: int. Members of which a weight is not finite.
        done: int. Members that are trained.
    """

    place: int
    strength: float
    score: float
    error: float
    training_score: float
    gap: float
    zeros: float
    inputs_left: int | None
    channels_left: int | None
    macs_left: int | None
    diverged: int
    done: int


class PathResult:
    """Members trained along strengths, as arrays, and the choice of a strength.

    `path` makes it. Arrays go from the weakest to the strongest strength; the first member is the
    one trained on all rows, whose weights a `Row`'s zeros and inputs are of.

    Args:
        strengths: (strengths,) float array.
        folds: list with the fold of each member, None for all rows.
        seeds: list with the seed of each member.
        score_name: str.
        mode: "min" or "max". What is better.
        notes: dict of what else a reader may ask: how it was trained, bytes of a member's state.

    Attributes:
        scores, training_scores, zeros: (strengths, members) float arrays.
        diverged, done: (strengths, members) bool arrays.
        norms: (strengths, members, inputs) float32 array. The norm of the weights that read each
            input of the first penalized weight: 0 for an input left out.
        channels, macs: (strengths,) float arrays, of the first member.
        weights: list with the weights of the first member at each strength, in the order of
            `model.weights`; empty if the result was read from JSON.
    """

    def __init__(
        self,
        strengths: np.ndarray,
        folds: list[int | None],
        seeds: list[int],
        score_name: str,
        mode: str,
        notes: dict[str, Any] | None = None,
    ):
        self.strengths = np.asarray(strengths, "float64")
        self.folds, self.seeds = list(folds), list(seeds)
        self.score_name, self.mode, self.notes = score_name, mode, dict(notes or {})
        shape = len(self.strengths), len(self.folds)
        self.scores, self.training_scores, self.zeros = (np.full(shape, np.nan) for _ in range(3))
        self.diverged, self.done = np.zeros(shape, bool), np.zeros(shape, bool)
        self.norms = np.zeros((*shape, 0), "float32")
        self.channels, self.macs = np.full(shape[0], np.nan), np.full(shape[0], np.nan)
        self.weights: list[list[np.ndarray]] = []
        self._refit: Refit | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The function that builds the network may be one that can't be pickled.
        return self.__dict__ | {"_refit": None}

    def add(self, visit: Visit, members: list[int]) -> None:
        """Takes in what was seen of some members at one strength."""
        if self.norms.shape[-1] != visit.norms.shape[-1]:
            self.norms = np.zeros((*self.norms.shape[:2], visit.norms.shape[-1]), "float32")
        for name in ("scores", "training_scores", "zeros", "diverged", "norms"):
            getattr(self, name)[visit.place, members] = getattr(visit, name)
        self.done[visit.place, members] = True
        if 0 in members:
            self.channels[visit.place], self.macs[visit.place] = visit.channels, visit.macs
            self.weights.append(visit.weights)

    @property
    def rows(self) -> tuple[Row, ...]:
        """A `Row` for each strength."""
        return tuple(self._row(place) for place in range(len(self.strengths)))

    @property
    def best(self) -> Row:
        """The strength with the best mean score; the strongest of equals.

        Raises: ValueError if nothing was held out.
        """
        rows = self._eligible()
        sign = 1.0 if self.mode == "max" else -1.0
        return max(rows, key=lambda row: (sign * row.score, row.strength))

    @property
    def one_se(self) -> Row:
        """The strongest whose mean score is within one standard error of the best (Breiman).

        Raises: ValueError if there is one fold and one seed alone.
        """
        best = self.best
        if not np.isfinite(best.error):
            raise ValueError(
                "Expected a standard error, of two folds or seeds and more. Received: "
                f"{len(self.folds)} members, folds {self.folds}"
            )
        sign = 1.0 if self.mode == "max" else -1.0
        enough = [row for row in self._eligible() if sign * (row.score - best.score) >= -best.error]
        return max(enough, key=lambda row: row.strength)

    @property
    def chosen(self) -> dict[str, Row]:
        """`best` and `one_se` by these names, those of them that there are."""
        found = {}
        for which in ("best", "one_se"):
            try:
                found[which] = getattr(self, which)
            except ValueError:
                continue
        return found

    def at(self, zeros: float) -> Row:
        """The weakest strength at which at least that share of the penalized weights is zero.

        Raises: ValueError if none is strong enough.
        """
        found = [row for row in self.rows if row.zeros >= zeros]
        if not found:
            most = max((row.zeros for row in self.rows if np.isfinite(row.zeros)), default=0.0)
            raise ValueError(
                f"Expected `zeros` of at most {most:.3f}, the most on the path. "
                f"Received: zeros={zeros}"
            )
        return found[0]

    def choose(self, which: Any) -> Row:
        """The row that is meant by "best", "one_se", a `Row` or a strength of the path."""
        if isinstance(which, str) and which in ("best", "one_se"):
            return getattr(self, which)
        wanted = which.strength if isinstance(which, Row) else which
        if not isinstance(wanted, str):
            for row in self.rows:
                if np.isclose(row.strength, float(wanted), rtol=1e-6, atol=0.0):
                    return row
        raise ValueError(
            'Expected "best", "one_se", a row or a strength of the path, which are '
            f"{[float(f'{one:.4g}') for one in self.strengths]}. Received: {which!r}"
        )

    def model(self, which: Any = "best") -> keras.Model:
        """The network at one strength, trained on all rows along the path.

        It is compiled as `build` does, without the penalty.

        Args:
            which: "best", "one_se", a `Row` or a strength of the path.
        Raises: ValueError if the result has no weights: it was read from JSON.
        """
        weights = self._weights_at(self.choose(which))
        return self._refits().model(weights)

    def refit(
        self, which: Any = "best", relaxed: bool = True, epochs: int | None = None
    ) -> keras.Model:
        """The network at one strength, then trained on all rows without the penalty.

        Args:
            which: "best", "one_se", a `Row` or a strength of the path.
            relaxed: bool. Whether zeros stay zero, by `FixedSupport` (the relaxed lasso). Without,
                it is the same as `model`.
            epochs: int or None: as many as each strength had.
        Raises: ValueError if the result has no weights: it was read from JSON.
        """
        weights = self._weights_at(self.choose(which))
        return self._refits().relaxed(weights, epochs) if relaxed else self._refits().model(weights)

    def plot(self, kind: str = "scores") -> Any:
        """A matplotlib figure.

        Args:
            kind: "scores", mean scores with their standard errors and the share of zeros, or
                "inputs", the norm of each input's weights: the fan of a lasso path.
        """
        drawing = {"scores": plots.draw_scores, "inputs": plots.draw_inputs}
        if kind not in drawing:
            raise ValueError(f'Expected kind "scores" or "inputs". Received: kind={kind!r}')
        return drawing[kind](self)

    def to_json(self) -> str:
        """All but the weights, as JSON. `from_json` reads it."""
        arrays = {name: _listed(getattr(self, name)) for name in _ARRAYS}
        return json.dumps(
            {
                "format": _FORMAT,
                "folds": self.folds,
                "seeds": self.seeds,
                "score": self.score_name,
                "mode": self.mode,
                "notes": self.notes,
                **arrays,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "PathResult":
        """The result that `to_json` wrote, without weights.

        Raises: ValueError if it is no such text.
        """
        try:
            read = json.loads(text)
            if read["format"] != _FORMAT:
                raise KeyError("format")
            result = cls(
                read["strengths"],
                read["folds"],
                read["seeds"],
                read["score"],
                read["mode"],
                read["notes"],
            )
            for name, dtype in _ARRAYS.items():
                setattr(result, name, np.array(read[name], "float64").astype(dtype))
            result.norms = result.norms.reshape(*result.scores.shape, -1)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Expected what PathResult.to_json wrote. Received: {text[:60]!r}"
            ) from error
        return result

    def _row(self, place: int) -> Row:
        is_scored = np.isfinite(self.scores[place]) & ~self.diverged[place]
        means = self._fold_means(place, is_scored)
        score = float(np.mean(means)) if len(means) else np.nan
        error = float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else np.nan
        counted = is_scored if is_scored.any() else self.done[place] & ~self.diverged[place]
        training = self.training_scores[place][counted]
        trained = float(np.mean(training)) if len(training) else np.nan
        left = int(np.count_nonzero(self.norms[place, 0])) if self.norms.size else None
        return Row(
            place,
            float(self.strengths[place]),
            score,
            error,
            trained,
            trained - score,
            float(self.zeros[place, 0]),
            left if self.done[place, 0] else None,
            _count(self.channels[place]),
            _count(self.macs[place]),
            int(self.diverged[place].sum()),
            int(self.done[place].sum()),
        )

    def _fold_means(self, place: int, is_scored: np.ndarray) -> list[float]:
        """Scores of the folds, each the mean over seeds; of the seeds if there are no folds."""
        folds = sorted({fold for fold in self.folds if fold is not None})
        if len(folds) < 2:
            return [float(one) for one in self.scores[place][is_scored]]
        own = [np.array([fold == one for fold in self.folds]) & is_scored for one in folds]
        return [float(np.mean(self.scores[place][mine])) for mine in own if mine.any()]

    def _eligible(self) -> list[Row]:
        """Rows that may be chosen: with a score, of all members if there are any such rows."""
        scored = [row for row in self.rows if np.isfinite(row.score)]
        if not scored:
            raise ValueError(
                "Expected scores on held-out rows. Received: none. Give `folds`, "
                "`validation_split` or `validation_data`"
            )
        whole = [
            row
            for row in scored
            if not row.diverged and row.done == len(self.folds) and not self._unscored(row.place)
        ]
        return whole or scored

    def _unscored(self, place: int) -> int:
        """Members of which the score itself is not finite, such as an area of one class alone."""
        in_folds = np.array([fold is not None for fold in self.folds])
        held = in_folds if in_folds.any() else np.isfinite(self.scores).any(axis=0)
        ends = self.done[place] & ~self.diverged[place]
        return int(np.count_nonzero(held & ends & ~np.isfinite(self.scores[place])))

    def _weights_at(self, row: Row) -> list[np.ndarray]:
        if row.place >= len(self.weights):
            raise ValueError(
                f"Expected the weights at strength {row.strength:.4g}. Received: a result without "
                "them: it was read from JSON, or interrupted before"
            )
        return self.weights[row.place]

    def _refits(self) -> Refit:
        if self._refit is None:
            raise ValueError(
                "Expected a result of `path` in the process that trained it. Received: one that "
                "was read from JSON, or pickled"
            )
        return self._refit

    def _remarks(self, row: Row) -> list[str]:
        remarks = [which for which, one in self.chosen.items() if one.place == row.place]
        if row.diverged:
            remarks.append(f"{row.diverged} diverged")
        if unscored := self._unscored(row.place):
            remarks.append(f"{unscored} without a score")
        if row.done < len(self.folds):
            remarks.append(f"{row.done} of {len(self.folds)} done")
        return remarks

    def __rich__(self) -> Table:
        headings = (*columns(self.score_name), "")
        return table(headings, [(*cells(row), ", ".join(self._remarks(row))) for row in self.rows])

    def __str__(self) -> str:
        return as_text(self)


_ARRAYS = {
    "strengths": "float64",
    "scores": "float64",
    "training_scores": "float64",
    "zeros": "float64",
    "diverged": "bool",
    "done": "bool",
    "norms": "float32",
    "channels": "float64",
    "macs": "float64",
}


def _count(number: float) -> int | None:
    return int(number) if np.isfinite(number) else None


def _listed(array: np.ndarray) -> Any:
    """Nested lists, with None for NaN, which JSON does not have."""
    if array.ndim > 1:
        return [_listed(one) for one in array]
    return [one if np.isfinite(one) else None for one in array.tolist()]
