"""ScheduleLogger: every scheduled rate and strength in the logs."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_reg import schedules
from keras_reg.keras_private import layers_in
from keras_reg.layers import Scheduled
from keras_reg.optimizers import Proximal


class ScheduleLogger(keras.callbacks.Callback):
    """Puts the value of every schedule of the model into `logs` after each epoch.

    The keys are `rate/<layer name>` for the layers of `keras_reg.layers`, with `:2` for
    the second of a name, and
    `strength/<pattern>`, or `strength` if there is one penalty for all, for those of `Proximal`
    (`sparsity/...` for a `TopK`). The values are those of the next step. History sees them, and so
    do CSVLogger and TensorBoard, if they come after this callback in the list.

    Example:
        >>> from keras_reg.layers import ScheduledDropout
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((3,)),
        ...         ScheduledDropout(schedules.Linear(0.0, 0.5, steps=4), name="dropped"),
        ...         keras.layers.Dense(1),
        ...     ]
        ... )
        >>> model.compile("sgd", "mse")
        >>> x, y = ops.ones((4, 3)), ops.ones((4, 1))
        >>> history = model.fit(
        ...     x, y, batch_size=2, epochs=2, verbose=0, callbacks=[ScheduleLogger()]
        ... )
        >>> history.history["rate/dropped"]
        [0.25, 0.5]
    """

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the values to `logs`."""
        if logs is not None:
            logs.update(_rates(self.model))
            for optimizer in Proximal.all_of(self.model):
                logs.update(_strengths(optimizer))


def _rates(model: Any) -> dict[str, float]:
    rates: dict[str, float] = {}
    # No public name lists the layers inside of layers too.
    for layer in [model, *layers_in(model)]:
        if isinstance(layer, Scheduled) and isinstance(layer.rate, LearningRateSchedule):
            # Two parts of a model may have a layer of the same name.
            same = sum(key.split(":")[0] == f"rate/{layer.name}" for key in rates)
            key = f"rate/{layer.name}" + (f":{same + 1}" if same else "")
            rates[key] = layer.current_rate()
    return rates


def _strengths(optimizer: Proximal) -> Iterator[tuple[str, float]]:
    penalties = optimizer.penalties
    named = penalties.items() if isinstance(penalties, dict) else [("", penalties)]
    step = int(ops.convert_to_numpy(optimizer.iterations))
    for pattern, penalty in named:
        for name in penalty.get_config():
            value = getattr(penalty, name, None)
            if isinstance(value, LearningRateSchedule):
                key = f"{name}/{pattern}" if pattern else name
                yield key, float(ops.convert_to_numpy(schedules.evaluate(value, step)))
