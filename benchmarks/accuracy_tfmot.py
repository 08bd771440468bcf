"""The peer of benchmarks/accuracy.py in TensorFlow Model Optimization: run by `make peers`.

TFMOT needs tf_keras, the Keras before Keras 3, and so an environment of its own.
"""

import accuracy_tasks as tasks
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras


class Rate(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A cosine, and another one for the last part."""

    def __init__(self, first: int, last: int):
        cosine = tf_keras.optimizers.schedules.CosineDecay
        self.first = first
        self.parts = [cosine(tasks.RATE, steps, tasks.LOWEST) for steps in (first, last)]

    def __call__(self, step):
        before, after = self.parts[0](step), self.parts[1](step - self.first)
        return tf.where(step < self.first, before, after)


def train(task: str, sparsity: float, seed: int) -> tuple[float, float]:
    """The share of zeros and the test accuracy at the end of a training."""
    x, x_test, y, y_test = tasks.load(task)
    tf_keras.utils.set_random_seed(seed)
    model = tf_keras.Sequential(tasks.network(tf_keras.layers, task, x.shape[1]))
    steps = -(-len(x) // tasks.BATCH[task])
    ramp = tfmot.sparsity.keras.PolynomialDecay(
        0.0, sparsity, 0, round(tasks.RAMP * tasks.EPOCHS * steps), power=3, frequency=tasks.EVERY
    )
    model = tfmot.sparsity.keras.prune_low_magnitude(model, ramp)
    first = round(tasks.REFIT * tasks.EPOCHS) * steps
    model.compile(
        tf_keras.optimizers.Adam(Rate(first, tasks.EPOCHS * steps - first)),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    model.fit(x, y, tasks.BATCH[task], tasks.EPOCHS, verbose=0, callbacks=callbacks)
    model = tfmot.sparsity.keras.strip_pruning(model)
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    zeros = sum(np.sum(kernel == 0) for kernel in kernels) / sum(k.size for k in kernels)
    right = np.argmax(model.predict(x_test, len(x_test), verbose=0), axis=1) == y_test
    return float(zeros), float(np.mean(right))


if __name__ == "__main__":
    tasks.peer(__doc__.splitlines()[0], "TFMOT", train)
