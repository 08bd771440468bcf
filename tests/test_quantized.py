"""Weights quantized to int8 after training: what was exactly zero stays exactly zero."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_reg as kr

# Keras says so of every layer that it leaves as it is.
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a .quantize:UserWarning")


def numpy(value):
    return keras.ops.convert_to_numpy(value)


def dense():
    stack = [layers.Dense(6, name="hidden"), layers.Dense(2, name="out")]
    return keras.Sequential([keras.Input((8,)), *stack])


def embedding():
    return keras.Sequential([keras.Input((5,)), layers.Embedding(7, 4), layers.Dense(3)])


def attention():
    x = keras.Input((5, 4))
    return keras.Model(x, layers.MultiHeadAttention(2, 3)(x, x))


def bert():
    import hub_models

    return hub_models.MODELS["BERT"]()


MODELS = {
    "Dense": dense,
    "Embedding": embedding,
    "attention": attention,
    "BERT": bert,
}


def fitted(model):
    """A model after one proximal step that makes zeros, in weights of every layer."""
    optimizer = kr.optimizers.Proximal(keras.optimizers.SGD(1.0), kr.regularizers.L1(0.5))
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    grads = [rng.standard_normal(v.shape).astype("float32") for v in model.trainable_variables]
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], model.trainable_variables)
    return model


large = pytest.param("BERT", marks=pytest.mark.once)


@pytest.mark.parametrize("name", ["Dense", "Embedding", "attention", large])
def test_exact_zeros_stay_exact(name):
    model = fitted(MODELS[name]())
    before = {row.path: row.zeros for row in kr.sparsity(model)}
    zeros = {weight.path: numpy(weight) == 0 for weight in model.weights}
    model.quantize("int8")
    int8 = [w for w in model.weights if keras.backend.standardize_dtype(w.dtype) == "int8"]
    assert len(int8) >= 2
    for weight in int8:
        assert np.all(numpy(weight)[zeros[weight.path]] == 0), weight.path
    assert all(np.all(np.isfinite(numpy(w).astype("float32"))) for w in model.weights)
    after = {row.path: row.zeros for row in kr.sparsity(model)}
    rows = [weight.path for weight in int8 if weight.path in before]
    assert rows
    assert all(after[path] >= before[path] for path in rows)


def test_a_unit_that_is_all_zero_stays_so_in_the_outputs():
    model = dense()
    kernel = numpy(model.layers[0].kernel).copy()
    kernel[:, 2] = 0
    model.layers[0].kernel.assign(kernel)
    model.quantize("int8")
    hidden = model.layers[0](np.random.default_rng(0).standard_normal((3, 8)).astype("float32"))
    assert np.all(numpy(hidden)[:, 2] == 0)
    assert np.all(numpy(hidden)[:, 3] != 0)


def test_a_convolution_stays_as_it_is():
    """Keras quantizes no convolutions."""
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3), layers.Flatten()])
    fitted(model)
    before = model.get_weights()
    with pytest.raises(NotImplementedError):
        model.layers[0].quantize("int8")
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
