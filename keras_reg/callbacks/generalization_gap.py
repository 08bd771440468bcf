"""GeneralizationGap: how much better a model is on what it was trained on, in the logs."""

from typing import Any

import keras

from keras_reg.figures import empty_figure


class GeneralizationGap(keras.callbacks.Callback):
    """Puts training minus validation into `logs`, for the loss and every metric.

    The keys are `gap/loss` and `gap/<metric>`. Overfitting makes `gap/loss` negative and large, and
    `gap/accuracy` positive. The training figures are Keras's own, means over the epoch with dropout
    at work, so that a regularized network may show a gap of the other sign.

    Put it before the callbacks that read logs, such as CSVLogger and TensorBoard. An epoch without
    validation (`validation_freq`) has no gap.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
        >>> gap = GeneralizationGap()
        >>> history = model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=[gap])
        >>> list(history.history)
        ['loss', 'val_loss', 'gap/loss']
    """

    def __init__(self):
        super().__init__()
        self.history: list[dict[str, float]] = []
        self._seen = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forgets the gaps of an earlier training."""
        self.history, self._seen = [], False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the gaps to `logs`."""
        logs = {} if logs is None else logs
        pairs = {name: f"val_{name}" for name in logs if f"val_{name}" in logs}
        gaps = {f"gap/{name}": logs[name] - logs[other] for name, other in pairs.items()}
        if gaps:
            self._seen = True
            figures = {key: float(logs[key]) for pair in pairs.items() for key in pair}
            self.history.append({"epoch": epoch, **figures, **gaps})
        logs.update(gaps)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Raises ValueError if there never was a validation to compare with."""
        if not self._seen:
            raise ValueError(
                "Expected validation data for GeneralizationGap: give `fit` `validation_data` or "
                "`validation_split`. Received: logs without a `val_loss` in every epoch"
            )

    def plot(self, metric: str = "loss") -> Any:
        """Training and validation over the epochs, with the gap between them shaded.

        Args:
            metric: str. "loss" or the name of a metric.

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            ValueError: if there is nothing to draw; ImportError if matplotlib is missing.
        """
        first = self.history[0] if self.history else {}
        names = [key.removeprefix("gap/") for key in first if key.startswith("gap/")]
        if metric not in names:
            raise ValueError(f"Expected `metric` to be among {names}. Received: metric={metric!r}")
        return _drawn(self.history, metric)


def _drawn(history: list[dict[str, float]], metric: str) -> Any:
    epochs = [row["epoch"] + 1 for row in history]
    training, validation = ([row[key] for row in history] for key in (metric, f"val_{metric}"))
    figure = empty_figure(6, 3.6)
    axes = figure.subplots()
    axes.plot(epochs, training, color="#2a6fbb", label="training")
    axes.plot(epochs, validation, color="#c8553d", label="validation")
    axes.fill_between(epochs, training, validation, color="#c8553d", alpha=0.15, label="gap")
    axes.set(xlabel="epoch", ylabel=metric, title=f"Generalization gap: {metric}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
