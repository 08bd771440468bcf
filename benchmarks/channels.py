"""Test accuracy over the multiply-adds that are left, for penalties on channels and on kernels.

    KERAS_BACKEND=jax python benchmarks/channels.py
    python benchmarks/channels.py --report

Small ResNets and MobileNets, on scikit-learn's digits and on mnist1d. All train for the same epochs
with the same batches and learning rates. What is left is counted in the model of `kr.compact`.
Each result is a line of channels.jsonl, and a run that is started again goes on. `--report` writes
the tables of RESULTS.md and docs/channels.md and docs/images/channels.png.
"""

import argparse
import itertools
import pathlib
import statistics
from collections.abc import Sequence

import channels_tasks as tasks
import keras
import numpy as np
import timing
from accuracy_tasks import LOWEST, RATE, Store

import keras_reg as kr
from keras_reg.figures import empty_figure

# A training is EPOCHS long. Shares of it: when a steered penalty has reached its target, or a ramp
# ends; and from when on what is left of the model trains alone.
EPOCHS, BATCH = 24, 64
STEERED, RANKED = (0.35, 0.65), (0.5, 0.75)
# The share of the channels that every layer keeps.
FLOOR = 0.2
R = kr.regularizers
DOCS = pathlib.Path(__file__).parents[1] / "docs"
PICTURE, GUIDE = DOCS / "images/channels.png", DOCS / "channels.md"
STORE = pathlib.Path(__file__).with_name("channels.jsonl")


def on_channels(model: keras.Model, share: float, steps: int):
    """A concave penalty on channels, steered to a share of the multiply-adds."""
    steer = kr.callbacks.TargetSparsity(share, until=STEERED[0], of="macs")
    penalty = R.Trimmed(R.LogSum(0.01), FLOOR)
    return {kr.channels(model): penalty}, {}, [steer], STEERED[1]


def ranked(model: keras.Model, share: float, steps: int):
    """The channels with the smallest norms go until a share of the multiply-adds has gone."""
    ramp = kr.schedules.Polynomial(0.0, share, steps=round(RANKED[0] * EPOCHS * steps))
    penalty = R.TopK(ramp, scope="all", of="macs", at_least=FLOOR)
    return {kr.channels(model): penalty}, {"every": 10}, [], RANKED[1]


def on_kernels(model: keras.Model, share: float, steps: int):
    """A group lasso on the filters of each kernel, steered to a share of the filters.

    Where so many go of all, about the square of what stays is left of the multiply-adds.
    """
    steer = kr.callbacks.TargetSparsity(1 - (1 - share) ** 0.5, until=STEERED[0], of="groups")
    return R.GroupLasso(0.01, group_axis="outputs"), {"model": model}, [steer], STEERED[1]


METHODS = {
    "LogSum on channels": on_channels,
    "TopK of channels": ranked,
    "GroupLasso of each kernel": on_kernels,
}
SHARES = (0.75, 0.9)


def train(task: str, method: str, share: float, seed: int) -> tuple[float, float]:
    """The share of the multiply-adds that is left, and the test accuracy, after a training."""
    name, data = task.split()
    x, x_test, y, y_test = tasks.data(data)
    steps = -(-len(x) // BATCH)
    keras.utils.set_random_seed(seed)
    model = tasks.network(name, data)
    macs = kr.sparsity(model).macs
    penalties, arguments, callbacks, refit = None, {}, [], RANKED[1]
    if method != "dense":
        penalties, arguments, callbacks, refit = METHODS[method](model, share, steps)
    first, last = round(refit * EPOCHS), round((1 - refit) * EPOCHS)
    cosine = keras.optimizers.schedules.CosineDecay
    optimizer = keras.optimizers.Adam(cosine(RATE, first * steps, LOWEST))
    if penalties is not None:
        optimizer = kr.optimizers.Proximal(optimizer, penalties, **arguments)
        callbacks += [kr.callbacks.Refit(refit, cosine(RATE, last * steps, LOWEST))]
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    epochs = EPOCHS if callbacks else first
    model.fit(x, y, BATCH, epochs, verbose=0, callbacks=callbacks)
    right = np.argmax(model.predict(x_test, 256, verbose=0), axis=1) == y_test
    left = kr.sparsity(kr.compact(model)).macs if callbacks else macs
    return left / macs, float(np.mean(right))


Points = dict[tuple[str, str, float], list[tuple[float, ...]]]


def points(results: dict) -> Points:
    """Multiply-adds left and accuracy of all seeds, by task, method and share that is to go."""
    found: Points = {}
    for (task, method, share, _), result in results.items():
        found.setdefault((task, method, share), []).append(result)
    return found


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, 0 of one value."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.mean(values), error


def cell(results: Sequence[tuple[float, ...]]) -> str:
    """The mean accuracy, its standard error, the multiply-adds left and the number of seeds."""
    if not results:
        return ""
    left, accuracies = zip(*results, strict=True)
    mean, error = mean_and_error(accuracies)
    spread = f" ± {100 * error:.1f}" if error else ""
    return f"{mean:.1%}{spread} ({statistics.mean(left):.0%}; {len(results)})"


def report(results: dict) -> None:
    """Writes the table and the figure."""
    found = points(results)
    names = list(dict.fromkeys(task for task, method, _ in found if method != "dense"))
    shares = sorted({share for _, _, share in found if share})
    table = []
    for task in names:
        table.append(
            (task, "dense", cell(found.get((task, "dense", 0.0), [])), *[""] * len(shares))
        )
        table += [
            (task, method, "", *(cell(found.get((task, method, share), [])) for share in shares))
            for method in METHODS
            if any((task, method, share) in found for share in shares)
        ]
    header = ("network, task", "method", "all", *(f"to {1 - share:.0%}" for share in shares))
    title = (
        f"Test accuracy ± standard error, {EPOCHS} epochs; in brackets the multiply-adds left, and "
        "the seeds"
    )
    timing.report("channels", title, table, header)
    timing.write_section(GUIDE, "channels", f"{title}\n\n{timing.markdown(header, table)}")
    draw(found, names, shares)


def draw(found: Points, names: Sequence[str], shares: Sequence[float]) -> None:
    figure = empty_figure(3.6 * len(names), 3.6)
    for axes, task in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for number, method in enumerate(METHODS):
            own = [found[key] for share in shares if (key := (task, method, share)) in found]
            if not own:
                continue
            left = [mean_and_error([one for one, _ in results])[0] for results in own]
            accuracy = [mean_and_error([one for _, one in results]) for results in own]
            style = {"fmt": "o-", "color": f"C{number}", "markersize": 3, "capsize": 2}
            axes.errorbar(left, *zip(*accuracy, strict=True), label=method, **style)
        dense = mean_and_error([one for _, one in found[task, "dense", 0.0]])[0]
        axes.axhline(dense, color="0.5", linestyle=":", label="dense")
        axes.set(xlabel="multiply-adds left", ylabel="test accuracy", title=task)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(PICTURE, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=STORE)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--networks", nargs="*", default=list(tasks.NETWORKS))
    parser.add_argument("--tasks", nargs="*", default=list(tasks.TASKS))
    parser.add_argument("--shares", nargs="*", type=float, default=SHARES)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    store = Store(options.store)
    if options.report:
        report(store.read())
        return
    for seed, name, data in itertools.product(
        range(options.seeds), options.networks, options.tasks
    ):
        for method, share in [("dense", 0.0), *itertools.product(options.methods, options.shares)]:
            key = (f"{name} {data}", method, share, seed)
            if not store.has(key):
                store.add(key, *train(*key))


if __name__ == "__main__":
    main()
