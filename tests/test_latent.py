"""Proximal(latent=True): what is pruned goes on being updated, as by the definition in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import schedules
from keras_reg.callbacks import Refit
from keras_reg.keras_private import layout_of
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import L1, NM, TopK

BACKEND = keras.backend.backend()
RATE = 0.25


def updates(optimizer, variables, targets, count):
    """The weights after each update of 0.5 * sum (w - target)**2."""
    seen = []
    for _ in range(count):
        pairs = zip(map(ops.convert_to_numpy, variables), targets, strict=True)
        gradients = [ops.convert_to_tensor(w - target) for w, target in pairs]
        optimizer.apply(gradients, variables)
        seen.append(np.concatenate([ops.convert_to_numpy(v).ravel() for v in variables]))
    return np.array(seen)


def expected(start, target, sparsity, count, every):
    """Dynamic pruning with feedback: the gradient at the pruned weights moves those behind them."""
    latent, kept, seen = start.copy(), np.ones(start.size, bool), []
    for number in range(1, count + 1):
        latent = latent - np.float32(RATE) * (np.where(kept, latent, 0) - target)
        if number % every == 0:
            order = np.argsort(-np.abs(latent), kind="stable")
            kept = np.isin(np.arange(start.size), order[: round((1 - sparsity) * start.size)])
        seen.append(np.where(kept, latent, 0))
    return np.array(seen)


@pytest.mark.parametrize("every", [1, 3])
def test_updates_of_pruned_weights_go_on_out_of_sight(every):
    random = np.random.default_rng(0)
    start, target = random.standard_normal((2, 24)).astype("float32")
    parts = [start[:16].reshape(8, 2), start[16:].reshape(2, 4)]
    variables = [keras.Variable(part, name="kernel") for part in parts]
    targets = [target[:16].reshape(8, 2), target[16:].reshape(2, 4)]
    optimizer = Proximal(
        keras.optimizers.SGD(RATE), TopK(0.75, scope="all"), every=every, latent=True
    )
    seen = updates(optimizer, variables, targets, 12)
    wanted = expected(start, target, 0.75, 12, every)
    np.testing.assert_allclose(seen, wanted, atol=1e-6)
    # Weights that were zero came back.
    assert np.any((seen[every - 1] == 0) & (seen[-1] != 0))


def test_weights_set_by_hand_count_and_without_strength_all_come_back():
    variable = keras.Variable([1.0, 0.5, 2.0, 4.0], name="kernel")
    optimizer = Proximal(keras.optimizers.SGD(RATE), {"kernel": TopK(0.5)}, latent=True)
    nothing = [ops.zeros((4,))]
    optimizer.apply(nothing, [variable])
    assert ops.convert_to_numpy(variable).tolist() == [0.0, 0.0, 2.0, 4.0]
    variable.assign([3.0, 0.0, 2.0, 4.0])
    optimizer.apply(nothing, [variable])
    assert ops.convert_to_numpy(variable).tolist() == [3.0, 0.0, 0.0, 4.0]
    optimizer.strength_scale = 0
    optimizer.apply(nothing, [variable])
    assert ops.convert_to_numpy(variable).tolist() == [3.0, 0.5, 2.0, 4.0]


def test_accumulated_gradients_leave_zeros_in_between():
    variable = keras.Variable([1.0, 0.5, 2.0, 4.0], name="kernel")
    inner = keras.optimizers.SGD(RATE, gradient_accumulation_steps=2)
    optimizer = Proximal(inner, {"kernel": TopK(0.5)}, latent=True)
    zeros = []
    for _ in range(5):
        optimizer.apply([-ops.ones((4,))], [variable])
        zeros.append(int(np.sum(ops.convert_to_numpy(variable) == 0)))
    assert zeros == [0, 2, 2, 2, 2]


def model_with(jit_compile=False):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, activation="tanh", name="hidden"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    ramp = schedules.Polynomial(0.0, 0.75, steps=8)
    inner = keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.5)
    optimizer = Proximal(inner, TopK(ramp, scope="all"), 2, "adaptive", latent=True)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return model


def kernels_after(model, epochs, **arguments):
    x = np.random.default_rng(0).standard_normal((64, 6)).astype("float32")
    model.fit(x, x[:, :2], batch_size=16, epochs=epochs, shuffle=False, verbose=0, **arguments)
    return [weight for weight in model.get_weights() if weight.ndim == 2]


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_saved_run_goes_on_bit_for_bit_and_a_refit_keeps_the_zeros(jit_compile, tmp_path):
    if jit_compile and BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly")
    model = model_with(jit_compile)
    kernels_after(model, 3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert "latent=True" in repr(again.optimizer)
    found = kernels_after(model, 2)
    for one, other in zip(found, kernels_after(again, 2), strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum(np.sum(kernel == 0) for kernel in found) == 48
    refit = kernels_after(model, 3, initial_epoch=2, callbacks=[Refit(at=2)])
    for before, after in zip(found, refit, strict=True):
        np.testing.assert_array_equal(before == 0, after == 0)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_train_as_one_device():
    import tensorflow as tf

    alone = kernels_after(model_with(), 3)
    devices = ["CPU:0", "CPU:1"]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        mirrored = kernels_after(model_with(), 3)
    for one, other in zip(alone, mirrored, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_what_is_no_choice_or_has_nothing_to_prune_is_refused():
    with pytest.raises(TypeError, match="`latent` to be True or False"):
        Proximal("sgd", TopK(0.5), latent=1)
    with pytest.raises(ValueError, match="a TopK or an NM for `latent=True`"):
        Proximal("sgd", {"a": L1(0.1)}, latent=True)
    assert Proximal("sgd", {"a": L1(0.1), "b": NM()}, latent=True).latent


def test_a_variable_on_one_device_has_no_layout():
    assert layout_of(keras.Variable([1.0])) is None
