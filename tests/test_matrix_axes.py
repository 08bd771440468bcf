"""Penalties of matrices, and groups of experts, on layers whose axes are not (inputs, outputs)."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reg import regularize
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import GroupLasso, NuclearNorm, Orthogonal, SpectralNorm

# The axes of each kernel that index its outputs.
OUTPUTS = {
    "apart/kernel": (2, 3),
    "up/kernel": (2,),
    "heads/query/kernel": (1, 2),
    "heads/key/kernel": (1, 2),
    "heads/value/kernel": (1, 2),
    "heads/attention_output/kernel": (2,),
}
KINDS = [NuclearNorm(0.3), SpectralNorm(0.3, exact=True), Orthogonal(0.3, exact=True)]


def of_all_kinds():
    x = inputs = keras.Input((4, 4, 2))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="apart")(x)
    x = layers.Conv2DTranspose(6, 3, name="up")(x)
    x = layers.Reshape((-1, 6))(x)
    return keras.Model(inputs, layers.MultiHeadAttention(2, 3, name="heads")(x, x))


def numpy(tensor):
    return ops.convert_to_numpy(ops.stop_gradient(tensor))


def by_outputs(w, outputs):
    """A kernel as a matrix with a column for each output, and how to turn one back."""
    last = range(w.ndim - len(outputs), w.ndim)
    moved = np.moveaxis(w, outputs, last)
    matrix = moved.reshape(-1, int(np.prod([w.shape[axis] for axis in outputs])))
    return matrix, lambda m: np.moveaxis(m.reshape(moved.shape), last, outputs)


def omega(penalty, matrix):
    s = np.linalg.svd(matrix.astype("float64"), compute_uv=False)
    if isinstance(penalty, Orthogonal):
        gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        return np.sum((gram - np.eye(len(gram))) ** 2)
    return s.sum() if isinstance(penalty, NuclearNorm) else s.max()


def losses_of(model):
    return sorted(float(numpy(loss)) for loss in model.losses)


# The config of attention has one regularizer for kernels whose axes differ.
@pytest.mark.filterwarnings("ignore:The penalties of 4 of 6 weights")
@pytest.mark.parametrize("penalty", KINDS, ids=repr)
def test_the_matrix_is_inputs_by_outputs(penalty):
    model = of_all_kinds()
    assert {row.path for row in regularize(model, penalty)} == set(OUTPUTS)
    matrices = [
        by_outputs(numpy(v), OUTPUTS[v.path])[0]
        for v in model.trainable_variables
        if v.path in OUTPUTS
    ]
    expected = [0.3 * omega(penalty, matrix) for matrix in matrices]
    np.testing.assert_allclose(losses_of(model), sorted(expected), rtol=1e-4)


def test_the_axes_are_in_the_config_of_a_layer():
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2DTranspose(6, 3)])
    regularize(model, NuclearNorm(0.3))
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    assert losses_of(again) == pytest.approx(losses_of(model), rel=1e-5)


def test_a_step_lowers_the_singular_values_of_that_matrix():
    model = of_all_kinds()
    variables = model.trainable_variables
    before = {v.path: numpy(v) for v in variables}
    optimizer = Proximal(keras.optimizers.SGD(0.5), NuclearNorm(0.4), model=model)
    optimizer.apply([ops.zeros(v.shape) for v in variables], variables)
    for variable in variables:
        if variable.path in OUTPUTS:
            matrix, back = by_outputs(before[variable.path], OUTPUTS[variable.path])
            u, s, vt = np.linalg.svd(matrix, full_matrices=False)
            lowered = back((u * np.maximum(s - 0.2, 0)) @ vt)
            np.testing.assert_allclose(numpy(variable), lowered, atol=1e-5)


@pytest.mark.parametrize("penalty", KINDS, ids=repr)
def test_axes_that_a_path_leaves_open_are_refused(penalty):
    kernel = next(v for v in of_all_kinds().trainable_variables if "query/kernel" in v.path)
    with pytest.raises(ValueError, match=r"(?s)inputs and outputs are known.*heads/query/kernel"):
        penalty.value(kernel)


def test_axes_by_number_and_axes_that_do_not_suit():
    w = np.random.default_rng(0).standard_normal((4, 2, 3)).astype("float32")
    value = float(numpy(NuclearNorm(1.0, axis=(1, 2)).value(w)))
    assert value == pytest.approx(np.linalg.svd(w.reshape(4, 6), compute_uv=False).sum(), rel=1e-5)
    for axis in (None, "inputs", "filters"):
        with pytest.raises(ValueError, match="`axis`"):
            NuclearNorm(1.0, axis=axis)
    with pytest.raises(ValueError, match="for the rows"):
        NuclearNorm(1.0, axis=(0, 1, 2)).value(w)
    with pytest.raises(ValueError, match="distinct axes"):
        NuclearNorm(1.0, axis=3).value(w)


class Experts(layers.Layer):
    """As in KerasHub: the kernels of all experts in one variable."""

    def __init__(self, num_experts, **kwargs):
        super().__init__(**kwargs)
        self.num_experts = num_experts

    def build(self, shape):
        self.up = self.add_weight(shape=(self.num_experts, shape[-1], 5), name="up_proj")

    def call(self, x):
        return ops.einsum("bi,eio->beo", x, self.up)


def test_every_expert_has_groups_of_its_own():
    model = keras.Sequential([keras.Input((4,)), Experts(3, name="experts")])
    variable = model.layers[0].up
    before = numpy(variable)
    strength = np.median(np.linalg.norm(before, axis=1)) / np.sqrt(4)
    optimizer = Proximal(keras.optimizers.SGD(1.0), GroupLasso(strength), model=model)
    optimizer.apply([ops.zeros(variable.shape)], [variable])
    norms = np.linalg.norm(before, axis=1, keepdims=True)
    expected = before * np.maximum(0, 1 - strength * np.sqrt(4) / norms)
    np.testing.assert_allclose(numpy(variable), expected, atol=1e-6)
    assert 0 < np.sum(~expected.any(axis=1)) < 15
