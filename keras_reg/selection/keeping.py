"""What is trained, kept in a folder, so that a path that was stopped goes on."""

import hashlib
import json
import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_reg.keras_private import layers_in
from keras_reg.selection.network import State
from keras_reg.selection.visits import Visit

_FIELDS = ("place", "scores", "training_scores", "zeros", "diverged", "norms", "channels", "macs")


def fingerprint(*parts: Any) -> str:
    """A text that differs where arrays, numbers or texts differ.

    Example:
        >>> fingerprint(1, np.ones(2)) == fingerprint(1, np.ones(2)) != fingerprint(2, np.ones(2))
        True
    """
    digest = hashlib.sha256()
    for leaf in keras.tree.flatten(parts):
        if isinstance(leaf, np.ndarray):
            digest.update(f"{leaf.dtype}{leaf.shape}".encode())
            digest.update(np.ascontiguousarray(leaf).tobytes())
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()


def description(model: keras.Model) -> str:
    """What a model is besides its weights: its layers, loss, metrics and optimizer.

    Names, which count up in a process, are left out.

    Example:
        >>> relu, tanh = (
        ...     keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation=name)])
        ...     for name in ("relu", "tanh")
        ... )
        >>> description(relu) == description(relu) != description(tanh)
        True
    """
    layers = [layer for layer in layers_in(model) if not isinstance(layer, keras.Model)]
    found = [[type(layer).__name__, _config(layer.get_config)] for layer in layers]
    return json.dumps(
        _without_names([found, _config(model.get_compile_config)]),
        sort_keys=True,
        default=lambda one: type(one).__name__,
    )


class Kept:
    """Files in a folder: the strengths, what was seen of each, and the latest states of members.

    Each is written under another name and then renamed, so that a run may be killed at any time.

    Args:
        folder: str or path.
        run: the `fingerprint` of all that decides the results.
    Raises: ValueError if the folder holds another run, or a file there is damaged.
    """

    def __init__(self, folder: Any, run: str):
        self.folder, self.run = pathlib.Path(folder), run
        self.strengths: np.ndarray | None = None
        file = self.folder / "run.json"
        if not file.exists():
            return
        try:
            read = json.loads(file.read_text(encoding="utf8"))
            kept, self.strengths = read["run"], np.array(read["strengths"], "float64")
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(file) from error
        if kept != run:
            raise ValueError(
                "Expected a folder of the same run: of the same data, network, penalties and "
                f"arguments. Received: folder={str(folder)!r}, which holds another"
            )

    def begin(self, strengths: np.ndarray) -> None:
        """Notes the strengths."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"run": self.run, "strengths": strengths.tolist()})
        _replace(self.folder / "run.json", lambda file: file.write(text.encode()))

    def read(self, chunk: int) -> tuple[list[Visit], list[State] | None]:
        """What was seen of the members of a chunk, and their states after that."""
        file = self.folder / f"states-{chunk}.npz"
        if not file.exists():
            return [], None
        arrays = _load(file)
        try:
            shape = [int(number) for number in arrays["shape"]]
            states = [
                State(*([arrays[f"{m}/{p}/{k}"] for k in range(shape[p])] for p in range(3)))
                for m in range(int(arrays["members"]))
            ]
            count = int(arrays["place"]) + 1
        except KeyError as error:
            raise _damaged(file) from error
        return [self._visit(chunk, place) for place in range(count)], states

    def write(self, chunk: int, visit: Visit, states: list[State]) -> None:
        """Keeps what was seen of the members of a chunk, and their states."""
        seen = {name: getattr(visit, name) for name in _FIELDS}
        weights = {f"weights/{k}": w for k, w in enumerate(visit.weights)}
        _save(self._seen(chunk, visit.place), seen | weights)
        arrays = {
            f"{m}/{p}/{k}": value
            for m, state in enumerate(states)
            for p, part in enumerate(state)
            for k, value in enumerate(part)
        }
        shape = [len(part) for part in states[0]]
        about = {"place": visit.place, "members": len(states), "shape": shape}
        _save(self.folder / f"states-{chunk}.npz", arrays | about)

    def _visit(self, chunk: int, place: int) -> Visit:
        file = self._seen(chunk, place)
        arrays = _load(file)
        try:
            count = sum(name.startswith("weights/") for name in arrays)
            fields: dict[str, Any] = {name: arrays[name] for name in _FIELDS} | {"place": place}
            return Visit(**fields, weights=[arrays[f"weights/{k}"] for k in range(count)])
        except KeyError as error:
            raise _damaged(file) from error

    def _seen(self, chunk: int, place: int) -> pathlib.Path:
        return self.folder / f"seen-{chunk}-{place}.npz"


def _config(get: Callable) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of lambdas, which no file can keep.
            return get()
    except Exception:  # Layers that cannot be saved raise what they like.
        return None


def _without_names(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _without_names(one) for key, one in config.items() if key != "name"}
    if isinstance(config, list | tuple):
        return [_without_names(one) for one in config]
    return config


def _save(file: pathlib.Path, arrays: dict[str, Any]) -> None:
    _replace(file, lambda target: np.savez(target, **arrays))


def _replace(file: pathlib.Path, write: Any) -> None:
    partial = file.with_suffix(".partial")
    with partial.open("wb") as target:
        write(target)
    os.replace(partial, file)


def _load(file: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with file.open("rb") as source, np.load(source) as arrays:
            return dict(arrays)
    except Exception as error:  # zipfile, zlib and NumPy each raise their own.
        raise _damaged(file) from error


def _damaged(file: pathlib.Path) -> ValueError:
    return ValueError(
        f"Expected a file that a path has kept. Received: {str(file)!r}, which is damaged or "
        "missing. Delete the folder to begin anew"
    )
