"""What a path of 20 strengths on 5 folds costs beside one `fit`, and beside solvers of lasso paths.

    KERAS_BACKEND=jax python benchmarks/selection.py [mlp] [cnn] [paths]

An MLP on scikit-learn's breast cancer data and a small CNN on its digits: the seconds of one `fit`
with as many epochs as the path's first strength has, of the path (six members at once: five folds
and all rows), and, with `--separate`, of 120 fits that start anew at each strength, whose scores
must lead to the same choices. `paths`: a lasso path of 20 strengths on diabetes by scikit-learn,
skglm, celer and adelie, of which those that are installed take part; they are made for it.
"""

import argparse
import importlib.util
import statistics
import time
import warnings

import keras
import numpy as np
import timing
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import lasso_path
from sklearn.preprocessing import StandardScaler

import keras_reg as kr

EPOCHS, FURTHER, FOLDS, STRENGTHS, BATCH = 50, 8, 5, 20, 32
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
    return (data.images[..., None] / 16).astype("float32"), data.target


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


def separate(build, x, y, penalty, grid):
    """Seconds and scores of networks that start anew at each strength, with all of the epochs."""
    seconds, parts = zip(
        *(a_path(build, x, y, penalty, [one, 1.0001 * one], further_epochs=1) for one in grid),
        strict=True,
    )
    whole = parts[0].__class__(grid, parts[0].folds, parts[0].seeds, "loss", "min")
    for place, part in enumerate(parts):
        for name in ("scores", "training_scores", "zeros"):
            getattr(whole, name)[place] = getattr(part, name)[0]
        whole.done[place] = True
    return sum(seconds), whole


def networks(name, rounds, is_separate):
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
    known = a_path(build, x, y, penalty, result.strengths)
    rows.append(row("the same, strengths given", known[0], base, known[1]))
    if is_separate:
        seconds, anew = separate(build, x, y, penalty, result.strengths)
        rows.append(row("new fits at each strength, six at once", seconds, base, anew))
    notes = result.notes
    title = f"{name} on {len(x)} rows, {notes['trained']}, {notes['bytes']:,} bytes a member"
    timing.report(f"selection: {name}", title, rows, HEADER)


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
    timing.report("selection: lasso paths", "20 strengths on diabetes, 442 x 6", rows, header)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["mlp", "cnn", "paths"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--separate", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for case in given.cases:
        if case == "paths":
            linear_paths(given.rounds)
        else:
            networks(case, given.rounds, given.separate)


if __name__ == "__main__":
    main()
