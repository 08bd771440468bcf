"""An exported model holds nothing of the dropout layers: SavedModel, LiteRT and ONNX."""

import keras
import pytest
from dropout_kinds import IMAGE_KINDS
from keras import ops

from keras_reg import layers

BACKEND = keras.backend.backend()
SHAPE = (64, 16, 16, 8)


def model_of(dropped):
    """A model that has been called, with layers before a convolution whose kernel loses weights."""
    convolution = keras.layers.Conv2D(2, 3)
    if dropped:
        convolution = layers.ScheduledDropConnect(convolution, 0.5)
    parts = [*(kind(0.5) for kind in dropped), convolution]
    model = keras.Sequential([keras.Input(SHAPE[1:]), *parts])
    model(ops.ones(SHAPE))
    return model


@pytest.mark.filterwarnings("ignore:The `native_serialization`:DeprecationWarning")
@pytest.mark.skipif(BACKEND == "torch", reason="it exports no SavedModel")
def test_a_saved_model_computes_nothing_of_them(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    model = model_of(IMAGE_KINDS)
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    loaded = tensorflow.saved_model.load(tmp_path / "model")
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    found = {node.op for node in nodes}
    assert "Conv2D" in found or "XlaCallModule" in found
    unwanted = {"RightShift", "BitwiseXor", "BitwiseAnd", "Erfinv", "Where"}
    if BACKEND == "tensorflow":  # On JAX Keras's exporter assigns all variables anew.
        unwanted.add("AssignVariableOp")
    assert not found & unwanted
    x = ops.ones(SHAPE)
    ours, theirs = ops.convert_to_numpy(model(x)), loaded.serve(tensorflow.ones(SHAPE)).numpy()
    assert abs(ours - theirs).max() < 1e-5


@pytest.mark.skipif(BACKEND != "tensorflow", reason="elsewhere an archive stores all variables")
def test_an_archive_stores_nothing_of_them(tmp_path):
    import tensorflow as tf

    model = model_of(IMAGE_KINDS)
    archive = keras.export.ExportArchive()
    signature = [keras.InputSpec(shape=SHAPE, dtype="float32")]
    archive.add_endpoint("serve", model.call, input_signature=signature, training=False)
    archive.write_out(tmp_path / "model", verbose=False)
    stored = tf.train.list_variables(str(tmp_path / "model" / "variables" / "variables"))
    assert sorted(tuple(shape) for _, shape in stored if shape) == [(2,), (3, 3, 8, 2)]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the LiteRT exporter is TensorFlow's")
@pytest.mark.filterwarnings("ignore")
def test_a_litert_model_is_that_without_them(tmp_path):
    import tensorflow as tf

    shapes = []
    for kinds in (IMAGE_KINDS, []):
        path = tmp_path / f"{len(kinds)}.tflite"
        model_of(kinds).export(path, format="litert", verbose=False)
        details = tf.lite.Interpreter(str(path)).get_tensor_details()
        shapes.append([tuple(detail["shape"]) for detail in details])
    assert shapes[0] == shapes[1]


@pytest.mark.filterwarnings("ignore")
def test_an_onnx_model_is_that_without_them(tmp_path):
    onnx = pytest.importorskip("onnx")
    if BACKEND == "jax":  # Thirty packages, which the tests do not ask for.
        pytest.importorskip("jax2onnx")
    found = []
    for kinds in (IMAGE_KINDS, []):
        path = tmp_path / f"{len(kinds)}.onnx"
        model_of(kinds).export(path, format="onnx", verbose=False)
        graph = onnx.load(path).graph
        shapes = sorted(tuple(stored.dims) for stored in graph.initializer)
        found.append(([node.op_type for node in graph.node], shapes))
    assert "Conv" in found[0][0]
    assert found[0] == found[1]


@pytest.mark.skipif(BACKEND != "torch", reason="the exporter is PyTorch's")
@pytest.mark.skipif(keras.__version__ < "3.15", reason="it does not export to PyTorch")
@pytest.mark.filterwarnings("ignore")
def test_a_torch_program_computes_nothing_of_them(tmp_path):
    import torch

    model = model_of(IMAGE_KINDS)
    model.export(tmp_path / "model.pt2", format="torch", verbose=False)
    program = torch.export.load(tmp_path / "model.pt2")
    called = " ".join(str(node.target) for node in program.graph.nodes)
    assert "conv" in called
    assert not [name for name in ("shift", "xor", "where", "erfinv", "mul") if name in called]
    x = ops.ones((1, *SHAPE[1:]))
    with torch.no_grad():
        theirs = program.module()(x)
    assert abs(ops.convert_to_numpy(model(x)) - ops.convert_to_numpy(theirs)).max() < 1e-5
