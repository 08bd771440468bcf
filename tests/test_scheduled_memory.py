"""The mask is drawn again for the gradient: nothing of the size of the input is kept for it."""

import keras
import pytest
from dropout_kinds import IMAGE_KINDS
from keras import ops

BACKEND = keras.backend.backend()
SHAPE = (64, 16, 16, 8)


def bytes_kept(layer):
    """What the backward pass of a layer keeps, in bytes."""
    x = ops.ones(SHAPE)
    if BACKEND == "jax":
        import jax

        state = [variable.value for variable in layer.non_trainable_variables]

        def call(x):
            return layer.stateless_call([], state, x, training=True)[0]

        _, backward = jax.vjp(call, x)
        return sum(leaf.nbytes for leaf in jax.tree.leaves(backward) if hasattr(leaf, "nbytes"))
    import torch

    sizes = []

    def keep(tensor):
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x.requires_grad_(True), training=True)
    return sum(sizes)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="its tape does not tell what it keeps")
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_no_mask_is_stored(kind):
    assert bytes_kept(kind(0.5)) < 100


@pytest.mark.skipif(BACKEND != "jax", reason="elsewhere Keras's own keeps one byte for an element")
def test_keras_stores_its_mask():
    assert bytes_kept(keras.layers.Dropout(0.5)) >= 64 * 16 * 16 * 8
