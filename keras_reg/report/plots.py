"""Pictures of what became zero. They need matplotlib: `pip install keras-reg[plot]`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_reg.figures import empty_figure
from keras_reg.report.analysis import analyze
from keras_reg.report.counting import values as values_of
from keras_reg.structure.channels import channels as channels_of

# Lines beyond this many are grey and unnamed.
_NAMED = 8
_GREY = "0.72"
_ZERO = "#e4572e"


def sparsity_over_epochs(history: Any) -> Any:
    """The share of exact zeros of each weight over the epochs, and of all together.

    Of many weights the sparsest are named; the others are grey. The curves of the weights need a
    `SparsityReport` with `per_weight=True`, or the file that one with a `path` wrote.

    Args:
        history: what `fit` returns, its `history`, or what `read_lines` returns.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: if the history holds no figures of a `SparsityReport`.
    """
    figures = _history(history, "sparsity")
    curves = {
        name.removeprefix("sparsity/"): np.asarray(values, float)
        for name, values in figures.items()
        if name.startswith("sparsity/")
    }
    # By measure, which is by epoch unless batches were measured.
    epochs = np.arange(1, len(figures["sparsity"]) + 1)
    all_shares = [np.asarray(figures["sparsity"], float), *curves.values()]
    top = min(102.0, 115 * max(0.05, *(max(values) for values in all_shares)))
    named = sorted(curves, key=lambda name: -curves[name][-1])[:_NAMED]
    figure, axes = _axes(8.0, 4.5)
    labels = dict(zip(named, shorter(named), strict=True))
    for name, values in curves.items():
        if name not in labels:
            axes.plot(epochs, 100 * values, color=_GREY, linewidth=0.9, zorder=1)
    for at, name in enumerate(named):
        axes.plot(epochs, 100 * curves[name], color=f"C{at}", linewidth=1.6, label=labels[name])
    axes.plot(epochs, 100 * all_shares[0], "k--", label="all weights")
    axes.set(
        xlabel="epoch",
        ylabel="exact zeros (%)",
        ylim=(-0.02 * top, top),
        xlim=(1, max(len(epochs), 2)),
    )
    axes.set_title("Exact zeros over training", loc="left")
    axes.xaxis.get_major_locator().set_params(integer=True)
    rest = len(curves) - len(named)
    title = f"sparsest {len(named)} of {len(curves)}" if rest else None
    figure.legend(frameon=False, loc="outside right center", title=title, fontsize=9)
    return figure


def group_norms(model: Any, group_axis: str = "outputs") -> Any:
    """A heat map: the norm of each group of each weight, with zero groups in a colour of their own.

    Each row is a weight; its groups are sorted, largest first, and stretched to the same width, so
    that what is zero shows as a share of the row.

    Args:
        model: a built model.
        group_axis: `"outputs"` for units and filters, or `"inputs"`.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: if `group_axis` is neither, or the model is not built.
    """
    if group_axis not in ("inputs", "outputs"):
        raise ValueError(
            'Expected `group_axis` to be "inputs" or "outputs". '
            f"Received: group_axis={group_axis!r}"
        )
    kernels = analyze(model).kernels
    norms = [_norms(kernel, group_axis) for kernel in kernels]
    names = shorter([kernel.path for kernel in kernels])
    figure, axes = _heat(norms, names)
    axes.set_title(f"Norms of {group_axis}, sorted, as a share of the largest", loc="left")
    axes.set_xlabel(f"share of the weight's {group_axis}")
    return figure


def channels(model: Any) -> Any:
    """A heat map: the norm of each channel, layer by layer, zero ones in a colour of their own.

    A row is a group of `keras_reg.channels`, in the order in which layers make them: units,
    filters, heads or states; where a residual connection joins several layers, those of all. The
    norm of a channel is that of all the kernel columns that make it, so that one which is zero in
    each of them shows as such. Channels are sorted, largest first, and stretched to the same width:
    a row with much red is a layer that thins out. Rows of channels that must stay are marked.

    Args:
        model: a built model.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: if the model is not built, or its graph cannot be read.
    """
    groups = [group for group in channels_of(model) if group.made_by]
    names = [
        f"{name} (stays)" if group.pinned else name
        for name, group in zip(shorter([g.name for g in groups]), groups, strict=True)
    ]
    figure, axes = _heat([_channel_norms(group) for group in groups], names)
    axes.set_title("Norms of channels, sorted, as a share of the largest", loc="left")
    axes.set_xlabel("share of the channels")
    return figure


def _heat(norms: list[np.ndarray], names: list[str]) -> tuple[Any, Any]:
    """A row for each array of norms, all of one width, with what is zero apart."""
    from matplotlib import colormaps, colors

    width = 400
    image = np.array([row[np.arange(width) * len(row) // width] for row in norms])
    largest = image.max(axis=1, keepdims=True)
    image = np.ma.masked_equal(image / np.where(largest > 0, largest, 1), 0)
    figure, axes = _axes(8.0, 1.6 + 0.28 * min(len(norms), 60))
    palette = colormaps["viridis"].with_extremes(bad=_ZERO)
    low = max(float(image.min()) if image.count() else 0.1, 1e-4)
    scale = colors.LogNorm(10 ** np.floor(np.log10(min(low, 0.9))), 1.0)
    drawn = axes.imshow(image, aspect="auto", interpolation="nearest", cmap=palette, norm=scale)
    axes.set_xticks([0, width / 2, width - 1], ["0%", "50%", "100%"])
    pairs = zip(names, norms, strict=True)
    labels = [f"{name}  {np.sum(row == 0)}/{len(row)} zero" for name, row in pairs]
    step = -(-len(norms) // 60)
    axes.set_yticks(range(0, len(norms), step), labels[::step], fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = figure.colorbar(drawn, ax=axes)
    bar.outline.set_visible(False)
    axes.plot([], [], "s", color=_ZERO, label="exactly zero")
    figure.legend(frameon=False, loc="outside lower right", fontsize=9, borderpad=0)
    return figure, axes


def weights(model: Any, bins: int = 80) -> Any:
    """A histogram of the sizes of all weights on a log scale, with the exact zeros apart.

    Args:
        model: a built model.
        bins: int.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: if the model is not built.
    """
    values = [np.abs(values_of(kernel.variable)).ravel() for kernel in analyze(model).kernels]
    sizes = np.concatenate(values)
    sizes = sizes[np.isfinite(sizes)]
    zeros, others = int(np.sum(sizes == 0)), sizes[sizes > 0]
    figure, axes = _axes(8.0, 4.0)
    exponents = np.log10(others) if len(others) else np.array([-1.0, 0.0])
    low, high = np.floor(max(exponents.min(), exponents.max() - 12)), exponents.max()
    edges = np.linspace(low, high + 1e-6, bins + 1)
    axes.hist(np.maximum(exponents, low), edges, color="C0", label="other weights")
    room = 0.12 * (high - low)
    axes.bar(low - room, max(zeros, 0), width=0.5 * room, color=_ZERO, label="exact zeros")
    axes.annotate(
        f"{zeros / max(len(sizes), 1):.1%}",
        (low - room, zeros),
        (0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=9,
    )
    axes.set_yscale("log")
    ticks = np.arange(low, np.floor(high) + 1, max(1, round((high - low) / 8)))
    marks = ["0", *(f"$10^{{{int(tick)}}}$" for tick in ticks)]
    axes.set_xticks([low - room, *ticks], marks)
    axes.set(xlabel="size of a weight", ylabel="number of weights")
    axes.set_ylim(0.7, axes.get_ylim()[1] * 2)
    axes.set_title(f"{len(sizes):,} weights by size", loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.12, 1.0))
    return figure


def metric_against_sparsity(history: Any, metric: str = "val_loss") -> Any:
    """A metric against the share of exact zeros, one point for each epoch, in their order.

    Args:
        history: what `fit` returns, its `history`, or what `read_lines` returns; or a dict from
            names to several of them, for a point each: their last epoch.
        metric: str. A name in the logs.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: if the history has no such metric or no figures of a `SparsityReport`.
    """
    is_dict = isinstance(history, dict) and bool(history)
    is_several = is_dict and not any(isinstance(value, list) for value in history.values())
    figure, axes = _axes(7.0, 4.5)
    for name, run in history.items() if is_several else []:
        found = _history(run, "sparsity", metric)
        x, y = 100 * found["sparsity"][-1], found[metric][-1]
        axes.scatter(x, y, s=40)
        axes.annotate(name, (x, y), (6, 4), textcoords="offset points", fontsize=9)
    if not is_several:
        found = _history(history, "sparsity", metric)
        x, y = 100 * np.asarray(found["sparsity"], float), np.asarray(found[metric], float)
        axes.plot(x, y, color=_GREY, linewidth=1.0, zorder=1)
        drawn = axes.scatter(x, y, c=np.arange(1, len(x) + 1), cmap="viridis", s=28, zorder=2)
        bar = figure.colorbar(drawn, ax=axes, label="epoch")
        bar.locator.set_params(integer=True)
        bar.update_ticks()
        bar.outline.set_visible(False)
        for name, at in (("start", 0), ("end", -1)):
            axes.annotate(name, (x[at], y[at]), (6, 6), textcoords="offset points", fontsize=9)
    axes.set(xlabel="exact zeros (%)", ylabel=metric)
    axes.margins(x=0.12, y=0.1)
    axes.set_title(f"{metric} against sparsity", loc="left")
    return figure


def shorter(paths: Sequence[str]) -> list[str]:
    """Paths without what all of them begin or end with, as far as they stay apart.

    Example:
        >>> shorter(["model/a/kernel", "model/b/kernel"])
        ['a', 'b']
    """
    parts = [path.split("/") for path in paths]
    while all(len(one) > 1 for one in parts) and len({one[0] for one in parts}) == 1:
        parts = [one[1:] for one in parts]
    while all(len(one) > 1 for one in parts) and len({one[-1] for one in parts}) == 1:
        parts = [one[:-1] for one in parts]
    return ["/".join(one) for one in parts]


def _axes(width: float, height: float) -> tuple[Any, Any]:
    figure = empty_figure(width, height)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _norms(kernel: Any, side: str) -> np.ndarray:
    """The norms of a kernel's groups, largest first."""
    layout = kernel.layout
    axes = (*layout.shared, *(layout.inputs if side == "inputs" else layout.outputs))
    others = tuple(axis for axis in range(len(layout.shape)) if axis not in axes)
    norms = np.sqrt(np.sum(np.square(values_of(kernel.variable)), axis=others)).ravel()
    return np.sort(norms)[::-1]


def _channel_norms(group: Any) -> np.ndarray:
    """The norms of what makes each channel of a group, largest first."""
    squares = np.zeros(group.size)
    for part in group.parts:
        if "makes" in part.roles:
            by_index = np.moveaxis(values_of(part.variable), part.axis, 0)
            by_index = np.square(by_index.astype("float64")).reshape(len(by_index), -1).sum(axis=1)
            squares += by_index[part.indices].sum(axis=1)
    return np.sort(np.sqrt(squares))[::-1]


def _history(history: Any, *names: str) -> dict[str, list]:
    values = getattr(history, "history", history)
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(
            f"Expected a history with {missing}: train with a SparsityReport among the callbacks. "
            f"Received: {sorted(values)}"
        )
    return values
