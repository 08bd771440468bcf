"""Exported files, run by the runtimes they are made for, whatever the backend of Keras is."""

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

Arrays = list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Program:
    """An exported file that is ready to run.

    Args:
        run: from input arrays, in the model's order, to output arrays.
        operations: tuple of str. The kind of each operation, without constants, inputs and outputs.
        threads: int or None. The threads it runs on; None where the runtime decides.
        memory: int or None. Bytes of the tensors alive at once at the worst operation, for one
            example and without weights; None where the file does not tell.
    """

    run: Callable[[Arrays], Arrays]
    operations: tuple[str, ...]
    threads: int | None
    memory: int | None = None


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that Keras exports.

    Args:
        suffix: str. What the path has to end with.
        packages: tuple of str. The first that is installed runs the file.
        exporters: dict from a backend on which Keras exports it to the packages this takes.
        open: from a path, the input names and a number of threads to a `Program`.
    """

    suffix: str
    packages: tuple[str, ...]
    exporters: dict[str, tuple[str, ...]]
    open: Callable[[Path, list[str], int], Program]

    @property
    def package(self) -> str:
        """The first installed package that runs the format.

        Raises: ImportError if none is installed.
        """
        for name in self.packages:
            if _is_installed(name):
                return name
        raise ImportError(
            f"Expected {' or '.join(self.packages)} to be installed, which runs the exported file: "
            f"pip install {self.packages[0].replace('_', '-')}"
        )

    def missing(self, backend: str) -> list[str]:
        """The packages that an export on `backend` takes and that are not installed."""
        return [name for name in self.exporters[backend] if not _is_installed(name)]


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _open_saved_model(path: Path, names: list[str], threads: int) -> Program:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    function = loaded.signatures["serving_default"]
    named = function.structured_input_signature[1]

    def run(arrays: Arrays) -> Arrays:
        given = dict(zip(_ordered(list(named), names), arrays, strict=True))
        outputs = function(**{name: tf.constant(array) for name, array in given.items()})
        return [outputs[name].numpy() for name in _by_number(outputs)]

    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    plumbing = {"Const", "Identity", "NoOp", "Placeholder", "PartitionedCall", "ReadVariableOp"}
    plumbing.add("StatefulPartitionedCall")
    # The loaded object owns the variables of the function.
    run.owner = loaded  # type: ignore[attr-defined]
    return Program(run, tuple(node.op for node in nodes if node.op not in plumbing), None)


def _open_onnx(path: Path, names: list[str], threads: int) -> Program:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        # What remains once the runtime has simplified the graph.
        options.optimized_model_filepath = str(Path(folder, "simplified.onnx"))
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath).graph
    inputs = _ordered([one.name for one in session.get_inputs()], names)
    operations = tuple(node.op_type for node in graph.node if node.op_type != "Constant")
    return Program(
        lambda arrays: session.run(None, dict(zip(inputs, arrays, strict=True))),
        operations,
        threads,
    )


def _open_litert(path: Path, names: list[str], threads: int) -> Program:
    package = FORMATS["litert"].package
    if package == "tensorflow":
        import tensorflow as tf

        interpreter_class = tf.lite.Interpreter
    else:
        interpreter_class = importlib.import_module(f"{package}.interpreter").Interpreter
    interpreter = interpreter_class(str(path), num_threads=threads)
    (signature,) = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(signature)
    inputs = _ordered(list(runner.get_input_details()), names)

    def run(arrays: Arrays) -> Arrays:
        outputs = runner(**dict(zip(inputs, arrays, strict=True)))
        return [outputs[name] for name in _by_number(outputs)]

    operations = interpreter._get_ops_details()
    own = [operation for operation in operations if operation["op_name"] != "DELEGATE"]
    memory = _most_alive(interpreter, own)
    return Program(run, tuple(operation["op_name"] for operation in own), threads, memory)


def _most_alive(interpreter: Any, operations: list[dict[str, Any]]) -> int:
    """Bytes of the tensors alive at once where they are most, as a planner of memory sees them.

    A tensor lives from the operation that makes it to the last that reads it; inputs from the
    start, outputs to the end.
    """
    first = {one["index"]: 0 for one in interpreter.get_input_details()}
    last: dict[int, int] = {}
    for place, operation in enumerate(operations):
        first |= {int(made): place for made in operation["outputs"]}
        last |= {int(read): place for read in (*operation["inputs"], *operation["outputs"])}
    last |= {one["index"]: len(operations) for one in interpreter.get_output_details()}
    details = {index: interpreter._get_tensor_details(index, 0) for index in first}
    size = {
        index: int(np.prod(one["shape"])) * np.dtype(one["dtype"]).itemsize
        for index, one in details.items()
    }
    return max(
        sum(size[index] for index in first if first[index] <= place <= last.get(index, 0))
        for place in range(max(1, len(operations)))
    )


def _open_openvino(path: Path, names: list[str], threads: int) -> Program:
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    # On some processors it would take bfloat16 by itself.
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", settings)
    inputs = _ordered([one.any_name for one in compiled.inputs], names)

    def run(arrays: Arrays) -> Arrays:
        return [*compiled(dict(zip(inputs, arrays, strict=True))).values()]

    kinds = [operation.get_type_name() for operation in model.get_ops()]
    plumbing = {"Constant", "Parameter", "Result"}
    return Program(run, tuple(kind for kind in kinds if kind not in plumbing), threads)


def _open_torch(path: Path, names: list[str], threads: int) -> Program:
    import torch

    program = torch.export.load(str(path))
    module = program.module()

    def run(arrays: Arrays) -> Arrays:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with torch.no_grad():
                # The program of a model of several inputs takes them as one list.
                tensors = [torch.from_numpy(array) for array in arrays]
                outputs = module(*tensors) if len(tensors) == 1 else module(tensors)
        finally:
            torch.set_num_threads(before)
        return [output.numpy() for output in keras.tree.flatten(outputs)]

    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    return Program(run, tuple(str(node.target) for node in calls), threads)


def _ordered(found: list[str], names: list[str]) -> list[str]:
    """The names of a file's inputs, in the order of those of the model.

    Formats change names ("in:0", "serving_default_in"). Where none can be told, the file's order.
    """
    ordered = []
    for name in names:
        alike = [one for one in found if one == name] or [one for one in found if name in one]
        if len(alike) != 1 or alike[0] in ordered:
            return found
        ordered += alike
    return ordered


def _by_number(outputs: dict[str, Any]) -> list[str]:
    """The names "output_0", "output_1", ... in the order of their numbers."""
    return sorted(outputs, key=lambda name: (len(name), name))


FORMATS = {
    "tf_saved_model": Format(
        "", ("tensorflow",), {"tensorflow": (), "jax": ("tensorflow",)}, _open_saved_model
    ),
    "onnx": Format(
        ".onnx",
        ("onnxruntime",),
        {"tensorflow": ("tf2onnx",), "jax": ("jax2onnx",), "torch": ("onnxscript",)},
        _open_onnx,
    ),
    "litert": Format(
        ".tflite",
        ("ai_edge_litert", "tensorflow"),
        {"tensorflow": (), "torch": ("litert_torch",)},
        _open_litert,
    ),
    # OpenVINO cannot read what Keras's exporter makes of a model on JAX.
    "openvino": Format(
        ".xml",
        ("openvino",),
        {"tensorflow": ("openvino",), "torch": ("openvino",)},
        _open_openvino,
    ),
    "torch": Format(".pt2", ("torch",), {"torch": ()}, _open_torch),
}
