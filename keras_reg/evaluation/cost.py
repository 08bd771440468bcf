"""What a model costs to keep and to run: the size of its file, and the time of a prediction."""

import functools
import io
import pathlib
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
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


def latencies(models: Mapping[str, keras.Model], x: Any, calls: int = 20) -> dict[str, float]:
    """Median seconds of one `predict_on_batch` of each model, after a warm-up, all in turn.

    Args:
        models: dict from names to built models.
        x: the batch: an array, or a list or dict of arrays.
        calls: int >= 1. Calls of each.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> latencies({"small": model}, keras.ops.ones((1, 3)), calls=3)["small"] > 0
        True
    """
    each = [functools.partial(model.predict_on_batch, x) for model in models.values()]
    return dict(zip(models, medians(each, calls), strict=True))


def medians(functions: Sequence[Callable[[], Any]], calls: int) -> list[float]:
    """Median seconds of each function, called in turn so that what disturbs one disturbs all.

    Example:
        >>> fast, slow = medians([lambda: None, lambda: time.sleep(1e-3)], calls=3)
        >>> fast < slow
        True
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for number in range(calls + 2):
        for function, times in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            if number >= 2:  # The first ones compile and allocate.
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


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
