"""Risk factors of breast cancer, selected by L1 and by MCP.

One Dense layer with a column of weights for each strength is a whole path of logistic regressions,
trained at once: `weights=` gives each column its own strength. The strength is the one with the
best ROC AUC in five-fold cross-validation, or the strongest within one standard error of it. Run
with `python examples/logistic_selection.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from reporting import command, save, show
from rich.progress import track
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_reg as kr

STRENGTHS = np.geomspace(0.3, 0.001, 16)


def path(x, y, penalty, steps):
    """Coefficients and intercepts of a logistic regression for each strength, in columns."""
    layer = keras.layers.Dense(len(STRENGTHS), kernel_initializer="zeros")
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    # Keras takes the mean over the columns: their gradients are that much smaller.
    weights = np.tile(STRENGTHS / len(STRENGTHS), (x.shape[1], 1))
    curvature = np.linalg.eigvalsh(np.cov(x.T, bias=True))[-1] / 4 / len(STRENGTHS)
    descent = keras.optimizers.SGD(float(1 / curvature), momentum=0.9)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(kr.optimizers.Proximal(descent, penalty(weights)), loss)
    labels = np.tile(y[:, None], len(STRENGTHS))
    copies = np.tile(x, (100, 1)), np.tile(labels, (100, 1))
    model.fit(*copies, len(x), max(1, steps // 100), shuffle=False, verbose=0)
    return model.get_weights()


def l1(weights):
    return kr.regularizers.L1(1.0, weights=weights)


def mcp(weights):
    return kr.regularizers.MCP(1.0, gamma=1.0, weights=weights)


def cross_validated(x, y, folds, penalty, steps):
    """ROC AUC of each fold, in rows, and strength, in columns."""
    scores = []
    for train, test in track(list(folds.split(x, y)), f"{penalty.__name__:3}"):
        scaler = StandardScaler().fit(x[train])
        kernel, bias = path(scaler.transform(x[train]), y[train], penalty, steps)
        logits = scaler.transform(x[test]) @ kernel + bias
        scores.append([roc_auc_score(y[test], column) for column in logits.T])
    return np.array(scores)


def choose(scores):
    """The strongest penalty within one standard error of the best."""
    mean, error = scores.mean(axis=0), scores.std(axis=0, ddof=1) / np.sqrt(len(scores))
    return int(np.argmax(mean >= mean.max() - error[mean.argmax()]))


def main(output=".", steps=2000, folds=5):
    keras.utils.set_random_seed(0)
    data = load_breast_cancer()
    x, y = data.data.astype("float32"), (data.target == 0).astype("float32")
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=np.inf, max_iter=10_000))
    auc = cross_val_score(plain, x, y, cv=splits, scoring="roc_auc")
    results = {"no penalty": {"strength": 0.0, "factors": x.shape[1], "AUC": auc.mean()}}
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
    for panel, penalty in zip(axes, (l1, mcp), strict=True):
        scores = cross_validated(x, y, splits, penalty, steps)
        kernel, _ = path(StandardScaler().fit_transform(x), y, penalty, steps)
        best = choose(scores)
        chosen = np.flatnonzero(kernel[:, best])
        row = {"strength": STRENGTHS[best], "factors": len(chosen), "AUC": scores[:, best].mean()}
        results[penalty.__name__.upper()] = row
        panel.plot(STRENGTHS, kernel.T, color="0.8")
        for factor in chosen:
            panel.plot(STRENGTHS, kernel[factor], label=data.feature_names[factor])
        panel.axvline(STRENGTHS[best], color="k", linestyle=":")
        panel.set(title=penalty.__name__.upper(), xscale="log", xlabel="strength")
        panel.legend(fontsize="x-small")
        print(f"{penalty.__name__.upper()}: {', '.join(data.feature_names[chosen])}")
    axes[0].set_ylabel("standardized coefficient")
    formats = {"strength": ".3f", "factors": "d", "AUC": ".4f"}
    show(f"Breast cancer, {folds}-fold cross-validation", results, formats)
    save(figure, output, "logistic_selection.png")
    return results


if __name__ == "__main__":
    command(main)
