"""TargetSparsity: steers Proximal's strength until a share of the weights, or the work, is gone."""

import math
import warnings
import weakref
from typing import Any

import keras
from keras import ops

from keras_reg import schedules, structure
from keras_reg.callbacks.counted import OF, Counted, Groups, counted
from keras_reg.callbacks.epochs import check_epoch, epoch_of
from keras_reg.optimizers.proximal import Proximal

# Change of log(strength) for each unit of the error, and of the error's change since the last
# batch, in log(sparsity / (1 - sparsity)).
INTEGRAL, PROPORTIONAL = 0.1, 1.0
# The largest change after a batch.
LARGEST = 0.5
# Groups take many batches to die: how far to look ahead, as a share of the way to the target, in
# batches at least, and at last, where it was not reached in time.
AHEAD, AT_LEAST, AT_LAST = 0.125, 20, 10
# The least rise of log(strength) when even the shortest look ahead does not reach the target, since
# gradients make groups grow again of which it does not know; and the largest fall at the target,
# where no more groups are about to go.
RISE, FALL = 0.1, 0.05
# The scale does not fall below this share of its largest, so that it can rise again.
LOWEST = 1e-3
# Sparsities are held about this far from 0 and 1, where the error would be infinite.
MARGIN = 0.01
# The scale changes by at most this factor while the sparsity does not come nearer to the reference.
FARTHEST = 1e6
# So far below the target an epoch may end that what is missing is made zero.
NEAR = 0.1
# How far below the target the sparsity may be when a refit begins.
SHORT = 0.02
# Of the target; with less than this share of it at the end, training was too short.
FAR = 0.5
# The callback that last began to steer an optimizer.
_STEERED_BY: weakref.WeakKeyDictionary[Any, weakref.ref] = weakref.WeakKeyDictionary()


class TargetSparsity(keras.callbacks.Callback):
    """Steers `strength_scale` of `Proximal` so that a share of the weights is zero, and stays so.

    Or a share of the channels, parameters or multiply-adds of the model is gone, by penalties on
    channels: `of="macs"` with a target of 0.5 ends with a model of which `keras_reg.compact` makes
    one with half of the multiply-adds.

    Use it where the strength is not known but the wanted sparsity is. After every batch it measures
    the sparsity and multiplies the strengths by a number that depends on how far the sparsity is
    from a reference, and on how fast that changes: a proportional-integral controller in the
    logarithm of the strength. The reference rises along the cubic curve of gradual pruning,
    target * (1 - (1 - done)**3): fast while there is much to choose from, and level where it lands.
    A model that is ahead of it is not held back, and a batch changes the strength by a factor of at
    most 1.65. All state is `strength_scale` and the weights, so that a run which is resumed goes on
    as if it had not stopped. `strength_scale` is in the logs.

    Groups and channels take many batches to shrink to zero, and then many go at once. So for them
    the strength follows a forecast: after each batch it moves to what would bring the model to the
    reference of an eighth of the way later, by the penalty alone. Gradients hold some against it,
    so that the target is reached a little after `until`.

    Reach the target early: the weights that are left then have the rest of the training to adapt.

    Weights come and go from batch to batch: with Adam several percent, and most after a last batch
    of few examples. So at the end of each epoch from `until` on, what is missing to the target is
    made zero, if it is no more than a tenth: the weights, groups or channels that the shortest
    proximal step makes zero with which the target is reached. Others stay as they are. Each
    measurement reads the weights once and waits for the batch; what is left of the model is a
    formula of how many channels are left.

    The penalty decides what becomes zero; this callback decides how much of it. At high sparsities
    that may be all of a layer: `Trimmed(penalty, at_least=0.2)` keeps a part of each. A share that
    the penalties cannot reach, such as 50% of a kernel that no penalty acts on, is refused, and so
    are penalties that no strength steers: `TopK`, `NM`, those that make no zeros, as L2, and a
    strength of 0. Where the scale stops helping, or all weights that it acts on stay at zero, it is
    put back to what it was when it last helped, and stays there for the rest of the training. It
    ends where `Refit` begins.

    Args:
        target: float between 0 and 1. The share of exact zeros.
        until: int >= 1, or float between 0 and 1. The epoch by which it is reached, counted from
            `fit`'s epoch 0, or the share of `fit`'s epochs.
        scope: "all", or a regular expression over variable paths. The weights or groups whose share
            counts: of every kernel and embedding matrix, or of those that the pattern names.
        of: "weights", "groups", "channels", "parameters" or "macs". What `target` is a share of:
            single weights; the groups of the penalties, such as the units of
            `GroupLasso(0.1, group_axis="outputs")`; the channels on which penalties act; or all
            parameters or multiply-adds of the model, of which those of zero channels are gone.
    Raises:
        ValueError: if an argument is out of range; when training starts, if the optimizer is no
            `Proximal` or another `TargetSparsity` steers it, if the pattern names nothing, if there
            are no groups or channels to count, if the multiply-adds are not all known, or if the
            penalties cannot reach the target: the message says how far they can.
    Warns: when it stops steering, when a refit begins or training ends far below the target, and of
        each penalized variable whose weights are all zero.
    Reference: Astrom & Hagglund, "Advanced PID Control", 2006, for the controller in its velocity
        form; Zhu & Gupta, "To prune, or not to prune", 2017, for the curve; steering a strength
        towards a target is also what HGQ and NNCF do.

    Example:
        >>> from keras_reg import regularizers
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
        >>> model.compile(Proximal(keras.optimizers.Adam(0.01), regularizers.L1(0.1)), "mse")
        >>> steer, x = TargetSparsity(0.75, until=3), ops.eye(8)
        >>> history = model.fit(x, x, 1, epochs=4, verbose=0, callbacks=[steer])
        >>> len(history.history["strength_scale"])
        4
    """

    _counted: Counted | None
    _was_zero: bool

    def __init__(
        self, target: float, until: float = 0.3, scope: str = "all", of: str = "weights"
    ) -> None:
        super().__init__()
        self.target = float(schedules.check_number(target, "target"))
        if not 0.0 < self.target < 1.0:
            raise ValueError(f"Expected 0 < `target` < 1. Received: target={target!r}")
        self.until = check_epoch(until, "until")
        self.scope = "all" if scope == "all" else structure.check_pattern(scope)
        if of not in OF:
            raise ValueError(f"Expected `of` to be one of {OF}. Received: of={of!r}")
        if self.scope != "all" and of not in OF[:2]:
            raise ValueError(
                f'Expected `scope="all"` for `of={of!r}`, which counts the whole model. '
                f"Received: scope={scope!r}"
            )
        self.of = of
        self._epoch, self._seen, self._done = 0, 0.0, 0.0
        self._forget()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the optimizer, which no other callback may steer."""
        self._forget()
        optimizer = _proximal(self.model)
        other = _STEERED_BY.get(optimizer, lambda: None)()
        # Keras gives the callbacks of one `fit` one dict.
        if other not in (None, self) and self.params and other.params is self.params:
            raise ValueError(
                "Expected one TargetSparsity for an optimizer, which has one `strength_scale` for "
                f"all of its penalties. Received: {other!r} and {self!r}"
            )
        _STEERED_BY[optimizer] = weakref.ref(self)

    def __repr__(self) -> str:
        until, scope, of = self.until, self.scope, self.of
        return f"TargetSparsity({self.target:g}, until={until!r}, scope={scope!r}, of={of!r})"

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures where the epoch starts."""
        self._epoch, self._done = epoch, float(epoch)
        # TensorFlow builds some models in their first batch.
        if self.model.built:
            self._seen = self._measure()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures, and sets the strength for the next batch."""
        if self._is_over():
            return
        if hasattr(self.model, "jax_state_sync"):
            # JAX's `fit` keeps the weights and the optimizer's state to itself in an epoch.
            self.model.jax_state_sync()
        done = self._epoch + min(1.0, (batch + 1) / (self.params.get("steps") or 1))
        now = self._measure()
        error, last = self._error(done, now), self._error(self._done, self._seen)
        self._seen, self._done = now, done
        if not self._stopped:
            change = INTEGRAL * error + PROPORTIONAL * (error - last)
            if self.of != "weights":
                change = self._change_for_groups(done, now)
            self._steer(error, max(-LARGEST, min(LARGEST, change)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Lands on the target; adds `strength_scale` to `logs`; stops if all weights stay zero."""
        optimizer = _proximal(self.model)
        self._land(epoch)
        self._warn_of_zero_scale()
        if self._seen <= self.target:
            # Above it the scale falls, and weights come back.
            optimizer.warn_of_zeros()
        was_zero = self._was_zero
        self._was_zero = self._counted is not None and self._counted.all_steered_are_zero()
        if was_zero and self._was_zero and not self._stopped and not self._is_over():
            self._stop("every weight that it acts on has been zero for an epoch")
        if logs is not None:
            logs["strength_scale"] = _scale_of(optimizer)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warns if the target is far away though it was to be reached."""
        is_due = self._done >= self._reached_by() and self._seen < FAR * self.target
        has_told = self._stopped or self._told_of_zero_scale
        if is_due and not has_told and not self._is_over():
            warnings.warn(
                f"Training ends at a sparsity of {self._seen:.2%}, far below the target of "
                f"TargetSparsity, {self.target:.2%}. A batch changes the strengths by a factor of "
                f"at most {math.exp(LARGEST):.3g}: begin with larger ones, or train for longer.",
                stacklevel=2,
            )

    def _forget(self) -> None:
        self._counted = None
        self._stopped = self._told_of_refit = self._told_of_zero_scale = False
        self._was_zero = False
        # Where the sparsity last came nearer to the reference: in which direction, and at what.
        self._nearest: tuple[float, float] = (0.0, 0.0)
        self._helped = math.nan
        self._largest = 0.0

    def _is_over(self) -> bool:
        """Whether a refit has begun, in which no strength has an effect."""
        over = _proximal(self.model).support_is_fixed
        if over and not self._told_of_refit:
            self._told_of_refit = True
            if self._seen < self.target - SHORT:
                warnings.warn(
                    f"The refit begins at a sparsity of {self._seen:.2%}, below the target of "
                    f"TargetSparsity, {self.target:.2%}. Begin it later, or lower `until`.",
                    stacklevel=2,
                )
        return over

    def _warn_of_zero_scale(self) -> None:
        """Warns, once, where all strengths are switched off, which no steering changes."""
        is_off = _scale_of(_proximal(self.model)) == 0.0
        if is_off and not self._is_over() and not self._told_of_zero_scale:
            self._told_of_zero_scale = True
            warnings.warn(
                "TargetSparsity has no effect while `strength_scale` of the optimizer is 0. Set it "
                "to a number above 0, such as 1, before `fit`.",
                stacklevel=2,
            )

    def _land(self, epoch: int) -> None:
        """Makes zero what is missing to the target, if that is not much."""
        is_due = epoch + 1 >= self._reached_by() and 0.0 < self.target - self._seen <= NEAR
        is_on = not self._stopped and _scale_of(_proximal(self.model)) > 0.0
        if is_due and is_on and self._counted is not None and not self._is_over():
            self._counted.land(self.target)
            self._seen = self._measure()

    def _change_for_groups(self, done: float, now: float) -> float:
        """The change of log(strength) with which the penalty alone would follow the reference."""
        by, steps = self._reached_by(), self.params.get("steps") or 1
        farthest = max(AHEAD * by, AT_LEAST / steps)
        ahead = max(min(farthest, by + farthest - done), AT_LAST / steps)
        change = self._change_ahead(ahead * steps, self._reference(done + ahead))
        if now < self.target:
            return max(change, RISE) if done > by + farthest else change
        scale, counted = _scale_of(_proximal(self.model)), self._counted
        assert isinstance(counted, Groups)
        is_at_rest = counted.share_ahead(farthest * steps, scale) <= now
        return max(change, -FALL) if is_at_rest else change

    def _change_ahead(self, batches: float, wanted: float) -> float:
        """The least change of log(strength) with which a share is reached after some batches."""
        scale = _scale_of(_proximal(self.model))
        self._largest = max(self._largest, scale)
        counted = self._counted
        assert isinstance(counted, Groups)

        def is_enough(change: float) -> bool:
            return counted.share_ahead(batches, scale * math.exp(change)) >= wanted

        low, high = (-LARGEST, 0.0) if is_enough(0.0) else (0.0, LARGEST)
        if low < 0.0 and is_enough(low):
            return low if scale > LOWEST * self._largest else 0.0
        if high > 0.0 and not is_enough(high):
            return high
        for _ in range(2):
            middle = (low + high) / 2
            low, high = (low, middle) if is_enough(middle) else (middle, high)
        return high

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

    def _reached_by(self) -> int:
        return epoch_of(self.until, self.params["epochs"])

    def _error(self, done: float, seen: float) -> float:
        """How far a sparsity is below the reference after `done` epochs, in log-odds."""
        reference = max(self._reference(done), min(seen, self.target))
        return self._log_odds(reference) - self._log_odds(seen)

    def _reference(self, done: float) -> float:
        left = 1.0 - min(1.0, done / self._reached_by())
        return self.target * (1.0 - left**3)

    def _log_odds(self, share: float) -> float:
        low, high = min(MARGIN, self.target / 2), 1.0 - min(MARGIN, (1.0 - self.target) / 2)
        share = min(max(share, low), high)
        return math.log(share / (1.0 - share))

    def _measure(self) -> float:
        if self._counted is None:
            self._counted = counted(self.model, _proximal(self.model), self.scope, self.of)
            self._counted.check_reach(self.target)
        return self._counted.share()


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
