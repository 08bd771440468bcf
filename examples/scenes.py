"""Generated scenes of rectangles, discs and triangles, and mean average precision."""

import numpy as np

SIZE, STRIDE, CLASSES = 48, 4, 3
GRID = SIZE // STRIDE


def draw(image, kind, left, top, width, height, shade):
    """Adds one shape to an image."""
    v, u = np.mgrid[0:height, 0:width] + 0.5
    u, v = 2 * u / width - 1, 2 * v / height - 1
    inside = (np.full(u.shape, True), u**2 + v**2 <= 1, np.abs(u) <= (v + 1) / 2)[kind]
    image[top : top + height, left : left + width][inside] = shade


def scenes(count, seed):
    """Noisy images, and for each a list of (class, left, top, right, bottom)."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, SIZE, SIZE), "float32")
    boxes = []
    for image in images:
        boxes.append([])
        for _ in range(random.integers(1, 4)):
            width, height = random.integers(8, 21, 2)
            left, top = random.integers(0, SIZE - width), random.integers(0, SIZE - height)
            kind = random.integers(CLASSES)
            draw(image, kind, left, top, width, height, random.uniform(0.6, 1.4))
            boxes[-1].append((kind, left, top, left + width, top + height))
    images += random.normal(0.0, 0.25, images.shape)
    return images[..., None], boxes


def overlap(a, b):
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def average_precision(found, boxes, kind, least=0.5):
    """Area under precision over recall; `found` is (score, image, class, left, top, ...)."""
    left = [[box[1:] for box in image if box[0] == kind] for image in boxes]
    total, hits = sum(map(len, left)), []
    for _, image, _, *box in sorted((f for f in found if f[2] == kind), reverse=True):
        best = max(left[image], key=lambda true: overlap(box, true), default=None)
        hits.append(best is not None and overlap(box, best) >= least)
        if hits[-1]:
            left[image].remove(best)
    hits = np.array(hits, float)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    # The best precision at this recall or a higher one.
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(highest * hits) / max(1, total))


def mean_average_precision(found, boxes):
    return float(np.mean([average_precision(found, boxes, kind) for kind in range(CLASSES)]))
