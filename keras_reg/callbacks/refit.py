"""Refit: from an epoch on, no penalty, on the weights that are left."""

import warnings
from typing import Any

import keras

from keras_reg.callbacks.epochs import check_epoch, epoch_of
from keras_reg.optimizers import Proximal
from keras_reg.optimizers.restarting import check_rate, check_replaceable, set_rate


class Refit(keras.callbacks.Callback):
    """Drops the penalties of `Proximal` at an epoch and trains on with the weights that are left.

    A penalty also shrinks the weights that it leaves, and steps that are long enough to learn are
    too long for a few weights: a network of which 98% is zero gains most of its accuracy back in a
    few epochs without the penalty. From epoch `at` on, `strength_scale` is 0, the zeros of all
    penalized weights stay zero, and the optimizer inside is as if it were new: its momentum and
    velocities are zero, and its learning rate schedule starts again. It is what compiling the model
    anew with `FixedSupport` does, within one `fit`.

    The training step is compiled once more at that epoch, and costs no more than the step of
    `FixedSupport` from there on. All state is the optimizer's: a model that is saved after the
    epoch, or a run that is resumed (`BackupAndRestore`), goes on with the refit.

    Args:
        at: int >= 1, or float between 0 and 1. The epoch, counted from `fit`'s epoch 0, or the
            share of `fit`'s epochs.
        learning_rate: float > 0, a schedule, or None. The rate of the refit. A schedule is
            evaluated at the updates since `at`. None: the optimizer's own, a schedule from its
            start. A schedule needs an optimizer that has one too.
    Raises:
        ValueError: if an argument is out of range; when training starts, if the optimizer is no
            `Proximal`, or if the learning rate does not suit it; in an epoch before `at`, if the
            support is fixed already: compile the model anew.
    Warns: when training starts, if it ends before `at`.
    Reference: Meinshausen, "Relaxed Lasso", Computational Statistics & Data Analysis 2007;
        Renda, Frankle & Carbin, "Comparing Rewinding and Fine-tuning in Neural Network Pruning",
        ICLR 2020, for the learning rate.

    Example:
        >>> from keras_reg import regularizers
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
        >>> model.compile(Proximal(keras.optimizers.Adam(0.1), regularizers.L1(0.5)), "mse")
        >>> x = keras.ops.eye(8)
        >>> history = model.fit(x, x, epochs=20, verbose=0, callbacks=[Refit(at=15)])
        >>> model.optimizer.support_is_fixed
        True
    """

    def __init__(self, at: float = 0.75, learning_rate: Any = None):
        super().__init__()
        self.at = check_epoch(at, "at")
        self.learning_rate = check_rate(learning_rate)
        self._is_on = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the optimizer, and looks whether it takes the learning rate."""
        self._is_on = False
        optimizers = self._optimizers()
        for optimizer in optimizers:
            if self.learning_rate is not None:
                if len(optimizers) > 1 or hasattr(optimizer.inner_optimizer, "optimizers"):
                    raise ValueError(
                        "Expected `learning_rate` to be None for a MultiOptimizer, whose members "
                        f"have one each. Received: learning_rate={self.learning_rate!r}"
                    )
                check_replaceable(optimizer.inner_optimizer, self.learning_rate)
        epochs = self.params["epochs"]
        if epoch_of(self.at, epochs) >= epochs:
            warnings.warn(
                f"Refit(at={self.at}) has no effect in a `fit` that ends after {epochs} epochs.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begins the refit, or goes on with one that was resumed."""
        optimizers = self._optimizers()
        if epoch < epoch_of(self.at, self.params["epochs"]):
            if any(optimizer.support_is_fixed for optimizer in optimizers):
                raise ValueError(
                    f"Expected a model without a fixed support before epoch {self.at}. Received "
                    f"one that is in its refit, at epoch {epoch}: compile it anew to penalize its "
                    "weights again"
                )
        elif not self._is_on:
            self._is_on = True
            for optimizer in optimizers:
                if not optimizer.support_is_fixed:
                    optimizer.fix_support()
                if self.learning_rate is not None:
                    set_rate(optimizer.inner_optimizer, self.learning_rate)
            self.model.make_train_function(force=True)

    def _optimizers(self) -> list[Proximal]:
        optimizers = Proximal.all_of(self.model)
        if not optimizers:
            raise ValueError(
                "Expected the model to be compiled with keras_reg.optimizers.Proximal, whose "
                f"penalties are dropped. Received: {self.model.optimizer!r}"
            )
        return optimizers
