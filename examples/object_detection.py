"""A small anchor-free detector on generated scenes: L2 and spatial dropout against none.

A cell of the output grid that holds the centre of a shape says its class, and how far its four
sides are. Few training scenes, so that there is something to regularize; mean average precision at
an overlap of 0.5 on new ones. Run with `python examples/object_detection.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from reporting import command, save, show
from rich.progress import track
from scenes import CLASSES, GRID, SIZE, STRIDE, mean_average_precision, scenes

import keras_reg as kr


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
            model.add(layers.SpatialDropout2D(rate))
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


def main(output=".", epochs=25, count=300, tested=300, l2=1e-3, rate=0.1):
    images, boxes = scenes(count, seed=1)
    new, new_boxes = scenes(tested, seed=2)
    settings = {"none": (0, 0), "L2": (l2, 0), "dropout": (0, rate), "both": (l2, rate)}
    results = {}
    figure, panels = plt.subplots(1, len(settings), figsize=(12, 3.4), layout="constrained")
    for axes, (name, setting) in zip(panels, track(settings.items()), strict=True):
        model = network(*setting)
        model.compile(keras.optimizers.Adam(2e-3), detection_loss)
        model.fit(images, targets(boxes), 16, epochs, verbose=0)
        found = detect(model, new)
        score = mean_average_precision(found, new_boxes)
        known = mean_average_precision(detect(model, images), boxes)
        results[name] = {"mAP, new scenes": score, "mAP, training": known}
        axes.imshow(new[0, ..., 0], cmap="gray")
        for _, _, kind, left, top, right, bottom in (f for f in found if f[1] == 0 and f[0] > 0.3):
            corners = [left, right, right, left, left], [top, top, bottom, bottom, top]
            axes.plot(*corners, color=f"C{kind + 1}")
        axes.set_title(f"{name}: mAP {score:.2f}")
        axes.axis("off")
    title = f"Detector trained on {count} scenes"
    show(title, results, {"mAP, new scenes": ".3f", "mAP, training": ".3f"})
    save(figure, output, "object_detection.png")
    return results


if __name__ == "__main__":
    command(main)
