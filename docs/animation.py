"""Draws docs/images/shrink.gif: channels that vanish during training, and the network that is left.

Run with `python docs/animation.py`. It trains the network of examples/shrink.py and draws that
example's picture too, as gallery_shrink.png.
"""

import pathlib
import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

import keras_reg as kr

ROOT = pathlib.Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT / "examples"))
import shrink  # noqa: E402

EPOCHS, SLIDE, HOLD = 40, 10, 12
LAYERS = ("conv_1", "conv_2", "conv_3", "conv_4")
COLUMNS = {"conv_1": 4, "conv_2": 6, "conv_3": 6, "conv_4": 8}
DEAD = (0.95, 0.95, 0.95, 1.0)


class Recorder(keras.callbacks.Callback):
    """The norm of every channel's kernel and the multiply-adds left, after each epoch."""

    def __init__(self, x, y):
        super().__init__()
        self.data, self.norms, self.left, self.accuracy = (x, y), [], [], []

    def on_train_begin(self, logs=None):
        self.on_epoch_end(-1)

    def on_epoch_end(self, epoch, logs=None):
        kernels = [self.model.get_layer(name).get_weights()[0] for name in LAYERS]
        self.norms.append([np.sqrt(np.square(k).sum(axis=(0, 1, 2))) for k in kernels])
        table = kr.sparsity(self.model)
        self.left.append(table.macs_left / table.macs)
        x, y = self.data
        self.accuracy.append(np.mean(self.model.predict(x, verbose=0).argmax(axis=1) == y))


def places(count, name):
    """Where the channels of a layer are drawn: rows of a few columns, from the top."""
    numbers = np.arange(count)
    return np.stack([numbers % COLUMNS[name], -(numbers // COLUMNS[name])], axis=1).astype(float)


def positions(norms, name, moved):
    """Places on the way from the full grid (0) to that of the channels left (1)."""
    full, alive = places(len(norms), name), norms > 0
    goal = full.copy()
    goal[alive] = places(alive.sum(), name)
    return full + moved * (goal - full)


def colours(norms, largest, moved):
    shades = plt.get_cmap("viridis_r")(0.25 + 0.7 * np.minimum(1.0, norms / largest))
    shades[norms == 0] = DEAD
    shades[norms == 0, 3] = 1 - moved
    return shades


def animate(record):
    figure, panels = plt.subplots(1, len(LAYERS) + 1, figsize=(8, 3), layout="constrained")
    largest = [np.max(norms) for norms in record.norms[0]]
    sizes = {"s": 70, "marker": "s", "linewidths": 0}
    clouds = []
    for axes, name, norms in zip(panels, LAYERS, record.norms[0], strict=False):
        clouds.append(axes.scatter(*places(len(norms), name).T, **sizes))
        axes.set(xlim=(-0.7, 7.7), ylim=(-11.7, 0.7), aspect="equal")
        axes.axis("off")
    bars = panels[-1].bar([0, 1], [1, 1], color=["C0", "C2"], width=0.6)
    panels[-1].set(xticks=[0, 1], ylim=(0, 1.1), yticks=[])
    panels[-1].set_xticklabels(["multiply-\nadds", "test\naccuracy"], fontsize=9)
    panels[-1].spines[["top", "right", "left"]].set_visible(False)
    labels = [panels[-1].text(place, 1.0, "", ha="center", va="bottom") for place in (0, 1)]
    last = len(record.norms) - 1

    def draw(frame):
        epoch, moved = min(frame, last), np.clip((frame - last) / SLIDE, 0, 1)
        for axes, name, cloud, norms, most in zip(
            panels, LAYERS, clouds, record.norms[epoch], largest, strict=False
        ):
            cloud.set_offsets(positions(norms, name, moved))
            cloud.set_facecolors(colours(norms, most, moved))
            axes.set_title(f"{name}: {np.count_nonzero(norms)}", fontsize=10)
        for bar, label, share in zip(
            bars, labels, (record.left[epoch], record.accuracy[epoch]), strict=True
        ):
            bar.set_height(share)
            label.set_y(share + 0.01)
            label.set_text(f"{share:.0%}" if bar is bars[0] else f"{share:.1%}")
        how = "compact" if moved else f"epoch {epoch} of {last}"
        figure.suptitle(f"A penalty on channels, {how}", fontsize=11)

    return FuncAnimation(figure, draw, frames=last + SLIDE + HOLD + 1)


def main():
    x, x_test, y, y_test = shrink.load()
    model = shrink.network()
    shrink.fit(model, keras.optimizers.Adam(2e-3), x, y, EPOCHS // 2)
    record = Recorder(x_test, y_test)
    small = shrink.shrink(model, x, y, EPOCHS, callbacks=[record])
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    shrink.draw(model, small, axes)
    figure.savefig(IMAGES / "gallery_shrink.png", dpi=100)
    target = IMAGES / "shrink.gif"
    animate(record).save(target, PillowWriter(fps=6), dpi=80)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
