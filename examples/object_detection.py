"""A small anchor-free detector on generated scenes: regularized, then with half of its work.

A cell of the output grid that holds the centre of a shape says its class, and how far its four
sides are. Few training scenes, so that there is something to regularize: L2 and spatial dropout,
of strengths that do best on validation scenes. Last, `TopK` prunes channels to half of the
multiply-adds and `compact` removes them. Mean average precision at an overlap of 0.5 on new scenes.
Run with `python examples/object_detection.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from reporting import command, save, show
from rich.progress import track
from scenes import CLASSES, GRID, SIZE, STRIDE, mean_average_precision, scenes

import keras_reg as kr

L2S, RATES, BATCH = (1e-4, 1e-3), (0.05, 0.1), 16


def targets(boxes):
    """For each cell: is it a centre of each class, and the distances to the sides."""
    y = np.zeros((len(boxes), GRID, GRID, CLASSES + 4), "float32")
    for image, found in zip(y, boxes, strict=True):
        for kind, left, top, right, bottom in found:
            column, row = int((left + right) / 2 / STRIDE), int((top + bottom) / 2 / STRIDE)
            u, v = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
            image[row, column] = 0
            image[row, column, kind] = 1
            image[row, column, CLASSES:] = np.array([u - left, v - top, right - u, bottom - v]) / 10
    return y


def detection_loss(y_true, y_pred):
    """Focal loss on the centres, and absolute error of the sides where there is one."""
    classes, logits = y_true[..., :CLASSES], y_pred[..., :CLASSES]
    focal = ops.binary_crossentropy(classes, logits, from_logits=True)
    focal = focal * ops.square(ops.sigmoid(logits) - classes)
    sides = ops.abs(y_true[..., CLASSES:] - y_pred[..., CLASSES:])
    centre = ops.max(classes, axis=-1, keepdims=True)
    return ops.sum(focal, axis=(1, 2, 3)) + ops.sum(sides * centre, axis=(1, 2, 3))


def network(l2, rate):
    keras.utils.set_random_seed(0)
    regularizer = kr.regularizers.L2(l2) if l2 else None
    model = keras.Sequential([keras.Input((SIZE, SIZE, 1))])
    for filters, stride in ((16, 2), (32, 2), (64, 1), (64, 1)):
        convolution = layers.Conv2D(
            filters, 3, stride, "same", use_bias=False, kernel_regularizer=regularizer
        )
        for layer in (convolution, layers.BatchNormalization(), layers.ReLU()):
            model.add(layer)
        if rate:
            model.add(kr.layers.ScheduledSpatialDropout2D(rate))
    model.add(layers.Conv2D(CLASSES + 4, 3, padding="same", bias_initializer="zeros"))
    return model


def detect(model, images):
    """(score, image, class, box) of each cell that scores highest among its neighbours."""
    y = model.predict(images, 64, verbose=0)
    scores = 1 / (1 + np.exp(-y[..., :CLASSES]))
    peaks = ops.convert_to_numpy(ops.max_pool(scores.max(-1, keepdims=True), 3, 1, "same"))
    found = []
    for image, row, column, kind in np.argwhere((scores == peaks) & (scores > 0.1)):
        left, top, right, bottom = y[image, row, column, CLASSES:] * 10
        u, v = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        box = u - left, v - top, u + right, v + bottom
        found.append((scores[image, row, column, kind], image, kind, *box))
    return found


def fit(training, epochs, l2=0.0, rate=0.0, share=0.0):
    """A detector, of which `share` of the multiply-adds become zero."""
    images, boxes = training
    model, optimizer = network(l2, rate), keras.optimizers.Adam(2e-3)
    if share:
        steps = epochs * -(-len(images) // BATCH)
        ramp = kr.schedules.Polynomial(0.0, share, steps=max(1, steps // 2))
        channels = {kr.channels(model): kr.regularizers.TopK(ramp, scope="all", of="macs")}
        optimizer = kr.optimizers.Proximal(optimizer, channels)
    model.compile(optimizer, detection_loss)
    model.fit(images, targets(boxes), BATCH, epochs, verbose=0)
    return model


def score(model, images, boxes):
    return mean_average_precision(detect(model, images), boxes)


def main(output=".", epochs=25, count=300, tested=300, l2=0.0, rate=0.0):
    training, validation, new = (
        scenes(n, seed) for n, seed in ((count, 1), (count, 3), (tested, 2))
    )
    # Those that are not given are chosen on the validation scenes.
    l2 = l2 or max(L2S, key=lambda l2: score(fit(training, epochs, l2), *validation))
    rate = rate or max(RATES, key=lambda rate: score(fit(training, epochs, 0, rate), *validation))
    settings = {"none": (0, 0), f"L2 {l2:g}": (l2, 0), f"dropout {rate:g}": (0, rate)}
    settings |= {"both": (l2, rate), "dropout, half of the MACs": (0, rate, 0.5)}
    results = {}
    figure, panels = plt.subplots(1, len(settings), figsize=(15, 3.4), layout="constrained")
    for axes, (name, setting) in zip(panels, track(settings.items()), strict=True):
        model = fit(training, epochs, *setting)
        model = kr.compact(model) if len(setting) == 3 else model
        results[name] = {
            "mAP, new scenes": score(model, *new),
            "mAP, training": score(model, *training),
            "MACs": kr.sparsity(model).macs,
        }
        axes.imshow(new[0][0, ..., 0], cmap="gray")
        for _, _, kind, left, top, right, bottom in (
            f for f in detect(model, new[0][:1]) if f[0] > 0.3
        ):
            corners = [left, right, right, left, left], [top, top, bottom, bottom, top]
            axes.plot(*corners, color=f"C{kind + 1}")
        axes.set_title(f"{name}: mAP {results[name]['mAP, new scenes']:.2f}")
        axes.axis("off")
    title = f"Detector trained on {count} scenes"
    show(title, results, {"mAP, new scenes": ".3f", "mAP, training": ".3f", "MACs": ",d"})
    save(figure, output, "object_detection.png")
    return results


if __name__ == "__main__":
    command(main)
