"""What a model costs to keep and to run: the size of its file, and the time of a prediction."""

import io
import pathlib
import statistics
import tempfile
import time
import zipfile
from typing import Any

import h5py
import keras


def file_size(model: keras.Model) -> int:
    """Bytes of the model's `.keras` file, without its optimizer's state, compressed as zip does.

    Zeros compress well, so exact zeros show here even before they are cut.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> file_size(model) > 1000
        True
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        model.save(path)
        return _zipped(path, pathlib.Path(folder, "model.zip"))


def latency(model: keras.Model, x: Any, calls: int = 20) -> float:
    """Median seconds of one `predict_on_batch`, after a warm-up.

    Args:
        model: a built model.
        x: the batch: an array, or a list or dict of arrays.
        calls: int >= 1.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> latency(model, keras.ops.ones((1, 3)), calls=3) > 0
        True
    """
    seconds = []
    for call in range(calls + 2):
        start = time.perf_counter()
        model.predict_on_batch(x)
        if call >= 2:  # The first compile.
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _zipped(path: pathlib.Path, target: pathlib.Path) -> int:
    """The size of a `.keras` file whose parts, stored there as they are, are compressed."""
    with zipfile.ZipFile(path) as saved, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in saved.namelist():
            content = saved.read(name)
            new.writestr(name, _without_optimizer(content) if name.endswith(".h5") else content)
    return target.stat().st_size


def _without_optimizer(content: bytes) -> bytes:
    """A file of weights without the state of the optimizer, which Keras always saves too."""
    kept = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as old, h5py.File(kept, "w") as new:
        for name in old:
            if name != "optimizer":
                old.copy(name, new)
    return kept.getvalue()
