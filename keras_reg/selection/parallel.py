"""Chunks of members side by side, in processes of joblib: its own, Dask's or Ray's."""

import importlib
import pickle
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_reg.selection.console import progress

# What a process was sent last: its network is built and traced once for all chunks.
_received: dict[str, Any] = {}
# Keras's random state is one for the process, so that tasks in threads take turns.
_one_at_a_time = threading.Lock()

_SETTINGS = ("floatx", "epsilon", "image_data_format")


def processes(n_jobs: int | None) -> int:
    """The number of processes that joblib would use.

    Args:
        n_jobs: int, -1 for as many as there are cores, or None: 1, unless inside of
            `joblib.parallel_config`.
    Raises: ValueError if it is 0 or no int; ImportError if joblib is needed and missing.

    Example:
        >>> processes(None), processes(2)
        (1, 2)
    """
    if n_jobs is not None and (
        isinstance(n_jobs, bool) or not isinstance(n_jobs, int | np.integer)
    ):
        raise ValueError(f"Expected `n_jobs` to be an int or None. Received: n_jobs={n_jobs!r}")
    if n_jobs == 0:
        raise ValueError("Expected `n_jobs` other than 0. Received: n_jobs=0")
    if n_jobs == 1 or (n_jobs is None and "joblib" not in sys.modules):
        return 1
    return _module("joblib").effective_n_jobs(n_jobs)


def in_parallel(
    prepared: list[Any], tasks: list[tuple[int, int]], n_jobs: int | None
) -> Iterator[tuple[tuple[int, int], list[Any]]]:
    """Each task with its visits, as they come: an iterator that ends the processes' work with it.

    Args:
        prepared: list of `Prepared`.
        tasks: pairs of numbers: of a prepared, and of a chunk of its members.
        n_jobs: as `processes` takes it.
    Raises: TypeError if what has to be sent can't be pickled.
    """
    joblib = _module("joblib")
    backend, _ = joblib.parallel.get_active_backend()
    comes_at_once = getattr(backend, "supports_return_generator", False)
    how = "generator_unordered" if comes_at_once else "list"
    run, sent = _remote(), [_packed(one) for one in prepared]
    calls = (joblib.delayed(run)(*sent[number], (number, place)) for number, place in tasks)
    yield from joblib.Parallel(n_jobs, return_as=how)(calls)


def work(key: str, settings: dict[str, Any], data: bytes, buffers: list, task: tuple) -> Any:
    """What a process does for a task: `in_parallel` says which, and what comes of it."""
    with _one_at_a_time, progress(0, False):
        if key not in _received:
            _apply(settings)
            _received.clear()
            _received[key] = pickle.loads(data, buffers=buffers)
        return task, list(_received[key].visits(task[1]))


def _remote() -> Callable:
    """A function that sets Keras's backend before anything imports Keras.

    Defined in here, it is sent as code and not as a name in this file, whose import would be first.
    """
    backend = keras.backend.backend()

    def run(*arguments: Any) -> Any:
        import os

        os.environ["KERAS_BACKEND"] = backend
        import keras

        if keras.backend.backend() != backend:
            raise RuntimeError(
                f"Expected workers that run Keras on {backend}. Received one that runs it on "
                f"{keras.backend.backend()}. Start them with KERAS_BACKEND={backend}"
            )
        from keras_reg.selection import parallel

        return parallel.work(*arguments)

    return run


def _packed(prepared: Any) -> tuple[str, dict, bytes, list[np.ndarray]]:
    """A name, Keras's settings, and the pickle with its arrays apart, which joblib maps to disk."""
    cloudpickle, buffers = _module("cloudpickle"), []
    keep = lambda one: buffers.append(np.frombuffer(one.raw(), "uint8"))  # noqa: E731
    try:
        data = cloudpickle.dumps(prepared, protocol=5, buffer_callback=keep)
    except Exception as error:  # Each object that can't be pickled raises its own.
        raise TypeError(
            "Expected build, penalty, data and score that can be pickled, to send them to other "
            f"processes. Received: n_jobs={prepared.recipe.setting.n_jobs} and {error}"
        ) from error
    settings = {name: getattr(keras.config, name)() for name in _SETTINGS}
    policy = keras.dtype_policies.serialize(keras.config.dtype_policy())
    return uuid.uuid4().hex, settings | {"dtype_policy": policy}, data, buffers


def _apply(settings: dict[str, Any]) -> None:
    """Makes Keras's settings those of the process that sends."""
    for name in _SETTINGS:
        getattr(keras.config, f"set_{name}")(settings[name])
    keras.config.set_dtype_policy(keras.dtype_policies.deserialize(settings["dtype_policy"]))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"n_jobs needs {name}: `pip install 'keras-reg[selection]'`") from error
