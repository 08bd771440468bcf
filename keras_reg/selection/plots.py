"""Pictures of a path and of stability selection."""

from typing import Any

import numpy as np

from keras_reg.figures import empty_figure


def draw_scores(result: Any) -> Any:
    """Mean scores with standard errors over the strength, and the share of zeros.

    Args:
        result: a `PathResult`.
    """
    figure = empty_figure(6.5, 4)
    axes = figure.add_subplot()
    rows = result.rows
    strengths = [row.strength for row in rows]
    errors = np.nan_to_num([row.error for row in rows])
    axes.errorbar(strengths, [row.score for row in rows], errors, capsize=2, label="held out")
    axes.plot(strengths, [row.training_score for row in rows], ":", color="C0", label="training")
    for (which, row), style in zip(result.chosen.items(), ("--", ":"), strict=False):
        axes.axvline(row.strength, color="0.4", ls=style, label=which)
    axes.set(xscale="log", xlabel="strength", ylabel=result.score_name)
    shares = axes.twinx()
    shares.plot(strengths, [row.zeros for row in rows], color="C1", lw=1)
    shares.set_ylabel("share of zeros", color="C1")
    shares.set_ylim(0, 1.02)
    axes.legend(fontsize="small")
    return figure


def draw_inputs(result: Any) -> Any:
    """The norm of each input's weights over the strength, of the member on all rows.

    Args:
        result: a `PathResult`.
    """
    figure = empty_figure(6.5, 4)
    axes = figure.add_subplot()
    axes.plot(result.strengths, result.norms[:, 0], lw=1)
    axes.set(xscale="log", xlabel="strength", ylabel="norm of an input's weights")
    return figure


def draw_paths(results: Any) -> Any:
    """Mean scores with standard errors over the share of zeros, a line for each path.

    Args:
        results: a `PathResults`.
    """
    figure = empty_figure(6.5, 4)
    axes = figure.add_subplot()
    for name, result in results.items():
        rows = result.rows
        errors = np.nan_to_num([row.error for row in rows])
        zeros, scores = [row.zeros for row in rows], [row.score for row in rows]
        axes.errorbar(zeros, scores, errors, capsize=2, marker=".", label=name)
        axes.set(xlabel="share of zeros", ylabel=result.score_name)
    axes.legend(fontsize="small")
    return figure


def draw_stability(result: Any, threshold: float, errors: float) -> Any:
    """Probabilities of selection over the strength, those of selected inputs in colour.

    Args:
        result: a `StabilityResult`.
        threshold: float.
        errors: float.
    """
    figure = empty_figure(6.5, 4)
    axes = figure.add_subplot()
    place = result.place(threshold, errors)
    shares = np.stack([result.probabilities(one) for one in range(len(result.strengths))])
    chosen = set(result.selected(threshold, errors).tolist())
    for number in range(result.inputs):
        style = {"label": str(number)} if number in chosen else {"color": "0.8"}
        axes.plot(result.strengths, shares[:, number], lw=1, **style)
    axes.axhline(threshold, color="0.4", ls="--")
    axes.axvline(result.strengths[place], color="0.4", ls=":")
    axes.set(xscale="log", xlabel="weakest strength that counts", ylabel="share of halves")
    if 0 < len(chosen) <= 12:
        axes.legend(fontsize="small", title="input")
    return figure
