"""One worker of test_distribution.py: TF_CONFIG in the environment says which of how many."""

import contextlib
import io
import json
import os
import sys

import keras
import numpy as np
from keras import ops

from keras_reg import regularizers
from keras_reg.callbacks import SparsityReport
from keras_reg.layers import ScheduledDropout
from keras_reg.optimizers import Proximal


def new_model(use_ema=False, is_pruned=False):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, activation="tanh", name="hidden"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    penalties = {
        "hidden/kernel": regularizers.GroupLasso(0.6, group_axis=-2),
        "out/kernel": regularizers.L1(1.0),
    }
    if is_pruned:
        penalties = regularizers.TopK(0.5, scope="all")
    inner = keras.optimizers.Adam(0.02, use_ema=use_ema, ema_momentum=0.5)
    model.compile(Proximal(inner, penalties), "mse", jit_compile=keras.backend.backend() == "jax")
    return model


def data():
    x = np.random.default_rng(0).standard_normal((32, 8)).astype("float32")
    return x, x[:, :1] - x[:, 1:2]


def weights_of(model):
    return [ops.convert_to_numpy(variable).tolist() for variable in model.trainable_weights]


def train(use_ema=False, is_pruned=False):
    """Weights of a small model after a few steps with L1 and a group lasso, or pruned."""
    model = new_model(use_ema, is_pruned)
    model.fit(*data(), batch_size=16, epochs=10, shuffle=False, verbose=0)
    return weights_of(model)


def train_in_strategy():
    """As `train`, in a loop written for a `tf.distribute` strategy of one or two workers."""
    import tensorflow as tf

    has_others = "TF_CONFIG" in os.environ
    cluster = (
        tf.distribute.MultiWorkerMirroredStrategy if has_others else tf.distribute.get_strategy
    )
    strategy = cluster()
    replicas, worker = strategy.num_replicas_in_sync, 0
    if has_others:
        worker = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
        assert replicas == 2
    with strategy.scope():
        model = new_model()
        model.optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        def replica_step(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(x, training=True) - y)) / replicas
            gradients = tape.gradient(loss, model.trainable_variables)
            model.optimizer.apply(gradients, model.trainable_variables)

        strategy.run(replica_step, args=(x, y))

    for count in range(20):
        x, y = (array[16 * (count % 2) : 16 * (count % 2) + 16] for array in data())
        step(*(tf.constant(array[worker::replicas]) for array in (x, y)))
    return weights_of(model)


def sharded():
    """On eight devices: alone, with the data in parts, and with the weights in parts."""
    import jax

    assert len(jax.devices()) == 8
    results = {"alone": train()}
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    results["data"] = train()
    mesh = keras.distribution.DeviceMesh(
        (2, 4), ["batch", "model"], keras.distribution.list_devices()
    )
    for name, layouts in {
        "outputs": {"hidden/kernel": (None, "model"), "hidden/bias": ("model",)},
        "inputs": {"hidden/kernel": ("model", None), "out/kernel": ("model", None)},
    }.items():
        map_ = keras.distribution.LayoutMap(mesh)
        for path, layout in layouts.items():
            map_[f".*{path}"] = layout
        model_parallel = keras.distribution.ModelParallel(layout_map=map_, batch_dim_name="batch")
        keras.distribution.set_distribution(model_parallel)
        results[name] = train()
        results[f"{name} averaged"] = train(use_ema=True)
    results["pruned"] = train(is_pruned=True)
    keras.distribution.set_distribution(None)
    results["alone averaged"] = train(use_ema=True)
    results["alone pruned"] = train(is_pruned=True)
    results["all-reduces"] = all_reduces()
    return results


def train_in_torch():
    """As `train`, by DistributedDataParallel in one or two processes, and what else they do."""
    import torch

    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("gloo")
    model = new_model()
    # It reduces the gradients of the loss in its backward pass, whatever the optimizer.
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    x, y = (torch.from_numpy(part) for part in data())
    for step in range(20):
        # Half of the steps' 16 samples each: every second one.
        part = slice(step % 2 * 16 + rank, step % 2 * 16 + 16, processes)
        model.zero_grad()
        torch.mean(torch.square(parallel(x[part]) - y[part])).backward()
        variables = model.trainable_weights
        gradients = [variable.value.grad for variable in variables]
        with torch.no_grad():
            model.optimizer.apply(gradients, variables)
    layer = ScheduledDropout(0.5, seed=3)
    mask = ops.convert_to_numpy(layer(ops.ones((64,)), training=True)) != 0
    report = SparsityReport(path=os.environ["REPORT"])
    report.set_model(model)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        report.on_train_begin()
        report.on_epoch_begin(0)
        report.on_epoch_end(0, {})
        report.on_train_end()
    torch.distributed.destroy_process_group()
    return {
        "weights": weights_of(model),
        "mask": mask.tolist(),
        "printed": "hidden" in printed.getvalue(),
        "written": os.path.exists(os.environ["REPORT"]),
    }


def all_reduces():
    """All-reduces in the compiled update of eight replicas, without and with a penalty."""
    import jax

    keras.distribution.set_distribution(keras.distribution.DataParallel())
    counts = []
    for wrap in (lambda inner: inner, lambda inner: Proximal(inner, regularizers.GroupLasso(0.1))):
        variable = keras.Variable(np.ones((8, 16), "float32"), name="kernel")
        optimizer = wrap(keras.optimizers.Adam())
        optimizer.build([variable])
        state = [v.value for v in optimizer.variables]
        step = jax.jit(optimizer.stateless_apply)
        text = step.lower(state, [variable.value], [variable.value]).compile().as_text()
        counts.append(text.count("all-reduce(") + text.count("all-gather("))
    return counts


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(json.dumps(globals()[sys.argv[1]]()))
