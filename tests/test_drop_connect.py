"""ScheduledDropConnect: the wrapped layer sees other weights, its variable never changes."""

import keras
import numpy as np
import pytest
from custom_loops import LOOPS
from gradients import value_and_gradient
from keras import ops

from keras_reg import layers, regularizers, schedules
from keras_reg.layers import ScheduledDropConnect

JIT = [False] if keras.backend.backend() == "torch" else [False, True]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def wrapped(layer, rate=0.5, shape=(6,), **kwargs):
    model = keras.Sequential([keras.Input(shape), ScheduledDropConnect(layer, rate, 1, **kwargs)])
    return model, model.layers[0]


def test_outputs_are_those_of_a_masked_kernel():
    model, _ = wrapped(keras.layers.Dense(5, bias_initializer="ones"))
    kernel = numpy(model.layers[0].layer.kernel)
    outputs = numpy(model(np.eye(6, dtype="float32"), training=True)) - 1
    dropped = np.isclose(outputs, 0, atol=1e-6)
    np.testing.assert_allclose(outputs[~dropped], 2 * kernel[~dropped], rtol=1e-4, atol=1e-6)
    assert 5 < dropped.sum() < 25
    np.testing.assert_array_equal(numpy(model.layers[0].layer.kernel), kernel)


def test_inference_uses_the_whole_kernel():
    dense = keras.layers.Dense(5)
    model, layer = wrapped(dense)
    x = normal(4, 6)
    np.testing.assert_array_equal(numpy(model(x)), numpy(dense(x)))
    assert layer.step == 0


@pytest.mark.parametrize("jit_compile", JIT)
def test_one_step_of_sgd_moves_the_kept_weights_alone(jit_compile):
    # The gradient of the sum of the outputs along a kept weight is twice the sum of its input.
    dense = keras.layers.Dense(5, use_bias=False)
    model, layer = wrapped(dense)
    model.compile(
        keras.optimizers.SGD(0.1), lambda y, p: ops.sum(p, axis=-1), jit_compile=jit_compile
    )
    before, x = numpy(dense.kernel), np.abs(normal(8, 6))
    twin = ScheduledDropConnect(
        keras.layers.Dense(5, use_bias=False, kernel_initializer="ones"), 0.5, 1
    )
    kept = numpy(twin(np.eye(6, dtype="float32"), training=True)) > 0
    model.fit(x, np.zeros((8, 5)), batch_size=8, verbose=0)
    step = 0.1 * 2 * np.broadcast_to(x.mean(axis=0)[:, None], (6, 5)) * kept
    np.testing.assert_allclose(numpy(dense.kernel), before - step, rtol=1e-4, atol=1e-6)
    assert layer.step == 1


def test_the_gradient_reaches_inputs_and_other_weights():
    model, layer = wrapped(keras.layers.Dense(5))
    x = normal(4, 6)
    layer.step = 3
    kept = numpy(model(np.eye(6, dtype="float32"), training=True))

    def loss(x):
        layer.step = 3
        return ops.sum(model(x, training=True))

    if keras.backend.backend() == "jax":

        def loss(x):
            layers = (model.trainable_variables, model.non_trainable_variables)
            state = [[v.value for v in variables] for variables in layers]
            return ops.sum(model.stateless_call(*state, x, training=True)[0])

    layer.step = 3
    _, gradient = value_and_gradient(loss, x)
    np.testing.assert_allclose(gradient, np.tile(kept.sum(axis=1), (4, 1)), rtol=1e-4, atol=1e-5)


CASES = {
    "Dense": (lambda: keras.layers.Dense(5, activation="relu"), (6,)),
    "Conv2D": (lambda: keras.layers.Conv2D(5, 3), (8, 8, 3)),
    "Conv1D": (lambda: keras.layers.Conv1D(5, 3), (8, 3)),
    "EinsumDense": (lambda: keras.layers.EinsumDense("abc,cd->abd", (None, 4)), (3, 6)),
    "Embedding": (lambda: keras.layers.Embedding(9, 4), (3,)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("jit_compile", JIT)
def test_layers_of_many_kinds_train_and_keep_their_kernel(case, jit_compile):
    make, shape = CASES[case]
    inner = make()
    ints = case == "Embedding"
    inputs = keras.Input(shape, dtype="int32" if ints else "float32")
    outputs = ScheduledDropConnect(inner, schedules.Linear(0.1, 0.9, steps=4), 1)(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()(outputs))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=jit_compile)
    x = np.random.default_rng(0).integers(0, 9, (10, *shape)) if ints else normal(10, *shape)
    before = [numpy(weight) for weight in inner.weights]
    fit = model.fit(x, numpy(model(x)), batch_size=4, epochs=2, verbose=0)
    for old, weight in zip(before, inner.weights, strict=True):
        np.testing.assert_array_equal(numpy(weight), old)
    assert model.layers[1].step == 6
    assert fit.history["loss"][1] > fit.history["loss"][0] > 0


def test_losses_of_the_wrapped_layer_count_once():
    make = {
        "kernel_regularizer": regularizers.L2(0.1),
        "activity_regularizer": keras.regularizers.L2(0.1),
        "kernel_initializer": "ones",
    }
    for rate, factor in ((0.0, 1), (0.5, 2)):
        model, layer = wrapped(keras.layers.Dense(1, **make), rate, shape=(1,))
        model.compile("sgd", lambda y, p: 0.0 * ops.sum(p))
        layer.step = next_kept(factor)
        loss = model.train_on_batch(np.ones((1, 1)), np.ones((1, 1)))
        # The kernel's own, of the whole weight, and that of the output, which is twice as large.
        assert abs(loss - (0.1 + 0.1 * factor**2)) < 1e-5


def next_kept(factor):
    """The first step whose mask keeps a single weight."""
    if factor == 1:
        return 0
    layer = ScheduledDropConnect(keras.layers.Dense(1, kernel_initializer="ones"), 0.5, 1)
    return next(step for step in range(50) if numpy(layer(np.ones((1, 1)), training=True)).item())


def test_state_of_the_wrapped_layer_is_updated():
    class Counting(keras.layers.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.calls = self.add_weight(shape=(), trainable=False, initializer="zeros", name="n")

        def call(self, inputs, training=False):
            self.calls.assign_add(1.0 if training else 0.0)
            return super().call(inputs)

    dense = Counting(2)
    model, _ = wrapped(dense)
    model.compile("sgd", "mse")
    model.fit(normal(6, 6), normal(6, 2), batch_size=2, verbose=0)
    assert float(numpy(dense.calls)) == 3


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_the_variables_in_float32(policy):
    dense = keras.layers.Dense(5, dtype=policy)
    model, layer = wrapped(dense)
    assert layer.dtype_policy.name == policy
    model.compile("sgd", "mse")
    model.fit(normal(8, 6), normal(8, 5), verbose=0)
    assert {weight.dtype for weight in dense.weights} == {"float32"}
    y = model(normal(8, 6), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")


def test_custom_loops_train():
    dense = keras.layers.Dense(1)
    model, _ = wrapped(dense)
    model.compile(keras.optimizers.SGD(0.1))
    before = numpy(dense.kernel)
    LOOPS[keras.backend.backend()](model, [(normal(4, 6), normal(4, 1))] * 2)
    assert np.any(numpy(dense.kernel) != before)
    assert np.all(np.isfinite(numpy(dense.kernel)))


def test_saved_and_configured(tmp_path):
    model, layer = wrapped(keras.layers.Dense(5), schedules.Linear(0.2, 0.8, steps=5))
    x = normal(4, 6)
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.layers[0].rate.get_config() == layer.rate.get_config()
    assert (again.layers[0].seed, again.layers[0].layer.units) == (1, 5)
    for _ in range(2):
        np.testing.assert_array_equal(
            numpy(again(x, training=True)), numpy(model(x, training=True))
        )


def test_what_has_no_kernel_is_refused():
    with pytest.raises(ValueError, match="to have a `kernel` or `embeddings`"):
        ScheduledDropConnect(keras.layers.ReLU(), 0.5)(np.ones((2, 3)))
    with pytest.raises(ValueError, match="Expected `layer` to be a Keras layer"):
        ScheduledDropConnect("dense", 0.5)
    assert issubclass(ScheduledDropConnect, layers.Scheduled)


ATTENTION = {
    "MultiHeadAttention": lambda **kwargs: keras.layers.MultiHeadAttention(2, 4, **kwargs),
    "GroupQueryAttention": lambda **kwargs: keras.layers.GroupQueryAttention(4, 4, 2, **kwargs),
}


@pytest.mark.parametrize("kind", ATTENTION)
@pytest.mark.parametrize("jit_compile", JIT)
def test_attention_trains_with_a_mask_for_each_of_its_kernels(kind, jit_compile):
    inner = ATTENTION[kind](dropout=0.1, seed=1)
    query, value = keras.Input((5, 8)), keras.Input((7, 6 if kind.startswith("Multi") else 8))
    outputs = ScheduledDropConnect(inner, 0.5, 1)(query, value, key=value)
    assert outputs.shape == (None, 5, 8)
    model = keras.Model([query, value], outputs)
    kernels = [one.kernel for one in inner._flatten_layers(False) if hasattr(one, "kernel")]
    assert len(kernels) == 4
    before = [numpy(kernel) for kernel in kernels]
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    x = [normal(4, *tensor.shape[1:], seed=1) for tensor in (query, value)]
    assert np.any(numpy(model(x)) != numpy(model(x, training=True)))
    model.fit(x, normal(4, 5, 8), batch_size=4, verbose=0)
    masks = []
    for old, kernel in zip(before, kernels, strict=True):
        # A dropped weight has no gradient.
        kept = numpy(kernel) != old
        assert 0.2 < kept.mean() < 0.8
        masks.append(kept.ravel()[:32])
    assert len({mask.tobytes() for mask in masks}) == 4


def test_attention_without_a_rate_is_attention(tmp_path):
    inner = keras.layers.MultiHeadAttention(2, 4)
    layer = ScheduledDropConnect(inner, 0.0, 1)
    x, y = normal(3, 5, 8), normal(3, 7, 8, seed=1)
    mask = np.random.default_rng(0).random((3, 5, 7)) < 0.7
    mask[:, :, 0] = True
    for training in (False, True):
        called = {"attention_mask": mask, "return_attention_scores": True}
        outputs, scores = layer(x, y, training=training, **called)
        wanted, wanted_scores = inner(x, y, **called)
        np.testing.assert_allclose(numpy(outputs), numpy(wanted), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(numpy(scores), numpy(wanted_scores), rtol=1e-5, atol=1e-6)
        causal = layer(x, x, use_causal_mask=True, training=training)
        np.testing.assert_allclose(
            numpy(causal), numpy(inner(x, x, use_causal_mask=True)), rtol=1e-5, atol=1e-6
        )
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, layer(inputs, inputs))
    model.save(tmp_path / "attention.keras")
    again = keras.saving.load_model(tmp_path / "attention.keras")
    np.testing.assert_array_equal(numpy(again(x)), numpy(model(x)))
