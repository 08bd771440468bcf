"""What a path of 20 strengths on 5 folds costs beside one `fit`, and beside solvers of lasso paths.

    KERAS_BACKEND=jax python benchmarks/selection.py [mlp] [cnn] [paths] [choices]

An MLP on scikit-learn's breast cancer data, a small CNN on some of its digits: the seconds of one
`fit` with as many epochs as the path's first strength has, and of the path (six members: five folds
and all rows). `paths`: a lasso path of 20 strengths on diabetes by scikit-learn, skglm, celer and
adelie, of which those that are installed take part; they are made for it. `choices`, only if asked
for, takes minutes: how far the choices and scores of a path are from those of a new fit at each
strength, what another seed changes in these, and where the difference comes from.
"""

import argparse
import functools
import importlib.util
import inspect
import statistics
import time
import warnings

import keras
import numpy as np
import timing
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import lasso_path
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

import keras_reg as kr
from keras_reg.selection.path import begin

EPOCHS, FURTHER, FOLDS, STRENGTHS, BATCH = 50, 8, 5, 20, 32
NEW = {"warm": False, "further_epochs": None}
# Of the digits: a path of convolutions takes minutes.
ROWS = 600
HEADER = ("case", "seconds", "of one fit", "best", "one SE", "score", "zeros at one SE")


def mlp():
    model = keras.Sequential([keras.Input((30,))])
    model.add(keras.layers.Dense(64, activation="relu", name="first"))
    model.add(keras.layers.Dense(32, activation="relu"))
    model.add(keras.layers.Dense(2))
    return compiled(model)


def cnn():
    model = keras.Sequential([keras.Input((8, 8, 1))])
    model.add(keras.layers.Conv2D(16, 3, activation="relu", name="first"))
    model.add(keras.layers.Conv2D(32, 3, activation="relu"))
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(10))
    return compiled(model)


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    return model


def cancer():
    data = load_breast_cancer()
    return StandardScaler().fit_transform(data.data).astype("float32"), data.target


def digits():
    data = load_digits()
    return (data.images[:ROWS, ..., None] / 16).astype("float32"), data.target[:ROWS]


CASES = {
    "mlp": (mlp, cancer, {"first/kernel": kr.regularizers.GroupLasso(group_axis="inputs")}),
    "cnn": (cnn, digits, {"first/kernel": kr.regularizers.GroupLasso(group_axis="outputs")}),
}


def one_fit(build, x, y, penalty, epochs):
    """Seconds of one `fit` on all rows, compilation in it, as in those of a path."""
    keras.utils.set_random_seed(0)
    model = build()
    model.optimizer = kr.optimizers.Proximal(model.optimizer, penalty)
    start = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return time.perf_counter() - start


def a_path(build, x, y, penalty, strengths=STRENGTHS, **settings):
    run = {"epochs": EPOCHS, "further_epochs": FURTHER, "folds": FOLDS, "batch_size": BATCH}
    start = time.perf_counter()
    grid = {"strengths": strengths, "smallest": 0.02}
    result = kr.selection.path(build, x, y, penalty, verbose=0, **grid | run | settings)
    return time.perf_counter() - start, result


def row(name, seconds, base, result):
    best, one_se = result.best, result.one_se
    chosen = f"{best.strength:.3g}", f"{one_se.strength:.3g}"
    score = f"{best.score:.4f} ± {best.error:.4f}"
    ratio = f"{seconds / base:.1f}" if base else ""
    return name, f"{seconds:.1f}", ratio, *chosen, score, f"{one_se.zeros:.0%}"


def separate(build, x, y, penalty, grid, folds, seeds):
    """The scores of a plain `fit` for each strength and fold, with Keras's own shuffling."""
    result = kr.selection.PathResult(grid, list(range(FOLDS)), seeds * FOLDS, "loss", "min")
    keras.utils.set_random_seed(seeds[0])
    model = build()
    unit = max(one.strength for one in penalty.values())
    model.optimizer = kr.optimizers.Proximal(model.optimizer, penalty)
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    start = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
    for fold, (train, test) in enumerate(folds.split(x, y)):
        for place, strength in enumerate(grid):
            for variable, value in zip(variables, start, strict=True):
                variable.assign(value)
            model.optimizer.strength_scale = strength / unit
            keras.utils.set_random_seed(1000 * seeds[0] + fold)
            model.fit(x[train], y[train], batch_size=BATCH, epochs=EPOCHS, verbose=0)
            result.scores[place, fold] = model.evaluate(x[test], y[test], verbose=0)
    result.done[:] = True
    return result


def walked(build, x, y, penalty, grid, trained, **settings):
    """The result where `trained` says how members come to be at each strength.

    Args:
        trained: function of (trainer, members, strengths, place) to the members' states.
    """
    run = {"epochs": EPOCHS, "batch_size": BATCH, "verbose": 0} | settings
    arguments = inspect.signature(kr.selection.path).bind(
        build, x, y, penalty, strengths=grid, **run
    )
    arguments.apply_defaults()
    result, prepared = begin(**arguments.arguments)
    walk, members = prepared.walk, prepared.recipe.members
    for place, strength in enumerate(grid):
        now = trained(walk.trainer, members, [strength] * len(members), place)
        visit = walk._visit(place, members, now, walk.trainer.states(now))
        result.add(visit, list(range(len(members))))
    return result


def as_long(trainer, members, strengths, place):
    """New networks, trained for as many epochs as those of a path have had at that place."""
    return trainer.train(trainer.start(members), members, strengths, EPOCHS + FURTHER * place, 0)


def from_dense(trainer, members, strengths, place):
    """Networks that were trained without a penalty before, for as many epochs."""
    dense = trainer.train(trainer.start(members), members, [0.0] * len(members), EPOCHS, 0)
    return trainer.train(dense, members, strengths, EPOCHS, 1)


def networks(name, rounds):
    build, load, penalty = CASES[name]
    x, y = load()
    fits, found = [], []
    for _ in range(rounds):
        fits.append(one_fit(build, x, y, penalty, EPOCHS))
        found.append(a_path(build, x, y, penalty))
    base, result = statistics.median(fits), found[-1][1]
    seconds = base * statistics.median(t / fit for (t, _), fit in zip(found, fits, strict=True))
    rows = [
        (f"one fit, {EPOCHS} epochs", f"{base:.1f}", "1.0", "", "", "", ""),
        row(f"path, {STRENGTHS} strengths x {FOLDS} folds", seconds, base, result),
    ]
    # The strengths are known: what the search for the largest costs is the difference.
    cases = {"the same, strengths given": {}, "a new network at each, warm=False": NEW}
    if result.notes["trained"] == "stacked":
        cases["one member after the other"] = {"stack": False}
    for case, how in cases.items():
        known = a_path(build, x, y, penalty, result.strengths, **how)
        rows.append(row(case, known[0], base, known[1]))
    notes = result.notes
    title = (
        f"{name} on {len(x)} rows, {notes['trained']}, {notes['bytes']:,} bytes a member, "
        f"{rounds} rounds"
    )
    timing.report(f"selection: {name} {keras.backend.backend()}", title, rows, HEADER)


def kinds_of_training(build, x, y, penalty, grid):
    """Names, and functions of folds and a seed to the results of what is set beside new fits."""
    new = functools.partial(a_path, build, x, y, penalty, grid, **NEW)
    by = functools.partial(walked, build, x, y, penalty, grid)
    return {
        "new fits": lambda **run: new(**run)[1],
        "path": lambda **run: a_path(build, x, y, penalty, grid, **run)[1],
        "new fits, from another seed": lambda folds, seeds: new(
            folds=folds, seeds=[1000 + seeds[0]]
        )[1],
        "new fits, as long as the path until there": lambda **run: by(as_long, **run),
        "fits from networks trained without a penalty": lambda **run: by(from_dense, **run),
        "plain fits by Keras": lambda **run: separate(build, x, y, penalty, grid, **run),
    }


def choices(seeds):
    """How far the choices of a path are from those of new fits, and these from one another."""
    build, load, penalty = CASES["mlp"]
    x, y = load()
    grid = a_path(build, x, y, penalty)[1].strengths
    kinds = kinds_of_training(build, x, y, penalty, grid)
    found = {kind: [] for kind in list(kinds)[1:]}
    for seed in range(seeds):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        fits, *others = (train(folds=folds, seeds=[seed]) for train in kinds.values())
        for kind, other in zip(found, others, strict=True):
            found[kind].append(apart(fits, other))
    report_choices(found)


def report_choices(kinds):
    """The table of what `apart` says of each kind of training, for each seed."""
    rows = []
    for kind, found in kinds.items():
        best, one_se, score, chosen = np.array(found).T
        steps = [f"{np.mean(one):+.1f}, {np.mean(np.abs(one)):.1f}" for one in (best, one_se)]
        same = [f"{np.mean(one == 0):.0%}" for one in (best, one_se)]
        scores = f"{np.median(score):.2f}", f"{np.median(chosen):+.2f}"
        rows.append((kind, str(len(found)), same[0], steps[0], same[1], steps[1], *scores))
    title = (
        f"mlp, {STRENGTHS} strengths, each seed with its own division into folds; beside new fits "
        "at each strength on the same folds. Steps of the grid: the mean, and that of their size. "
        "Scores, in standard errors: the median difference at one strength, and of the best"
    )
    header = ("", "seeds", "same best", "steps", "same one SE", "steps", "apart", "best score")
    timing.report("selection: choices", title, rows, header)


def apart(fits, other):
    """Steps of the grid between the choices, and differences of scores in standard errors."""
    error = fits.best.error
    scores = [
        abs(one.score - two.score) / error for one, two in zip(fits.rows, other.rows, strict=True)
    ]
    return (
        other.best.place - fits.best.place,
        other.one_se.place - fits.one_se.place,
        np.median(scores),
        (other.best.score - fits.best.score) / error,
    )


def solvers(x, y, grid):
    """For each solver that is installed, a function to its coefficients, (inputs, grid)."""
    yield "scikit-learn", lambda: lasso_path(x, y, alphas=grid, tol=1e-8)[1]
    if importlib.util.find_spec("skglm"):
        from skglm import Lasso

        model = Lasso(tol=1e-8, fit_intercept=False)
        yield "skglm", lambda: model.path(x, y, alphas=grid)[1]
    if importlib.util.find_spec("celer"):
        from celer import celer_path

        yield "celer", lambda: celer_path(x, y, pb="lasso", alphas=grid, tol=1e-8)[1]
    if importlib.util.find_spec("adelie"):
        import adelie

        data = np.asfortranarray(x)
        glm = adelie.glm.gaussian(y)
        settings = {"intercept": False, "progress_bar": False, "early_exit": False, "tol": 1e-12}
        yield (
            "adelie",
            lambda: adelie.grpnet(data, glm, lmda_path=grid, **settings).betas.T.toarray(),
        )


def linear_paths(rounds):
    data = load_diabetes()
    x = StandardScaler().fit_transform(data.data[:, [0, 1, 2, 3, 8, 9]])
    y = (data.target - data.target.mean()) / data.target.std()
    grid = np.geomspace(1, 1e-3, 20) * np.abs(x.T @ y).max() / len(x)
    step = float(0.5 / np.linalg.eigvalsh(np.cov(x.T, bias=True))[-1])

    def build():
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, use_bias=False)])
        model.compile(keras.optimizers.SGD(step, momentum=0.5), "mse")
        return model

    def ours():
        run = {"epochs": 60, "further_epochs": 60, "batch_size": len(x), "verbose": 0}
        result = kr.selection.path(
            build, x, y, kr.regularizers.L1(), strengths=2 * grid[::-1], **run
        )
        return np.stack([weights[0][:, 0] for weights in result.weights[::-1]], axis=1)

    cases = dict(solvers(x, y, grid)) | {"keras_reg path": ours}
    expected = cases["scikit-learn"]()
    apart = {name: np.abs(case() - expected).max() for name, case in cases.items()}
    seconds = timing.interleave(cases, rounds, warm_up=0)
    rows = []
    for name, times in seconds.items():
        ratio = timing.ratio(seconds, name, "scikit-learn")
        rows.append(
            (name, f"{1e3 * timing.median(times):.1f}", f"{ratio:.1f}", f"{apart[name]:.0e}")
        )
    header = ("solver", "median ms", "of scikit-learn", "largest difference of a coefficient")
    section = f"selection: lasso paths {keras.backend.backend()}"
    timing.report(section, "20 strengths on diabetes, 442 x 6", rows, header)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["mlp", "cnn", "paths"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=10, help="of choices")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for case in given.cases:
        if case == "paths":
            linear_paths(given.rounds)
        elif case == "choices":
            choices(given.seeds)
        else:
            networks(case, given.rounds if case == "mlp" else 1)


if __name__ == "__main__":
    main()
