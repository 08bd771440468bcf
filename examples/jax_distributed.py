"""The quickstart's network on eight virtual devices of JAX, and on one.

`keras.distribution.DataParallel` splits each batch over the devices; `Proximal` and
`ScheduledDropout` need nothing for it. Eight devices of one CPU are not faster: this shows that
the result is the same. Run with `python examples/jax_distributed.py`; needs `keras-reg[jax]`.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import keras
import matplotlib.pyplot as plt
import numpy as np
import quickstart
from reporting import command, save, show

import keras_reg as kr


def train(devices, epochs):
    """The weights and the history of the quickstart's last contender on some of the devices."""
    layout = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    keras.distribution.set_distribution(layout)
    x, x_test, y, y_test = quickstart.load()
    # Every batch must split evenly.
    rows = len(x) // quickstart.BATCH * quickstart.BATCH
    *_, (_, model, optimizer) = quickstart.trainings(steps=epochs * rows // quickstart.BATCH)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    report = kr.callbacks.SparsityReport(verbose=0)
    batches = x[:rows], y[:rows], quickstart.BATCH
    history = model.fit(*batches, epochs, verbose=0, callbacks=[report]).history
    used = len(model.trainable_weights[0].value.sharding.device_set)
    right = model.predict(x_test[: len(x_test) // 8 * 8], 8, verbose=0).argmax(axis=1)
    row = {
        "devices": used,
        "accuracy": np.mean(right == y_test[: len(right)]),
        "sparsity": history["sparsity"][-1],
    }
    return row, history, [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]


def main(output=".", epochs=40):
    results, weights = {}, []
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    available = keras.distribution.list_devices("cpu")
    for count, style in ((1, "-"), (len(available), "--")):
        row, history, trained = train(available[:count], epochs)
        weights.append(trained)
        # Sums over devices round differently, and training carries that on.
        apart = max(np.abs(a - b).max() for a, b in zip(weights[0], trained, strict=True))
        results[f"{count} of {len(available)} devices"] = {**row, "largest difference": apart}
        axes.plot(history["sparsity"], f"C0{style}", label=f"exact zeros, {count} devices")
        axes.plot(history["accuracy"], f"C1{style}", label=f"training accuracy, {count} devices")
    title = f"JAX {jax.__version__}, Proximal(Adam) with L1 and ScheduledDropout, {epochs} epochs"
    formats = {"devices": "d", "accuracy": ".1%", "sparsity": ".1%", "largest difference": ".1e"}
    show(title, results, formats)
    axes.set(xlabel="epoch", title=title)
    axes.legend()
    save(figure, output, "jax_distributed.png")
    return results


if __name__ == "__main__":
    command(main)
