"""Compiled programs as text: for a device that need not be there, and what is in them."""

import math
import re

import keras
import numpy as np

JAX = keras.backend.backend() == "jax"
# TensorFlow's CPU build has no compiler for the others ("No JIT device registered for CUDA").
PLATFORMS = ["cpu", "cuda", "tpu"] if JAX else ["cpu"]

# Instructions that move no data.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}


def lower(function, *arrays):
    """The program for all platforms, as text. Raises what the compiler raises."""
    if not JAX:
        return _tensorflow_program(function, arrays, "hlo")
    import jax

    return jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arrays).mlir_module()


def optimized(function, *arrays):
    """The program as it runs on this CPU."""
    if not JAX:
        return _tensorflow_program(function, arrays, "optimized_hlo")
    import jax

    return jax.jit(function).lower(*arrays).compile().as_text()


def passes(program, size):
    """The instructions of a program that read or write an array of at least `size` elements."""
    sizes, found = {}, []
    entry = program[program.index("\nENTRY") :]
    for line in entry.splitlines():
        match = re.match(r"\s+(?:ROOT )?%?([\w.-]+) = (.*?) ([\w-]+)\((.*)", line)
        if not match:
            continue
        name, shape, kind, arguments = match.groups()
        sizes[name] = max(map(_elements, re.findall(r"\[([\d,]*)\]", shape)), default=0)
        operands = re.findall(r"%([\w.-]+)", arguments.split("), ")[0])
        touched = [sizes[name], *(sizes.get(operand, 0) for operand in operands)]
        if kind not in _FREE and max(touched) >= size:
            found.append(line.strip())
    return found


def written(program, size):
    """The instructions of a program that write an array of at least `size` elements."""
    shapes = {
        line: re.findall(r"\[([\d,]*)\]", line.split("(")[0]) for line in passes(program, size)
    }
    return [line for line, found in shapes.items() if max(map(_elements, found), default=0) >= size]


def gradient(function, w):
    """The gradient of a scalar function, inside a compiled program."""
    if JAX:
        import jax

        return jax.grad(function)(w)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(w)
        value = function(w)
    return tape.gradient(value, w)


def update_step(optimizer, shape):
    """One update of a kernel by an optimizer: a function of arrays, and the arrays."""
    kernel = keras.Variable(np.ones(shape, "float32"), name="kernel")
    optimizer.build([kernel])
    if not JAX:
        return lambda g: optimizer.apply([g], [kernel]), np.ones(shape, "float32")
    state = [variable.value for variable in optimizer.variables]
    return (
        lambda w, state, g: optimizer.stateless_apply(state, [g], [w]),
        *(kernel.value, state, np.ones(shape, "float32")),
    )


def training_call(layer, shape):
    """One call of a layer in training: a function of arrays, and the arrays."""
    x = np.ones(shape, "float32")
    layer.build(shape)
    if not JAX:
        return lambda x: layer(x, training=True), x
    weights = [v.value for v in layer.trainable_variables]
    state = [v.value for v in layer.non_trainable_variables]
    return lambda w, state, x: layer.stateless_call(w, state, x, training=True), weights, state, x


def _elements(dimensions):
    return math.prod(int(length) for length in dimensions.split(",") if length)


def _tensorflow_program(function, arrays, stage):
    import tensorflow as tf

    traced = tf.function(lambda *a: function(*a), jit_compile=True, autograph=False)
    tensors = [tf.convert_to_tensor(array) for array in arrays]
    return traced.experimental_get_compiler_ir(*tensors)(stage=stage, platform_name="CPU")
