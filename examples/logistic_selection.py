"""Risk factors of breast cancer: which ones L1 and MCP keep, and how sure one can be of each.

`kr.selection.paths` trains logistic regressions along 16 strengths, on all training rows and on
five folds of them. The strength is the strongest whose ROC AUC is within one standard error of the
best; test rows take no part in the choice. `kr.selection.stability` counts on how many random
halves of the rows a factor is selected. Quickest with KERAS_BACKEND=jax.
Run with `python examples/logistic_selection.py`.
"""

import keras
import numpy as np
from reporting import command, save, show
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import keras_reg as kr

PENALTIES = {"L1": kr.regularizers.L1(), "MCP": kr.regularizers.MCP(gamma=1.0)}


def logistic():
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1)])
    # The largest curvature of the loss on standardized inputs is 3.3.
    descent = keras.optimizers.SGD(0.3, momentum=0.9)
    model.compile(descent, keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def scores(x, y, seed, run):
    """Test ROC AUC, factors and the path of each penalty, from one split of the rows."""
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(x)
    x, x_test = scaler.transform(x), scaler.transform(x_test)
    networks = {name: (logistic, penalty) for name, penalty in PENALTIES.items()}
    for name, result in kr.selection.paths(networks, x, y, batch_size=len(x), **run).items():
        logits = result.model("one_se").predict(x_test, verbose=0)[:, 0]
        yield name, roc_auc_score(y_test, logits), result.one_se.inputs_left, result


def main(output=".", epochs=300, folds=5, seeds=3, pairs=50):
    data = load_breast_cancer()
    x, y = data.data.astype("float32"), (data.target == 0).astype("int32")
    grid = {"epochs": epochs, "further_epochs": max(1, epochs // 3), "smallest": 0.01}
    run = grid | {"strengths": 16, "folds": folds, "score": "roc_auc"}
    found = [one for seed in range(seeds) for one in scores(x, y, seed, run)]
    results = {}
    for name in PENALTIES:
        areas, factors = zip(*(one[1:3] for one in found if one[0] == name), strict=True)
        results[name] = {"AUC": np.mean(areas), "±": np.std(areas), "factors": np.mean(factors)}
    formats = {"AUC": ".4f", "±": ".4f", "factors": ".1f"}
    show(f"Breast cancer, {seeds} splits, strengths by {folds} folds", results, formats)

    scaled = StandardScaler().fit_transform(x)
    stable = kr.selection.stability(
        logistic, scaled, y, PENALTIES["L1"], pairs=pairs, batch_size=len(x) // 2, **grid
    )
    chances = stable.probabilities(stable.place(threshold=0.75, errors=2.5))
    kept = {name: result.norms[result.one_se.place, 0] for name, *_, result in found[-2:]}
    factors = {
        data.feature_names[number]: {"probability": chances[number]}
        | {name: "yes" if norms[number] else "" for name, norms in kept.items()}
        for number in np.argsort(-chances, kind="stable")[:12]
    }
    show("Selected on halves of the rows", factors, {"probability": ".0%", "L1": "", "MCP": ""})
    save(stable.plot(threshold=0.75, errors=2.5), output, "logistic_selection.png")
    return results | {"factors": factors}


if __name__ == "__main__":
    command(main)
