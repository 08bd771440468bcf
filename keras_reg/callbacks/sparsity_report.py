"""SparsityReport: what became zero in the logs, in a file, and as a table when training ends."""

import os
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from keras_reg import schedules
from keras_reg.ops.backend import is_chief
from keras_reg.optimizers import Proximal
from keras_reg.report import SparsityTable
from keras_reg.report.compiled_counting import CompiledReader
from keras_reg.report.export import append_line, open_log
from keras_reg.report.sparsity import Meter, check_tolerance


class SparsityReport(keras.callbacks.Callback):
    """Puts what became zero into `logs` and prints a table when training ends.

    The keys are `sparsity`, the fraction of exact zeros, `group_sparsity`, that of inputs and
    outputs that are all zero, `penalty`, the value of all penalties, `parameters_left` and
    `macs_left`, what remains without dead channels, where they are known, and, if asked for,
    `sparsity/<path>` for each kernel. History sees them, and so do EarlyStopping, ModelCheckpoint
    (`monitor="sparsity", mode="max"`), CSVLogger and TensorBoard, if they come after this callback
    in the list.

    The first epoch, the last and every `every`-th are measured; those in between repeat the last
    figures, since CSVLogger fixes its columns in the first epoch.

    Keras's progress bar prints all logs. Put `keras.callbacks.ProgbarLogger()` before this callback
    in the list, and it prints what came before; History, which is last, holds all.

    Where several processes train together, each has the figures in its logs, so that they stop
    together, and the first alone prints and writes.

    Args:
        every: int >= 1. Measure every so many epochs, or batches.
        tolerance: float in [0, 1]. What counts as near zero, as in `keras_reg.sparsity`.
        verbose: int. 1 prints the table when training ends, 0 does not.
        path: str or path, or None. A file to which each measure is appended as a line of JSON, at
            once, so that a killed run leaves what it had. `keras_reg.report.read_lines` reads it.
        frequency: `"epoch"` or `"batch"`. With `"batch"`, the logs of the measured batches have the
            keys, and those of the epoch have the last figures. On JAX each measure brings the
            training state back to the model, which costs some time.
        per_weight: bool. Whether the logs have `sparsity/<path>` of each kernel too. The lines of
            `path` have all figures in any case.
    Raises:
        TypeError: if `path` is neither a text nor a path.
        ValueError: if an argument is out of range; when training starts, if `path` cannot be
            written to or holds something else; after the first epoch, if the model has no kernel.

    Attributes:
        table: the last `SparsityTable`, or None.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
        >>> history = model.fit(x, y, verbose=0, callbacks=[SparsityReport(verbose=0)])
        >>> history.history["sparsity"]
        [0.0]
    """

    def __init__(
        self,
        every: int = 1,
        tolerance: float = 0.0,
        verbose: int = 1,
        path: str | Path | None = None,
        frequency: str = "epoch",
        per_weight: bool = False,
    ):
        super().__init__()
        self.every = schedules.check_count(every, "every", at_least=1)
        self.tolerance = check_tolerance(tolerance)
        if frequency not in ("epoch", "batch"):
            raise ValueError(
                f'Expected `frequency` to be "epoch" or "batch". Received: frequency={frequency!r}'
            )
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"Expected `path` to be a path or None. Received: path={path!r}")
        self.verbose, self.path, self.frequency = verbose, path, frequency
        self.per_weight = per_weight
        self.table: SparsityTable | None = None
        self._meter: Meter | None = None
        self._epoch, self._batches = 0, 0
        self._epochs_measured: list[int] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Forgets the last training, and looks whether its file can be written."""
        if self.path is not None and is_chief():
            open_log(self.path)
        self.table, self._meter = None, None
        self._epoch, self._batches, self._epochs_measured = 0, 0, []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Remembers the epoch, for measures of batches."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Measures if it is time, with `frequency="batch"`."""
        if self.frequency != "batch":
            return
        self._batches += 1
        if self._batches % self.every == 0:
            self._measure(logs, batch)
            self._add(logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Measures if it is time, and adds the figures to `logs`."""
        is_last = epoch + 1 == (self.params or {}).get("epochs")
        is_due = self.frequency == "epoch" and ((epoch + 1) % self.every == 0 or is_last)
        if is_due or self.table is None:
            self._measure(logs, None)
        self._add(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Prints the table of the weights as they are at this callback's turn.

        An EarlyStopping after it in the list that restores the best weights does so later.
        """
        if self._meter is None:
            return  # No epoch ended.
        churn = {row.path: row.churn for row in self.table or ()}
        self.table = self._read().with_churn(churn)
        if self.verbose and is_chief():
            Console().print(self.table)

    def first_zero(self) -> dict[str, dict[str, Any]]:
        """The epoch, from 0, in which each group of weights was first measured to be all zero.

        Returns:
            A dict from the path of each kernel to `{"inputs": array, "outputs": array}`; -1: not
            so far.
        """
        measured = [-1, *self._epochs_measured]
        found = self._meter.first_zero() if self._meter else {}
        return {
            path: {side: _epochs_of(which, measured) for side, which in sides.items()}
            for path, sides in found.items()
        }

    def _measure(self, logs: dict | None, batch: int | None) -> None:
        self.table = self._read()
        for optimizer in Proximal.all_of(self.model):
            optimizer.warn_of_zeros()
        if self.path is not None and is_chief():
            self._write({"epoch": self._epoch, "batch": batch, **_numbers(logs)})

    def _read(self) -> SparsityTable:
        # Between the epochs of a fit on JAX the model's variables are behind the training state.
        sync = getattr(self.model, "jax_state_sync", None)
        if sync is not None:
            sync()
        if self._meter is None:
            self._meter = Meter(self.model, self.tolerance, reader=CompiledReader)
        self._epochs_measured.append(self._epoch)
        return self._meter.measure()

    def _add(self, logs: dict | None) -> None:
        if logs is not None and self.table is not None:
            logs.update(self.table.logs(self.per_weight))

    def _write(self, line: dict[str, Any]) -> None:
        table = self.table.to_dict() if self.table else {}
        append_line(self.path or "", {**line, "table": table})


def _numbers(logs: dict | None) -> dict[str, Any]:
    return {"logs": {name: float(value) for name, value in (logs or {}).items()}}


def _epochs_of(measures: Any, epochs: list[int]) -> Any:
    return keras.ops.convert_to_numpy([epochs[measure + 1] for measure in measures])
