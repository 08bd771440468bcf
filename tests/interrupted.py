"""A run that test_backup.py kills while it trains, and starts again."""

import os
import pathlib
import signal
import sys

import keras
import numpy as np
from small_model import data, dense_model

from keras_reg import regularizers, schedules
from keras_reg.callbacks import TargetSparsity
from keras_reg.optimizers import Proximal


class KillAt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, kill_at):
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    model = dense_model()
    inner = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5)
    model.compile(Proximal(inner, regularizers.L1(schedules.Linear(0.0, 0.5, steps=20))), "mse")
    callbacks = [
        TargetSparsity(0.5, until=4),
        keras.callbacks.BackupAndRestore(folder / "backup"),
        KillAt(kill_at),
    ]
    model.fit(*data(), epochs=6, batch_size=16, shuffle=False, verbose=0, callbacks=callbacks)
    np.savez(folder / "end.npz", *model.get_weights(), *map(np.array, model.optimizer.variables))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
