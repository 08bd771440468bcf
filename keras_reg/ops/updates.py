"""What a training step does to variables. This file and backend.py alone name a backend."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras

from keras_reg.ops.backend import in_replica, read, xla_enabled

_in_program: ContextVar[bool] = ContextVar("in_program", default=False)


@contextlib.contextmanager
def outside_of_graph(variables: Sequence[Any]) -> Iterator[None]:
    """A context in which TensorFlow makes variables outside of the function that it traces.

    A `tf.function` that makes variables itself is traced a second time, without those. In a
    `tf.distribute` strategy, which has its own ways of making them, the context does nothing, and
    where the function made some of `variables` too, which have no value until it is traced.

    Args:
        variables: variables that may be read within.

    Example:
        >>> with outside_of_graph([]):
        ...     tuple(keras.Variable([1.0, 2.0]).shape)
        (2,)
    """
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            is_plain = not tf.executing_eagerly() and not tf.distribute.has_strategy()
            create = _eager_creator() if is_plain else None
            if create is not None and _have_values(variables):
                stack.enter_context(tf.init_scope())
                stack.enter_context(tf.variable_creator_scope(create))
        yield


def _have_values(variables: Sequence[Any]) -> bool:
    import tensorflow as tf

    with tf.init_scope():
        natives = [v.value if isinstance(v, keras.Variable) else v for v in variables]
        return tf.executing_eagerly() and all(bool(v.is_initialized()) for v in natives)


def _eager_creator() -> Callable | None:
    """What makes a variable of TensorFlow where no function is traced; None if it has moved.

    The creator that a scope is given is that of the traced function, and no public name avoids it.
    Without this one the function is traced twice.
    """
    try:
        from tensorflow.python.ops.resource_variable_ops import default_variable_creator_v2
    except ImportError:
        return None
    return lambda creator, **arguments: default_variable_creator_v2(**arguments)


def in_program() -> bool:
    """Whether this runs in a function that `compiled_in_graph` compiles.

    Example:
        >>> in_program()
        False
    """
    return _in_program.get()


def compiled_in_graph(function: Callable, tensors: list[Any]) -> None:
    """Calls `function(tensors)`, which assigns variables, as one XLA program where that helps.

    That is inside a `tf.function` that XLA does not compile as a whole: Keras's own updates are
    some ten operations there, each of which reads and writes every weight. Elsewhere, and in a
    `tf.distribute` strategy, the function is called as it is. On a GPU, where Keras compiles whole
    steps unless told not to, it makes a difference for `jit_compile=False` alone.

    Args:
        function: takes the list and returns nothing; it may hold no operation that XLA lacks.
        tensors: tensors and Nones.

    Example:
        >>> variable = keras.Variable(1.0)
        >>> compiled_in_graph(lambda tensors: variable.assign(tensors[0]), [keras.ops.array(2.0)])
        >>> keras.ops.convert_to_numpy(variable).tolist()
        2.0
    """
    if keras.backend.backend() == "tensorflow" and xla_enabled():
        import tensorflow as tf

        if not tf.executing_eagerly() and not tf.distribute.has_strategy():
            present = [tensor for tensor in tensors if tensor is not None]

            def on_present(*present):
                values = iter(present)
                before = _in_program.set(True)
                try:
                    function([None if tensor is None else next(values) for tensor in tensors])
                finally:
                    _in_program.reset(before)

            tf.function(on_present, jit_compile=True, autograph=False)(*present)
            return
    function(tensors)


def choose_gradient(gradient: Any, chosen: Any) -> Any:
    """The gradient where `chosen`, zero elsewhere; TensorFlow's sparse gradients stay sparse.

    Args:
        gradient: tensor, or `tf.IndexedSlices`.
        chosen: bool tensor of the variable's shape.

    Example:
        >>> x = choose_gradient(keras.ops.array([1.0, 2.0]), keras.ops.array([True, False]))
        >>> keras.ops.convert_to_numpy(x).tolist()
        [1.0, 0.0]
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices):
            rows = tf.gather(chosen, gradient.indices)
            values = tf.where(rows, gradient.values, tf.zeros_like(gradient.values))
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return keras.ops.where(chosen, gradient, keras.ops.zeros_like(gradient))


def update(variable: Any, function: Callable, *arguments: Any) -> None:
    """Assigns `function(value, *arguments)` to a variable, on every device that holds a copy.

    Under a `tf.distribute` strategy each replica's copy is updated where it lives, from its own
    value: copies that were equal stay equal and nothing is sent between devices.

    Args:
        variable: `keras.Variable`, or a `tf.Variable` in a TensorFlow loop.
        function: takes the value and the arguments, returns a tensor of the value's shape.
        *arguments: tensors.

    Example:
        >>> variable = keras.Variable([1.0, 2.0])
        >>> update(variable, lambda value, factor: factor * value, 3.0)
        >>> keras.ops.convert_to_numpy(variable).tolist()
        [3.0, 6.0]
    """
    if keras.backend.backend() == "tensorflow" and in_replica():
        _update_replicas(variable, function, arguments)
    else:
        variable.assign(function(read(variable), *arguments))


def update_together(variables: Sequence[Any], function: Callable, *arguments: Any) -> None:
    """Assigns `function(values, *arguments)` to several variables, as `update` does to one.

    Args:
        variables: as `update` takes them.
        function: takes the list of values and the arguments, returns a list of tensors. None in it
            leaves the variable as it is.
        *arguments: tensors, lists of them, or None.

    Example:
        >>> variables = [keras.Variable(1.0), keras.Variable(2.0)]
        >>> update_together(variables, lambda values: [sum(values), None])
        >>> [float(keras.ops.convert_to_numpy(one)) for one in variables]
        [3.0, 2.0]
    """
    values = function([read(variable) for variable in variables], *arguments)
    for variable, value in zip(variables, values, strict=True):
        if value is not None:
            update(variable, lambda _, value: value, value)


def _update_replicas(variable: Any, function: Callable, arguments: tuple) -> None:
    import tensorflow as tf

    def update_copy(copy, *arguments):
        copy.assign(function(read(copy), *arguments))

    def merged(strategy, variable, *arguments):
        strategy.extended.update(variable, update_copy, args=arguments, group=False)

    native = variable.value if isinstance(variable, keras.Variable) else variable
    tf.distribute.get_replica_context().merge_call(merged, args=(native, *arguments))


def records_gradients() -> bool:
    """Whether a gradient may be taken of what is computed now; on JAX that is never in the open.

    Example:
        >>> records_gradients() == (keras.backend.backend() == "torch")
        True
    """
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.is_grad_enabled()
    if backend == "tensorflow":
        import tensorflow as tf

        # No public name says whether a tape is open.
        from tensorflow.python.eager import record

        return not tf.executing_eagerly() or record.could_possibly_record()
    return False


def next_state(generator: Any) -> Any:
    """The state of a seed generator, its seed and its count, which then counts one more.

    In the second run of a `keras.remat` function, that of its backward pass, it returns what the
    latest run returned and counts nothing, so that both runs draw the same masks.

    Args:
        generator: `keras.random.SeedGenerator`.
    Shapes: result: (2,), an integer dtype that depends on the backend.

    Example:
        >>> generator = keras.random.SeedGenerator(7)
        >>> [keras.ops.convert_to_numpy(next_state(generator)).tolist() for _ in range(2)]
        [[7, 0], [7, 1]]
    """
    if _is_second_run():
        return latest_state(generator)
    with _trace_of(generator.state):
        return generator.next()


def latest_state(generator: Any) -> Any:
    """What the latest `next_state` returned. It counts nothing.

    Args:
        generator: `keras.random.SeedGenerator` that has counted at least once.
    Shapes: result: (2,), an integer dtype that depends on the backend.

    Example:
        >>> generator = keras.random.SeedGenerator(7)
        >>> states = [next_state(generator), latest_state(generator), latest_state(generator)]
        >>> [keras.ops.convert_to_numpy(state).tolist() for state in states]
        [[7, 0], [7, 0], [7, 0]]
    """
    state = read(generator.state)
    return state - keras.ops.array([0, 1], dtype=state.dtype)


def _is_second_run() -> bool:
    """Whether Python runs a function for the second time, within its backward pass."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        # No public name says it; torch.utils.checkpoint itself asks this one.
        return torch._C._current_graph_task_id() != -1
    if backend == "tensorflow":
        frame: Any = sys._getframe()
        while frame is not None and frame.f_code.co_name != "inner_recompute_grad":
            frame = frame.f_back
        return frame is not None
    return False  # JAX runs a function once and repeats what it did.


def _trace_of(variable: Any) -> Any:
    """On JAX, a context that records in the function whose argument the variable's value is.

    Not in a function traced inside of it, as `keras.remat` does, whence the next value could not
    leave.
    """
    if keras.backend.backend() == "jax":
        import jax
        import jax.extend.core

        value = variable.value
        if isinstance(value, jax.core.Tracer):
            return jax.extend.core.set_current_trace(value._trace)
    return contextlib.nullcontext()


def can_stack() -> bool:
    """Whether `stacked` and `stacked_steps` work on this backend: on JAX.

    Example:
        >>> can_stack() == (keras.backend.backend() == "jax")
        True
    """
    return keras.backend.backend() == "jax"


def stacked(function: Callable) -> Callable:
    """Compiles `function(state, own, shared)` for many states at once, on JAX.

    Args:
        function: takes trees of tensors.

    Returns:
        A function of the same arguments, with an axis for the members in front of every tensor of
        `state`, of `own` and of the result.
    """
    import jax

    return jax.jit(jax.vmap(function, in_axes=(0, 0, None)))


def stacked_steps(step: Callable) -> Callable:
    """Compiles a loop of steps that many states make at once, on JAX.

    Args:
        step: `step(state, own, shared)` to the next state.

    Returns:
        `run(states, count, own, shared)`, which makes the first `count` of the steps that `own`
        has room for: its tensors have an axis for the steps, then one for the members.
    """
    import jax

    every = jax.vmap(step, in_axes=(0, 0, None))

    def run(states: Any, count: Any, own: Any, shared: Any) -> Any:
        def one(number: Any, states: Any) -> Any:
            return every(states, jax.tree.map(lambda x: x[number], own), shared)

        return jax.lax.fori_loop(0, count, one, states)

    return jax.jit(run)


def over_many(function: Callable) -> Callable:
    """`function`, vectorized over a first axis of each of its arguments, which are tensors.

    Example:
        >>> x = over_many(lambda w, step: w - step)(keras.ops.ones((2, 3)), keras.ops.arange(2.0))
        >>> keras.ops.convert_to_numpy(x).tolist()
        [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.vmap(function)
    if backend == "torch":
        import torch

        return torch.func.vmap(function)
    import tensorflow as tf

    # A loop in its place would be slow, and draw other random bits.
    return lambda *arguments: tf.vectorized_map(
        lambda one: function(*one), arguments, fallback_to_while_loop=False
    )


def gradients_of_many(loss: Callable) -> Callable:
    """The gradients of a loss for many weights at once, on TensorFlow and PyTorch.

    Args:
        loss: `loss(weights, own)` to a scalar and a list of tensors. `weights` is a list of
            tensors, `own` a tree of them.

    Returns:
        A function of the same arguments to the gradients and the lists, with an axis for the
        members in front of every tensor.
    """
    if keras.backend.backend() == "torch":
        import torch

        return over_many(torch.func.grad(loss, has_aux=True))
    import tensorflow as tf

    def one(weights: Any, own: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value, rest = loss(weights, own)
        gradients = tape.gradient(value, weights, unconnected_gradients="zero")
        return [tf.convert_to_tensor(gradient) for gradient in gradients], rest

    return over_many(one)


def compiled_step(step: Callable, jit_compile: bool) -> Callable:
    """A function that assigns variables, compiled on TensorFlow; on PyTorch it records nothing.

    Args:
        step: takes tensors and returns nothing.
        jit_compile: bool. Whether by XLA.
    """
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()(step)
    import tensorflow as tf

    return tf.function(step, jit_compile=jit_compile and xla_enabled(), autograph=False)
