"""With updates.py all that names TensorFlow, JAX or PyTorch: compilation and replica contexts.

Everything else in the package is written in `keras.ops` and runs unchanged on the three backends.
"""

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def xla_enabled() -> bool:
    """Whether `compiled` compiles. Set `KERAS_REG_XLA=0` before the import to turn it off.

    Example:
        >>> xla_enabled() == (os.environ.get("KERAS_REG_XLA", "1") != "0")
        True
    """
    return os.environ.get("KERAS_REG_XLA", "1") != "0"


def compiled(function: Callable, static_argnums: tuple[int, ...] = ()) -> Callable:
    """Compiles `function` with XLA where the backend can.

    TensorFlow: a nested `tf.function(jit_compile=True)`. It stays compiled where Keras itself turns
    XLA off (CPU-only machines and every `tf.distribute` strategy). JAX: `jax.jit`. PyTorch: the
    function itself, eager.

    Args:
        function: takes and returns tensors, written in `keras.ops`.
        static_argnums: positions of hashable Python arguments, fixed at trace time.

    Returns:
        A function of the same arguments.

    Example:
        >>> float(compiled(lambda x: 2 * x)(keras.ops.ones(())))
        2.0
    """
    backend = keras.backend.backend()
    if not xla_enabled() or backend not in ("tensorflow", "jax"):
        return function
    if backend == "jax":
        import jax

        return jax.jit(function, static_argnums=static_argnums)
    import tensorflow as tf

    # Keras writes its layers without AutoGraph, and so are the ops here.
    return tf.function(function, jit_compile=True, autograph=False)


def compiles_each_operation() -> bool:
    """Whether the backend compiles every operation that runs outside of a compiled function.

    JAX does, once for each shape, so that a function compiled as a whole is ready sooner.

    Example:
        >>> compiles_each_operation() == (keras.backend.backend() == "jax")
        True
    """
    return keras.backend.backend() == "jax"


def compiled_alone(function: Callable, static_argnums: tuple[int, ...] = ()) -> Callable:
    """`compiled` on JAX, where a loop outside of a program is compiled anew in every call.

    Example:
        >>> float(compiled_alone(lambda x: x / 2)(keras.ops.ones(())))
        0.5
    """
    return compiled(function, static_argnums) if compiles_each_operation() else function


def runs_operations_singly() -> bool:
    """Whether each operation costs a call from Python, as it does on PyTorch alone."""
    return keras.backend.backend() == "torch"


def xla_suits_matrices() -> bool:
    """Whether XLA is as fast as the backend itself at products and decompositions of matrices.

    TensorFlow's is not, on a CPU: it takes its singular value decomposition one rotation at a time.

    Example:
        >>> xla_suits_matrices() == (keras.backend.backend() != "tensorflow")
        True
    """
    return keras.backend.backend() != "tensorflow"


def recomputed(
    function: Callable, gradient: Callable | None = None, static_argnums: tuple[int, ...] = ()
) -> Callable:
    """Compiles a function of `x` that its backward pass computes again instead of storing anything.

    For random masks, which are cheaper to draw twice than to keep. Only `x` has a gradient.

    Args:
        function: `function(x, *arguments)` to a tensor of x's shape, affine in x.
        gradient: `gradient(upstream, *arguments)`, the derivative along x. None: `function`, which
            is right where it is linear in x and acts on each element alone.
        static_argnums: positions of hashable Python arguments, fixed at trace time.

    Returns:
        A function of the same arguments, by position.

    Example:
        >>> triple = recomputed(lambda x, factor: factor * x)
        >>> float(triple(keras.ops.ones(()), keras.ops.array(3.0)))
        3.0
    """
    forward = compiled(function, static_argnums)
    backward = forward if gradient is None else compiled(gradient, static_argnums)
    if keras.backend.backend() == "torch":
        return _torch_recomputed(forward, backward)
    if keras.backend.backend() == "jax":
        return _jax_recomputed(forward, backward, static_argnums)

    def call(x: Any, *arguments: Any) -> Any:
        @keras.ops.custom_gradient
        def of_x(x):
            return forward(x, *arguments), lambda upstream: backward(upstream, *arguments)

        return of_x(x)

    return call


def _jax_recomputed(
    forward: Callable, backward: Callable, static_argnums: tuple[int, ...]
) -> Callable:
    # keras.ops.custom_gradient differentiates along all arguments, of which some are integers, and
    # may not close over what is traced inside of a checkpoint.
    import jax

    def first(*arguments: Any) -> tuple[Any, tuple]:
        numbered = list(enumerate(arguments))
        kept = [x for place, x in numbered if place > 0 and place not in static_argnums]
        return forward(*arguments), tuple(kept)

    def second(*packed: Any) -> tuple:
        *static, kept, upstream = packed
        arguments = list(kept)
        for place, value in zip(static_argnums, static, strict=True):
            arguments.insert(place - 1, value)
        return (backward(upstream, *arguments), *(None for _ in kept))

    call = jax.custom_vjp(lambda *arguments: forward(*arguments), nondiff_argnums=static_argnums)
    call.defvjp(first, second)
    return call


def _torch_recomputed(forward: Callable, backward: Callable) -> Callable:
    # keras.ops.custom_gradient would keep `x` until the backward pass, which has no use for it.
    import torch

    def plain(argument: Any) -> Any:
        # Python's arithmetic of single numbers is far cheaper, and on a CPU they are at hand.
        at_hand = isinstance(argument, torch.Tensor) and argument.device.type == "cpu"
        is_number = at_hand and argument.ndim == 0 and not torch.compiler.is_compiling()
        return argument.item() if is_number else argument

    class Recomputed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, *arguments: Any) -> Any:
            ctx.arguments = tuple(plain(argument) for argument in arguments)
            return forward(x, *ctx.arguments)

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            gradient = backward(upstream[0], *ctx.arguments)
            return (gradient, *(None for _ in ctx.arguments))

    return Recomputed.apply


def kept_alone(x: Any, kept: Any) -> Any:
    """`x` where `kept` and zero elsewhere, also for infinities and NaN.

    Args:
        x: float tensor.
        kept: bool tensor that broadcasts against `x`.
    Shapes: result: as `x`, same dtype.

    Example:
        >>> x = kept_alone(keras.ops.array([1.0, 2.0]), keras.ops.array([True, False]))
        >>> keras.ops.convert_to_numpy(x).tolist()
        [1.0, 0.0]
    """
    if keras.backend.backend() == "torch":
        import torch

        # Eager PyTorch multiplies the bits four times as fast as it selects.
        words = {2: torch.int16, 4: torch.int32, 8: torch.int64}
        return (x.view(words[x.element_size()]) * kept).view(x.dtype)
    return keras.ops.where(kept, x, keras.ops.zeros((), dtype=x.dtype))


def block_size() -> int | None:
    """How many random numbers to draw at a time; None for all, where a compiler fuses the work.

    Eager PyTorch on a CPU works through an array once for each operation, which is several times
    as fast in pieces that stay in the cache.

    Example:
        >>> block_size() in (None, 262144)
        True
    """
    if keras.backend.backend() == "torch":
        import torch

        return None if torch.cuda.is_available() else 2**18
    return None


def xla_on_cpu() -> bool:
    """Whether XLA compiles for a CPU: there alone forms were measured that are for their speed.

    Example:
        >>> xla_on_cpu() and keras.backend.backend() == "torch"
        False
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if backend == "tensorflow":
        import tensorflow as tf

        return all(device.device_type == "CPU" for device in tf.config.list_physical_devices())
    return False


def slices_of_a_sum() -> int:
    """Into how many slices to fold an array, in one loop, before XLA sums what is left.

    On a CPU XLA's reduction makes a pass for each operation that leads to it; a loop takes them all
    in. Elsewhere it is 1: accelerators have better reductions, and slices of an array that lies on
    several devices would be sent between them.

    Example:
        >>> slices_of_a_sum() in (1, 8, 16)
        True
    """
    if not xla_on_cpu():
        return 1
    return 16 if keras.backend.backend() == "jax" else 8


def fuses_reductions() -> bool:
    """Whether a sum over some axes takes in the operations that lead to it.

    TensorFlow's XLA on a CPU writes them out first; JAX's is newer.

    Example:
        >>> fuses_reductions() == (keras.backend.backend() != "tensorflow")
        True
    """
    return keras.backend.backend() != "tensorflow"


def updates_in_one_program() -> bool:
    """Whether what makes a gradient and the optimizer's update are compiled as one: on JAX.

    Example:
        >>> updates_in_one_program() == (keras.backend.backend() == "jax")
        True
    """
    return keras.backend.backend() == "jax"


def narrows_doubles() -> bool:
    """Whether functions of Keras give float32 for float64 tensors: not on TensorFlow.

    On JAX there are such tensors only where the user turned them on.

    Example:
        >>> narrows_doubles() == (keras.backend.backend() != "tensorflow")
        True
    """
    return keras.backend.backend() != "tensorflow"


def has_kth_largest() -> bool:
    """Whether there is `kth_largest`: on PyTorch.

    Example:
        >>> has_kth_largest() == (keras.backend.backend() == "torch")
        True
    """
    return keras.backend.backend() == "torch"


def kth_largest(tensors: list[Any], count: Any) -> Any:
    """The `count`-th largest number of several tensors, on PyTorch; infinity for a count of zero.

    Args:
        tensors: float tensors of one dtype, without NaN.
        count: int or integer scalar.
    Shapes: result: ().
    """
    import torch

    x = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    count = int(count)
    if count == 0:
        return x.new_tensor(float("inf"))
    return torch.kthvalue(x, x.numel() - count + 1).values


def read(x: Any) -> Any:
    """The value of a variable, an array or a list of numbers, as a plain tensor.

    Unlike `keras.ops.convert_to_tensor`, which on TensorFlow hands back the variable itself.

    Example:
        >>> tuple(read(keras.Variable([1.0, 2.0])).shape)
        (2,)
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.convert_to_tensor(x)
    return keras.ops.convert_to_tensor(x)


def on_host(x: Any) -> Any:
    """The value of a variable or tensor as a NumPy array to read from, where possible not a copy.

    `keras.ops.convert_to_numpy` copies, which takes longer than most that is done with the result.

    Example:
        >>> on_host(keras.Variable([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    if keras.backend.backend() == "torch":
        return keras.ops.convert_to_numpy(read(x))
    return np.asarray(read(x))


def replica_id() -> Any:
    """The number of the replica this runs on, an int32 scalar; 0 without others.

    That of a `tf.distribute` strategy, or the rank of a process of `torch.distributed`.

    Example:
        >>> int(replica_id())
        0
    """
    if keras.backend.backend() == "torch":
        import torch.distributed as distributed

        is_one_of_many = distributed.is_available() and distributed.is_initialized()
        return distributed.get_rank() if is_one_of_many else 0
    if keras.backend.backend() == "tensorflow" and in_replica():
        import tensorflow as tf

        return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, "int32")
    return 0


def in_replica() -> bool:
    """Whether this runs on one replica of a `tf.distribute` strategy, on TensorFlow."""
    import tensorflow as tf

    return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()


def is_chief() -> bool:
    """Whether this process is the first of those that train together, or the only one.

    Example:
        >>> is_chief()
        True
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.process_index() == 0
    if backend == "torch":
        return replica_id() == 0
    return _is_chief_of_strategy()


def _is_chief_of_strategy() -> bool:
    import tensorflow as tf

    resolver = getattr(tf.distribute.get_strategy(), "cluster_resolver", None)
    if resolver is None or not resolver.cluster_spec().as_dict():
        return True
    # TensorFlow's rule: a chief if the cluster has one, or else the first worker.
    if resolver.task_type == "worker":
        has_chief = "chief" in resolver.cluster_spec().as_dict()
        return not has_chief and resolver.task_id == 0
    return resolver.task_type in ("chief", "master")
