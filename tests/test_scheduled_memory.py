"""The mask is drawn again for the gradient: nothing of the size of the input is kept for it."""

import keras
import pytest
from keras import ops

from keras_reg import layers

BACKEND = keras.backend.backend()
SHAPE = (64, 16, 16, 8)
KINDS = [
    layers.ScheduledDropout,
    layers.ScheduledAlphaDropout,
    layers.ScheduledGaussianDropout,
    layers.ScheduledSpatialDropout2D,
    layers.ScheduledDropPath,
    layers.ScheduledDropBlock2D,
]


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
@pytest.mark.parametrize("kind", KINDS)
def test_no_mask_is_stored(kind):
    assert bytes_kept(kind(0.5)) < 100


@pytest.mark.skipif(BACKEND != "jax", reason="elsewhere Keras's own keeps one byte for an element")
def test_keras_stores_its_mask():
    assert bytes_kept(keras.layers.Dropout(0.5)) >= 64 * 16 * 16 * 8


@pytest.mark.filterwarnings("ignore:The `native_serialization`:DeprecationWarning")
@pytest.mark.skipif(BACKEND == "torch", reason="its exporters are not installed with it")
def test_an_exported_model_computes_nothing_of_them(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    dropped = [kind(0.5) for kind in KINDS]
    convolution = layers.ScheduledDropConnect(keras.layers.Conv2D(2, 3), 0.5)
    model = keras.Sequential([keras.Input(SHAPE[1:]), *dropped, convolution])
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    loaded = tensorflow.saved_model.load(tmp_path / "model")
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    found = {node.op for node in nodes}
    assert "Conv2D" in found or "XlaCallModule" in found
    unwanted = {"RightShift", "BitwiseXor", "BitwiseAnd", "Erfinv", "AssignAddVariableOp", "Where"}
    assert not found & unwanted
    x = ops.ones(SHAPE)
    ours, theirs = ops.convert_to_numpy(model(x)), loaded.serve(tensorflow.ones(SHAPE)).numpy()
    assert abs(ours - theirs).max() < 1e-5


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the LiteRT exporter is TensorFlow's")
@pytest.mark.filterwarnings("ignore")
def test_a_litert_model_has_nothing_of_them(tmp_path):
    import tensorflow as tf

    model = keras.Sequential(
        [keras.Input((8,)), layers.ScheduledDropout(0.5), keras.layers.Dense(2)]
    )
    path = tmp_path / "model.tflite"
    model.export(path, format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(str(path))
    names = " ".join(detail["name"] for detail in interpreter.get_tensor_details())
    assert "step" not in names
    assert "seed" not in names
