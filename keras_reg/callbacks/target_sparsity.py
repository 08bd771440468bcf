"""TargetSparsity: steers Proximal's strength until a share of the weights is zero."""

import math
from typing import Any

import keras
from keras import ops

from keras_reg import structure
from keras_reg.ops.backend import compiled, read
from keras_reg.optimizers.proximal import Proximal

# Of the epochs given, the share after which the reference has reached the target; in the rest the
# weights settle there.
RAMP = 0.8
# Change of log(strength) for each unit of the error, and of the error's change since the last
# batch, in log(sparsity / (1 - sparsity)); and the largest change after a batch.
INTEGRAL, PROPORTIONAL, LARGEST = 0.1, 1.0, 1.0
# Sparsities are held about this far from 0 and 1, where the error would be infinite.
MARGIN = 0.01


class TargetSparsity(keras.callbacks.Callback):
    """Steers `strength_scale` of `Proximal` so that a share of the weights is zero, and stays so.

    Use it where the strength is not known but the wanted sparsity is. After every batch it measures
    the sparsity and multiplies the strengths by a number that depends on how far the sparsity is
    from a reference, and on how fast that changes: a proportional-integral controller in the
    logarithm of the strength. The reference rises in a line from zero to the target, and a model
    that is ahead of it is not held back. All state is `strength_scale` and the weights, so that a
    run which is resumed goes on as if it had not stopped. `strength_scale` is in the logs.

    How exactly the target is held depends on how many weights come and go in a batch. With Adam and
    a small strength those can be several percent; a falling learning rate, or SGD with a momentum
    near 1, leaves fewer. Each measurement reads the weights once and waits for the batch.

    The penalty decides what becomes zero; this callback decides how much of it. A sparsity that the
    penalty cannot reach, such as 50% of a kernel that no penalty acts on, is not reached.

    Args:
        target: float between 0 and 1. The share of exact zeros.
        epochs: int >= 2. The epoch by which it is reached, counted from `fit`'s epoch 0.
        per: "model", or a regular expression over variable paths. The weights whose share counts:
            every kernel and embedding matrix, or those that the pattern names.
    Raises:
        ValueError: if an argument is out of range; when training starts, if the optimizer is no
            `Proximal`; at the first measurement, if the pattern names nothing.
    Reference: Astrom & Hagglund, "Advanced PID Control", 2006, for the controller in its velocity
        form; steering a strength towards a target is also what HGQ and NNCF do.

    Example:
        >>> from keras_reg import regularizers
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
        >>> model.compile(Proximal(keras.optimizers.Adam(0.01), regularizers.L1(0.1)), "mse")
        >>> steer, x = TargetSparsity(0.75, epochs=2), ops.eye(8)
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[steer])
        >>> len(history.history["strength_scale"])
        2
    """

    def __init__(self, target: float, epochs: int, per: str = "model"):
        super().__init__()
        is_number = isinstance(target, (int, float)) and not isinstance(target, bool)
        if not is_number or not 0.0 < target < 1.0:
            raise ValueError(f"Expected 0 < `target` < 1. Received: target={target!r}")
        if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 2:
            raise ValueError(f"Expected `epochs` to be an int >= 2. Received: epochs={epochs!r}")
        self.target, self.epochs = float(target), epochs
        self.per = per if per == "model" else structure.check_pattern(per)
        self._epoch, self._seen, self._done = 0, 0.0, 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the optimizer."""
        _proximal(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures where the epoch starts."""
        self._epoch, self._done = epoch, float(epoch)
        # TensorFlow builds some models in their first batch.
        self._seen = self._measure() if self.model.built else 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures, and sets the strength for the next batch."""
        if hasattr(self.model, "jax_state_sync"):
            # JAX's `fit` keeps the weights and the optimizer's state to itself in an epoch.
            self.model.jax_state_sync()
        done = self._epoch + min(1.0, (batch + 1) / (self.params.get("steps") or 1))
        now = self._measure()
        error, last = self._error(done, now), self._error(self._done, self._seen)
        change = INTEGRAL * error + PROPORTIONAL * (error - last)
        optimizer = _proximal(self.model)
        scale = float(ops.convert_to_numpy(optimizer.strength_scale))
        optimizer.strength_scale = scale * math.exp(max(-LARGEST, min(LARGEST, change)))
        self._seen, self._done = now, done

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds `strength_scale` to `logs`."""
        if logs is not None:
            scale = _proximal(self.model).strength_scale
            logs["strength_scale"] = float(ops.convert_to_numpy(scale))

    def _error(self, done: float, seen: float) -> float:
        """How far a sparsity is below the reference after `done` epochs, in log-odds."""
        line = self.target * min(1.0, done / (RAMP * self.epochs))
        reference = max(line, min(seen, self.target))
        return self._log_odds(reference) - self._log_odds(seen)

    def _log_odds(self, share: float) -> float:
        low, high = min(MARGIN, self.target / 2), 1.0 - min(MARGIN, (1.0 - self.target) / 2)
        share = min(max(share, low), high)
        return math.log(share / (1.0 - share))

    def _measure(self) -> float:
        kernels = [variable for variable in self.model.weights if structure.is_kernel(variable)]
        if self.per != "model":
            kernels = structure.match([self.per], kernels)[self.per]
        zeros = ops.convert_to_numpy(_zeros([read(kernel) for kernel in kernels]))
        return int(zeros.sum()) / sum(math.prod(kernel.shape) for kernel in kernels)


def _count_zeros(weights: list[Any]) -> Any:
    return ops.stack([ops.sum(ops.cast(ops.equal(weight, 0), "int32")) for weight in weights])


_zeros = compiled(_count_zeros)


def _proximal(model: keras.Model) -> Proximal:
    optimizer = Proximal.of(model)
    if optimizer is None:
        raise ValueError(
            "Expected the model to be compiled with keras_reg.optimizers.Proximal, whose strength "
            f"is steered. Received: {model.optimizer!r}"
        )
    return optimizer
