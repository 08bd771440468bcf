"""TargetSparsity: steers Proximal's strength until a share of the weights is zero."""

import math
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reg import schedules, structure
from keras_reg.optimizers.proximal import Proximal
from keras_reg.optimizers.zeros import count_zeros, has_strength, most_zeros, size

# Of the epochs given, the share after which the reference has reached the target; in the rest the
# weights settle there.
RAMP = 0.8
# Change of log(strength) for each unit of the error, and of the error's change since the last
# batch, in log(sparsity / (1 - sparsity)); and the largest change after a batch.
INTEGRAL, PROPORTIONAL, LARGEST = 0.1, 1.0, 1.0
# Sparsities are held about this far from 0 and 1, where the error would be infinite.
MARGIN = 0.01
# The scale changes by at most this factor while the sparsity does not come nearer to the reference.
FARTHEST = 1e6


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

    The penalty decides what becomes zero; this callback decides how much of it. A share that the
    penalties cannot reach, such as 50% of a kernel that no penalty acts on, is refused, and so are
    penalties that no strength steers: `TopK`, `NM`, those that make no zeros, as L2, and a strength
    of 0. Where the scale stops helping, or all weights that it acts on stay at zero, it is put back
    to what it was when it last helped, and stays there for the rest of the training.

    Args:
        target: float between 0 and 1. The share of exact zeros.
        epochs: int >= 2. The epoch by which it is reached, counted from `fit`'s epoch 0.
        per: "model", or a regular expression over variable paths. The weights whose share counts:
            every kernel and embedding matrix, or those that the pattern names.
    Raises:
        ValueError: if an argument is out of range; when training starts, if the optimizer is no
            `Proximal`, if the pattern names nothing, or if the penalties cannot reach the target.
    Warns: when it stops steering, and of each penalized variable whose weights are all zero.
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

    _was_zero: bool

    def __init__(self, target: float, epochs: int, per: str = "model"):
        super().__init__()
        self.target = float(schedules.check_number(target, "target"))
        if not 0.0 < self.target < 1.0:
            raise ValueError(f"Expected 0 < `target` < 1. Received: target={target!r}")
        self.epochs = schedules.check_count(epochs, "epochs", at_least=2)
        self.per = per if isinstance(per, str) and per == "model" else structure.check_pattern(per)
        self._epoch, self._seen, self._done = 0, 0.0, 0.0
        self._forget()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the optimizer, and what its penalties can reach."""
        self._forget()
        _proximal(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures where the epoch starts."""
        self._epoch, self._done = epoch, float(epoch)
        # TensorFlow builds some models in their first batch.
        if self.model.built:
            self._seen = self._measure()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures, and sets the strength for the next batch."""
        if hasattr(self.model, "jax_state_sync"):
            # JAX's `fit` keeps the weights and the optimizer's state to itself in an epoch.
            self.model.jax_state_sync()
        done = self._epoch + min(1.0, (batch + 1) / (self.params.get("steps") or 1))
        now = self._measure()
        error, last = self._error(done, now), self._error(self._done, self._seen)
        self._seen, self._done = now, done
        if not self._stopped:
            change = INTEGRAL * error + PROPORTIONAL * (error - last)
            self._steer(error, max(-LARGEST, min(LARGEST, change)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds `strength_scale` to `logs`; stops if all weights have been zero for the epoch."""
        optimizer = _proximal(self.model)
        if self._seen <= self.target:
            # Above it the scale falls, and weights come back.
            optimizer.warn_of_zeros()
        was_zero = self._was_zero
        self._was_zero = bool(self._steered) and self._all_are_zero()
        if was_zero and self._was_zero and not self._stopped:
            self._stop("every weight that it acts on has been zero for an epoch")
        if logs is not None:
            logs["strength_scale"] = _scale_of(optimizer)

    def _forget(self) -> None:
        self._steered: list[Any] = []
        self._stopped = False
        self._was_zero = False
        # Where the sparsity last came nearer to the reference: in which direction, and at what.
        self._nearest: tuple[float, float] = (0.0, 0.0)
        self._helped = math.nan

    def _steer(self, error: float, change: float) -> None:
        optimizer = _proximal(self.model)
        scale = _scale_of(optimizer)
        side = math.copysign(1.0, error) if error else 0.0
        if side != self._nearest[0] or side * (self._seen - self._nearest[1]) > 0:
            self._nearest, self._helped = (side, self._seen), scale
        # A scale of 0 is the user's: it stays.
        if scale > 0.0 and abs(math.log(scale / self._helped) + change) > math.log(FARTHEST):
            self._stop(f"a change of it by a factor of {FARTHEST:g} no longer helped")
            return
        optimizer.strength_scale = scale * math.exp(change)

    def _stop(self, reason: str) -> None:
        self._stopped = True
        if math.isfinite(self._helped):
            _proximal(self.model).strength_scale = self._helped
        warnings.warn(
            f"TargetSparsity stops at a sparsity of {self._seen:.2%}, short of or above its target "
            f"of {self.target:.2%}, and leaves `strength_scale` at {self._helped:.3g}: {reason}.",
            stacklevel=2,
        )

    def _all_are_zero(self) -> bool:
        return int(count_zeros(self._steered).sum()) == sum(map(size, self._steered))

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
        counted = self._counted()
        if not self._steered:
            self._steered = self._check_reach(counted)
        return int(count_zeros(counted).sum()) / sum(map(size, counted))

    def _counted(self) -> list[Any]:
        kernels = structure.kernels_of(self.model)
        return kernels if self.per == "model" else structure.match([self.per], kernels)[self.per]

    def _check_reach(self, counted: list[Any]) -> list[Any]:
        """The counted variables whose zeros the strength decides, if the target is in reach."""
        paths = {id(variable): structure.path_of(variable) for variable in counted}
        pairs = _proximal(self.model).resolve(self.model.trainable_variables)
        pairs = [(penalty, variable) for penalty, variable in pairs if id(variable) in paths]
        reach = {id(variable): most_zeros(penalty, variable) for penalty, variable in pairs}
        steered = [v for penalty, v in pairs if has_strength(penalty) and reach[id(v)]]
        if not steered:
            raise ValueError(
                "Expected a penalty on the counted weights whose strength decides how many are "
                "zero: not TopK or NM, which have none, nor L2, which makes no zeros, nor a "
                f"strength of 0. Received: {[(paths[id(v)], penalty) for penalty, v in pairs]}"
            )
        zeros = count_zeros(counted)
        found = [
            # What is frozen keeps the zeros that it has.
            reach.get(id(variable), 0 if variable.trainable else int(now))
            for variable, now in zip(counted, zeros, strict=True)
        ]
        share = sum(found) / sum(map(size, counted))
        if self.target > share:
            short = [paths[id(v)] for v, n in zip(counted, found, strict=True) if n < size(v)]
            raise ValueError(
                f"Expected `target` to be at most {np.floor(1e4 * share) / 1e4:g}, the share of "
                "the counted weights that the penalties can make zero. Received: "
                f"target={self.target}. They cannot make all zero in {short}"
            )
        return steered


def _proximal(model: keras.Model) -> Proximal:
    optimizer = Proximal.of(model)
    if optimizer is None:
        raise ValueError(
            "Expected the model to be compiled with keras_reg.optimizers.Proximal, whose strength "
            f"is steered. Received: {model.optimizer!r}"
        )
    return optimizer


def _scale_of(optimizer: Proximal) -> float:
    return float(ops.convert_to_numpy(optimizer.strength_scale))
