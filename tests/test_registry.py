"""What is registered for a class of layers, and what the report makes of it."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reg.report import sparsity
from keras_reg.structure import Layout, layout_of, register
from keras_reg.structure.registry import rule_of, uses_of


class Mixing(layers.Layer):
    """A kernel of (outputs, inputs), which is applied to each position of a sequence."""

    def build(self, shape):
        self.mixing = self.add_weight(shape=(5, shape[-1]), name="mixing")

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.mixing))


class Sub(Mixing):
    """What is known of Mixing holds for it too."""


def outputs_first(layer, name, shape):
    return Layout(shape, inputs=(1,), outputs=(0,)) if name == "mixing" else None


def test_a_layer_of_ones_own_has_the_figures_that_its_rules_say():
    register(Mixing, layout=outputs_first, uses=lambda layer, shapes: shapes[0][1])
    for kind in (Mixing, Sub):
        model = keras.Sequential([keras.Input((7, 4)), kind()])
        kernel = np.ones((5, 4))
        kernel[:2] = 0
        kernel[:, 3] = 0
        model.layers[0].mixing.assign(kernel)
        table = sparsity(model)
        [row] = table.rows
        assert (row.inputs, row.outputs, row.zero_inputs, row.zero_outputs) == (4, 5, 1, 2)
        assert (table.macs, table.layers[0].macs_left) == (7 * 5 * 4, 7 * 3 * 3)


def test_a_class_inherits_each_rule_that_it_does_not_have():
    class Doubled(layers.Conv1DTranspose):
        """A transposed convolution that is applied twice."""

    register(Doubled, uses=lambda layer, shapes: 2 * shapes[0][1])
    layer, shapes = Doubled(3, 2), [(None, 6, 4)]
    assert uses_of(layer, shapes) == {layer: 12}
    assert layout_of(layer, "kernel", (2, 3, 4)).inputs == (2,)
    assert uses_of(layers.Conv1DTranspose(3, 2), shapes).popitem()[1] == 6
    register(Doubled, regularizers={"kernel": "kernel_regularizer"})
    assert uses_of(layer, shapes) == {layer: 12}
    assert rule_of(layer, "regularizers") == {"kernel": "kernel_regularizer"}


def test_inner_layers_are_named_by_themselves():
    inner = layers.Dense(3)
    distributed = layers.TimeDistributed(layers.TimeDistributed(inner))
    assert uses_of(distributed, [(None, 5, 2, 4)]) == {inner: 10}
    assert uses_of(layers.TimeDistributed(inner), [(None, None, 4)]) == {inner: None}
    assert uses_of(layers.ReLU(), [(None, 4)]) == {}


@pytest.mark.parametrize("kind", [layers.Dense(2), int, "Dense", None])
def test_only_classes_of_layers_are_registered(kind):
    with pytest.raises(TypeError, match=r"subclass of keras\.layers\.Layer"):
        register(kind, uses=lambda layer, shapes: 1)
