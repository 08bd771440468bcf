"""Number words from one language into another: regularized, then with fewer heads and units.

An encoder-decoder with attention learns from a few hundred pairs such as "two hundred and five",
"deux cent cinq", generated with `num2words`, and translates numbers that it has not seen, word by
word. A translation counts if every word is right. Rates and strengths are those that do best on
validation data. Last, `TopK` makes half of the attention heads, of their sizes and of the units of
the dense layer zero, and `compact` removes them. Run with `python examples/translation.py`.
"""

import functools
import re

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from num2words import num2words
from reporting import command, save, show
from rich.progress import track

import keras_reg as kr

UNITS, BATCH, START, END = 64, 32, 1, 2
RATES, L2S = (0.15, 0.3), (1e-5, 1e-4)


def sentences(numbers, language):
    """Word numbers, padded with 0, between START and END."""
    texts = [re.findall(r"\w+", num2words(int(number), lang=language)) for number in numbers]
    words = sorted({word for text in texts for word in text})
    vocabulary = {word: place for place, word in enumerate(words, START + 2)}
    ids = [[START, *(vocabulary[word] for word in text), END] for text in texts]
    return keras.utils.pad_sequences(ids, padding="post"), len(vocabulary) + 3


def network(lengths, vocabularies, rate, l2):
    keras.utils.set_random_seed(0)
    source, target = (keras.Input((length,), dtype="int32") for length in lengths)
    read, written = (
        layers.Embedding(words, UNITS)(sentence)
        for words, sentence in zip(vocabularies, (source, target), strict=True)
    )
    if rate is not None:
        read, written = (kr.layers.ScheduledDropout(rate)(part) for part in (read, written))
    memory, forward, backward = layers.Bidirectional(
        layers.GRU(UNITS // 2, return_sequences=True, return_state=True)
    )(read)
    state = layers.Concatenate()([forward, backward])
    hidden = layers.GRU(UNITS, return_sequences=True)(written, initial_state=state)
    seen = layers.MultiHeadAttention(8, UNITS // 8, name="attention")(hidden, memory)
    hidden = layers.Dense(2 * UNITS, "relu", name="mlp")(layers.Concatenate()([hidden, seen]))
    if rate is not None:
        hidden = kr.layers.ScheduledDropout(rate)(hidden)
    model = keras.Model([source, target], layers.Dense(vocabularies[1])(hidden))
    if l2:
        kr.regularize(model, kr.regularizers.L2(l2))
    return model


def translate(model, source, length):
    """The likeliest next word, again and again, for all sentences at once."""
    written = np.zeros((len(source), length), "int32")
    written[:, 0] = START
    for place in range(1, length):
        logits = model.predict([source, written[:, :-1]], 512, verbose=0)[:, place - 1]
        is_over = np.any(written == END, axis=1)
        written[:, place] = np.where(is_over, 0, logits.argmax(axis=1))
    return written


def fit(data, vocabularies, epochs, rate=0.0, l2=0.0, share=0.0):
    """A model, of whose heads, their sizes and units a share becomes zero, and its history."""
    x, y, count = data
    steps = epochs * -(-count // BATCH)
    falling = kr.schedules.Linear(rate, 0.0, steps=max(1, steps * 3 // 4)) if rate else None
    model = network((x.shape[1], y.shape[1] - 1), vocabularies, falling, l2)
    optimizer = keras.optimizers.Adam(3e-3)
    if share:
        ramp = kr.schedules.Polynomial(0.0, share, steps=max(1, steps // 2))
        parts = kr.channels(model).matching("attention/(query|value)|mlp")
        optimizer = kr.optimizers.Proximal(optimizer, {parts: kr.regularizers.TopK(ramp)})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(optimizer, loss, jit_compile=False)
    train, rest = (([x[p], y[p, :-1]], y[p, 1:]) for p in (slice(count), slice(count, 2 * count)))
    return model, model.fit(*train, BATCH, epochs, verbose=0, validation_data=rest).history


def exact(model, x, y):
    return np.mean(np.all(translate(model, x, y.shape[1])[:, 1:] == y[:, 1:], axis=1))


def main(output=".", source="en", target="fr", count=300, epochs=60, tested=1000, l2=0.0, rate=0.0):
    numbers = np.random.default_rng(0).permutation(10_000)[: 2 * count + tested]
    (x, words), (y, other_words) = (sentences(numbers, lang) for lang in (source, target))
    fits = functools.partial(fit, (x, y, count), (words, other_words), epochs)
    validation = x[count : 2 * count], y[count : 2 * count]
    # Those that are not given are chosen on validation data.
    rate = rate or max(RATES, key=lambda rate: exact(fits(rate)[0], *validation))
    l2 = l2 or max(L2S, key=lambda l2: exact(fits(0.0, l2)[0], *validation))
    settings = {"none": (), f"L2 {l2:g}": (0.0, l2), f"dropout {rate:g}": (rate,)}
    settings |= {"both": (rate, l2), "dropout, half of heads and units": (rate, 0.0, 0.5)}
    results = {}
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, setting in track(settings.items()):
        model, history = fits(*setting)
        model = kr.compact(model) if len(setting) == 3 else model
        results[name] = {
            "exact match": exact(model, x[2 * count :], y[2 * count :]),
            "in training": exact(model, x[:count], y[:count]),
            "weights": model.count_params(),
        }
        axes.plot(history["val_loss"], label=name)
    title = f"{source} to {target}: {count} numbers for training, {tested} for the test"
    show(title, results, {"exact match": ".1%", "in training": ".1%", "weights": ",d"})
    axes.set(xlabel="epoch", ylabel="validation loss, with L2's", yscale="log", title=title)
    axes.legend()
    save(figure, output, "translation.png")
    return results


if __name__ == "__main__":
    command(main)
