"""check_export(model, format): what an exported file computes, holds and costs."""

import collections
import dataclasses
import glob
import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_reg.evaluation.cost import medians
from keras_reg.evaluation.runtimes import FORMATS, Arrays, Program
from keras_reg.keras_private import layers_in
from keras_reg.report.analysis import check_built

# Operations of the random bits of dropout layers, which a file for inference has no use for.
_OF_RANDOM_BITS = ("bitwise", "bitshift", "rightshift", "shift_right", "xor", "erfinv", "random")


@dataclasses.dataclass(frozen=True)
class ExportCheck:
    """What `check_export` returns. `print` shows a line for each figure.

    Args:
        format: str.
        difference: float. Largest absolute difference of an output from the model's.
        largest: float. Largest absolute output of the model, to judge the difference by.
        size: int. Bytes of the exported file or folder.
        zipped: int. Bytes once it is zipped, where zeros take little.
        latency: float. Median seconds of a call in the format's own runtime, after a warm-up.
        batch: int. Examples in a call.
        threads: int or None. Threads of the runtime; None where it decides itself.
        operations: int. Operations of the graph, without constants, inputs and outputs. On JAX all
            that a SavedModel computes is one compiled module, which counts as one.
        left: tuple of str. What is left of this package in the file: nothing should be.
        kinds: dict from the name of a kind of operation to how many there are.
        memory: int or None. For LiteRT, bytes of the tensors alive at once at the worst operation,
            for one example and without weights: the least that the interpreter's arena can take.
    """

    format: str
    difference: float
    largest: float
    size: int
    zipped: int
    latency: float
    batch: int
    threads: int | None
    operations: int
    left: tuple[str, ...]
    kinds: dict[str, int]
    memory: int | None

    def __str__(self) -> str:
        threads = "the runtime's own choice" if self.threads is None else self.threads
        lines = {
            "format": self.format,
            "largest difference": f"{self.difference:.2g} (largest output {self.largest:.3g})",
            "size": f"{self.size:,} bytes, {self.zipped:,} zipped",
            "latency": f"{1e3 * self.latency:.3f} ms (batch {self.batch}, threads: {threads})",
            "operations": f"{self.operations:,}",
            "left of keras_reg": ", ".join(self.left) or "nothing",
        }
        if self.memory is not None:
            lines["memory"] = f"{self.memory:,} bytes of tensors alive at once"
        return "\n".join(f"{name:<20}{text}" for name, text in lines.items())


def check_export(
    model: keras.Model,
    format: str,  # noqa: A002  (Keras's own word)
    x: Any = None,
    *,
    path: str | Path | None = None,
    calls: int = 50,
    threads: int = 1,
    **options: Any,
) -> ExportCheck:
    """Exports a model by `model.export`, runs the file in its own runtime, and compares.

    A model that was trained with this package is an ordinary Keras model: its exported file has the
    same outputs and holds nothing of penalties, optimizers and dropout. This shows it, with what
    the file costs. Formats and what runs them: "tf_saved_model" (TensorFlow), "onnx"
    (onnxruntime), "litert" (ai-edge-litert, or TensorFlow), "openvino" (openvino), "torch"
    (PyTorch).

    Args:
        model: a built Functional or Sequential model.
        format: str. A format of `keras.Model.export`.
        x: inputs as the model takes them: an array, or a list or dict of arrays. None: one random
            example. Files that are exported on PyTorch as "torch" or "litert" take one example: the
            first is compared.
        path: where the file stays; with the suffix of its format (".onnx", ".tflite", ".xml",
            ".pt2"). None: it is deleted.
        calls: int >= 1. Calls of which the latency is the median.
        threads: int >= 1. Threads of the runtime, where it lets them be set.
        **options: for `model.export`.

    Returns:
        An `ExportCheck`.

    Raises:
        ValueError: if the format is not known or not exported on this backend, or no example can be
            made of unknown lengths.
        ImportError: if the format's runtime is not installed.
        TypeError: if `model` is none.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> is_torch = keras.backend.backend() == "torch"
        >>> check = check_export(model, "torch" if is_torch else "tf_saved_model", calls=1)
        >>> check.difference < 1e-5, check.left
        (True, ())
    """
    check_built(model)
    check_format(format)
    for name, number in {"calls": calls, "threads": threads}.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"Expected `{name}` to be an int >= 1. Received: {name}={number!r}")
    with tempfile.TemporaryDirectory() as folder:
        suffix = FORMATS[format].suffix
        target = Path(folder, f"model{suffix}") if path is None else Path(path)
        _check_path(target, suffix)
        exported = Exported(model, format, x, target, threads, options)
        (seconds,) = medians([exported.call], calls)
        return exported.check(seconds)


def check_exports(
    models: Mapping[str, keras.Model], kind: str, x: Any, calls: int = 50, threads: int = 1
) -> dict[str, ExportCheck]:
    """`check_export` of several models, whose calls take turns.

    Example:
        >>> kind = "torch" if keras.backend.backend() == "torch" else "tf_saved_model"
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> checks = check_exports({"one": model, "other": model}, kind, None, calls=1)
        >>> checks["one"].operations == checks["other"].operations
        True
    """
    with tempfile.TemporaryDirectory() as folder:
        all_exported = []
        for place, model in enumerate(models.values()):
            path = Path(folder, str(place), f"model{FORMATS[kind].suffix}")
            path.parent.mkdir()
            all_exported.append(Exported(model, kind, x, path, threads, {}))
        seconds = medians([exported.call for exported in all_exported], calls)
        checks = [one.check(time) for one, time in zip(all_exported, seconds, strict=True)]
    return dict(zip(models, checks, strict=True))


class Exported:
    """A model, its exported file, and the file's program on the same inputs.

    Args:
        model, format, x, threads, options: as for `check_export`.
        path: where the file is written.
    """

    def __init__(
        self,
        model: keras.Model,
        format: str,  # noqa: A002
        x: Any,
        path: Path,
        threads: int,
        options: dict[str, Any],
    ):
        self.model, self.format, self.path = model, format, path
        one = keras.backend.backend() == "torch" and format in ("torch", "litert")
        self.arrays = _inputs(model, x, first=one)
        # Some formats export models alone that were called.
        self.expected = _outputs_of(model, self.arrays)
        before = _times(path)
        model.export(str(path), format=format, verbose=False, **options)
        self.files = [file for file, time in _times(path).items() if before.get(file) != time]
        names = [one.name for one in model.inputs]
        self.program: Program = FORMATS[format].open(path, names, threads)

    def call(self) -> Arrays:
        """The outputs of the file."""
        return self.program.run(self.arrays)

    def check(self, seconds: float) -> ExportCheck:
        """What the file computes, holds and costs; `seconds` is the latency."""
        files, operations = self.files, self.program.operations
        return ExportCheck(
            self.format,
            _largest_difference(self.call(), self.expected),
            max(float(np.max(np.abs(output), initial=0.0)) for output in self.expected),
            sum(file.stat().st_size for file in files),
            _zipped(files),
            seconds,
            len(self.arrays[0]),
            self.program.threads,
            len(operations),
            _left(self.model, files, operations),
            dict(collections.Counter(operations)),
            self.program.memory,
        )


def check_format(kind: str) -> None:
    """Raises: ValueError or ImportError if a format cannot be exported here, or not run."""
    if kind not in FORMATS:
        raise ValueError(f"Expected `format` among {sorted(FORMATS)}. Received: format={kind!r}")
    backend, format_ = keras.backend.backend(), FORMATS[kind]
    if backend not in format_.exporters:
        raise ValueError(
            f"Expected the backend {' or '.join(format_.exporters)}, on which Keras exports "
            f"{kind!r}. Received: backend={backend!r}"
        )
    format_.package  # noqa: B018
    if missing := format_.missing(backend):
        names = " and ".join(missing)
        raise ImportError(
            f"Expected {names} to be installed, which Keras needs to export {kind!r} on "
            f"{backend}: pip install {' '.join(missing).replace('_', '-')}"
        )


def _check_path(path: Path, suffix: str) -> None:
    if path.suffix != suffix:
        raise ValueError(f"Expected `path` to end with {suffix!r}. Received: path={str(path)!r}")


def _inputs(model: keras.Model, x: Any, first: bool) -> Arrays:
    """Input arrays in the order of `model.inputs`."""
    if not isinstance(getattr(model, "inputs", None), list):
        raise ValueError(
            "Expected a Functional or Sequential model, whose inputs are known. "
            f"Received: model={model.name!r}, a {type(model).__name__}"
        )
    if x is None:
        random = np.random.default_rng(0)
        return [_example(one, random) for one in model.inputs]
    given = keras.tree.flatten(x)
    if len(given) != len(model.inputs):
        raise ValueError(
            f"Expected `x` to hold {len(model.inputs)} arrays, as the model has inputs. "
            f"Received: {len(given)}"
        )
    arrays = [
        np.asarray(keras.ops.convert_to_numpy(array)).astype(one.dtype)
        for array, one in zip(given, model.inputs, strict=True)
    ]
    return [array[:1] for array in arrays] if first else arrays


def _example(one: keras.KerasTensor, random: np.random.Generator) -> np.ndarray:
    shape = tuple(one.shape)[1:]
    if None in shape:
        raise ValueError(
            f"Expected `x` for a model with inputs of unknown lengths. Received: x=None, and "
            f"{one.name!r} has shape {tuple(one.shape)}"
        )
    if "float" in one.dtype:
        return random.standard_normal((1, *shape)).astype(one.dtype)
    # Numbers that stand for something, of which the first two exist.
    return random.integers(0, 2, (1, *shape)).astype(one.dtype)


def _outputs_of(model: keras.Model, arrays: Arrays) -> Arrays:
    is_sequential = isinstance(model, keras.Sequential)
    x = arrays[0] if is_sequential else keras.tree.pack_sequence_as(model.input, arrays)
    outputs = model(x, training=False)
    return [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(outputs)]


def _largest_difference(found: Arrays, expected: Arrays) -> float:
    if [tuple(output.shape) for output in found] != [output.shape for output in expected]:
        raise ValueError(
            f"Expected outputs of shapes {[output.shape for output in expected]}, as the model "
            f"has. Received: {[tuple(output.shape) for output in found]} from the exported file"
        )
    wide = [np.asarray(output, "float64") for output in expected]
    return max(
        float(np.max(np.abs(np.asarray(one, "float64") - two), initial=0.0))
        for one, two in zip(found, wide, strict=True)
    )


def _times(path: Path) -> dict[Path, int]:
    """The files that an export may write, in a folder or beside one file, and when they were."""
    found = path.rglob("*") if path.is_dir() else path.parent.glob(f"{glob.escape(path.stem)}.*")
    return {file: file.stat().st_mtime_ns for file in sorted(found) if file.is_file()}


def _zipped(files: list[Path]) -> int:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return len(packed.getvalue())


def _left(model: keras.Model, files: list[Path], operations: tuple[str, ...]) -> tuple[str, ...]:
    """Names of this package in the files, and the operations of its dropout layers."""
    # Classes are registered by this name; mere paths of sources are JAX's notes for debugging.
    found = [file.name for file in files if b"keras_reg>" in file.read_bytes()]
    layers = [type(layer).__module__ for layer in layers_in(model)]
    if any(module.startswith("keras_reg.") for module in layers):
        kinds = sorted(set(operations))
        found += [kind for kind in kinds if any(name in kind.lower() for name in _OF_RANDOM_BITS)]
    return tuple(found)
