"""SparsityReport: the share of exact zeros in the logs, and a table when training ends."""

from typing import Any

import keras
from rich.console import Console

from keras_reg.report.sparsity import SparsityTable, sparsity


class SparsityReport(keras.callbacks.Callback):
    """Puts the share of exact zeros into `logs` after each epoch and prints a table at the end.

    The keys are `sparsity`, for the model, and `sparsity/<path>`, for each kernel. History sees
    them, and so do EarlyStopping, ModelCheckpoint (`monitor="sparsity", mode="max"`), CSVLogger and
    TensorBoard, if they come after this callback in the list.

    Args:
        verbose: int. 1 prints the table when training ends, 0 does not.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
        >>> history = model.fit(x, y, verbose=0, callbacks=[SparsityReport(verbose=0)])
        >>> history.history["sparsity"]
        [0.0]
    """

    def __init__(self, verbose: int = 1):
        super().__init__()
        self.verbose = verbose
        self.table: SparsityTable | None = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Measures the model and adds the figures to `logs`."""
        self.table = sparsity(self.model)
        if logs is not None:
            logs["sparsity"] = self.table.sparsity
            logs.update({f"sparsity/{row.path}": row.sparsity for row in self.table})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Prints the table of the weights as they are at this callback's turn.

        An EarlyStopping after it in the list that restores the best weights does so later.
        """
        self.table = sparsity(self.model)
        if self.verbose:
            Console().print(self.table)
