"""Half the multiply-adds: a trained convolutional network made smaller, checked and exported.

A small residual network learns scikit-learn's digits. Then it is trained on with a penalty on its
channels, whose strength `TargetSparsity` steers until half of the multiply-adds are gone; `Refit`
trains what is left without the penalty; `compact` removes the channels; `check_export` runs the
exported file. `--format onnx` and others take what `model.export` does. Run with `python
examples/shrink.py`; it takes about two minutes on two cores.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import rich
from keras import layers
from reporting import command, save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_reg as kr

BATCH, STRENGTH = 64, 1e-3


def load():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8, 1).astype("float32")
    return train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)


def network(filters=(24, 48, 96)):
    keras.utils.set_random_seed(0)
    first, second, third = filters
    x = keras.Input((8, 8, 1))
    y = layers.Conv2D(first, 3, padding="same", activation="relu", name="conv_1")(x)
    way = layers.Conv2D(second, 3, padding="same", use_bias=False, name="conv_2")(y)
    way = layers.ReLU()(layers.BatchNormalization(name="norm_2")(way))
    way = layers.Conv2D(second, 3, padding="same", name="conv_3")(way)
    y = layers.ReLU()(layers.Add()([layers.Conv2D(second, 1, name="shortcut")(y), way]))
    y = layers.MaxPooling2D()(y)
    y = layers.Conv2D(third, 3, padding="same", activation="relu", name="conv_4")(y)
    y = layers.GlobalMaxPooling2D()(y)
    return keras.Model(x, layers.Dense(10, name="logits")(y), name="digits")


def fit(model, optimizer, x, y, epochs, callbacks=()):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(x, y, BATCH, epochs, verbose=0, callbacks=list(callbacks))


def shrink(model, x, y, epochs, share=0.5, callbacks=()):
    """Trains on until channels that do `share` of the multiply-adds are zero, then removes them."""
    steps = epochs * -(-len(x) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, round(0.75 * steps), alpha=0.05)
    penalties = {kr.channels(model): kr.regularizers.GroupLasso(STRENGTH)}
    optimizer = kr.optimizers.Proximal(keras.optimizers.Adam(rate), penalties)
    target = kr.callbacks.TargetSparsity(share, until=0.4, of="macs")
    fit(model, optimizer, x, y, epochs, [target, kr.callbacks.Refit(at=0.75), *callbacks])
    return kr.compact(model)


def widths(model):
    """The number of channels that each convolution makes."""
    return {row.path.split("/")[-2]: row.outputs for row in kr.sparsity(model).rows}


def draw(dense, small, axes):
    """A bar for each layer: what it had, and what is left."""
    before, after = widths(dense), widths(small)
    places = np.arange(len(before))[::-1]
    axes.barh(places, before.values(), color="0.85", label="before")
    axes.barh(places, after.values(), color="C0", height=0.5, label="after")
    for place, (name, count) in zip(places, after.items(), strict=True):
        axes.text(before[name] + 1, place, f"{before[name]} → {count}", va="center", fontsize=9)
    axes.set(yticks=places, yticklabels=before, xlabel="channels", xlim=(0, 115))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(
        "multiply-adds: {:,} → {:,}".format(*(kr.sparsity(m).macs for m in (dense, small)))
    )
    axes.legend(loc="lower right", frameon=False)


def main(output=".", epochs=40, share=0.5, format=""):  # noqa: A002
    x, x_test, y, y_test = load()
    dense = network()
    fit(dense, keras.optimizers.Adam(2e-3), x, y, epochs // 2)
    model = network()
    model.set_weights(dense.get_weights())
    small = shrink(model, x, y, epochs, share)
    print(kr.compacting.removable(model))
    native = "torch" if keras.backend.backend() == "torch" else "tf_saved_model"
    models = {"dense": dense, "trained": model, "compact": small}
    table = kr.compare(models, x_test, y_test, ["accuracy"], formats=format or native)
    rich.print(table)
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    draw(dense, small, axes)
    save(figure, output, "shrink.png")
    return table


if __name__ == "__main__":
    command(main)
