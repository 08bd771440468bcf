"""The private names of Keras that this package reads, each with the reason why nothing public does.

`tests/test_keras_private.py` holds what is expected of every one of them.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras


def layers_in(layer: Any, recursive: bool = True) -> list[Any]:
    """The layers inside a layer, without itself; with `recursive` those inside them too.

    `Model.layers` is public, but a `Layer` that holds layers has no such list.
    """
    return list(layer._flatten_layers(include_self=False, recursive=recursive))


def forget_traces(model: Any) -> None:
    """Makes Keras trace the steps of a model, and of those in it, again.

    `compile` does so too, but would take another optimizer and other metrics.
    """
    for layer in model._flatten_layers():
        if hasattr(layer, "train_function"):
            layer.train_function = None
            layer.test_function = None


def average_of(optimizer: Any, variable: Any) -> Any:
    """The moving average that an optimizer with `use_ema` keeps of a variable, or None.

    It is among the public `variables`, but two weights may have one path, so that names do not tell
    which is whose. Keras's own SwapEMAWeights reads the same name.
    """
    return state_of(optimizer, "model_variables_moving_average", variable)


class AveragesOfInner:
    """Shows the moving averages of the optimizer inside as those of an optimizer round it.

    Keras's SwapEMAWeights looks for this name, on what a LossScaleOptimizer is round.
    """

    inner_optimizer: Any

    @property
    def _model_variables_moving_average(self) -> list[Any]:
        return self.inner_optimizer._model_variables_moving_average


def state_of(optimizer: Any, name: str, variable: Any) -> Any:
    """What an optimizer keeps of a variable in its list of this name, such as "velocities".

    As with averages, names do not tell which of its public `variables` it is.
    """
    return getattr(optimizer, f"_{name}")[optimizer._get_variable_index(variable)]


def keys_of(optimizer: Any, variables: Iterable[Any]) -> list[Any]:
    """What an optimizer tells each of these variables by, itself and not its value.

    The `id` would do, but each replica of a `tf.distribute` strategy sees a copy of its own.
    """
    return [optimizer._var_key(variable) for variable in variables]


def variables_of(optimizer: Any) -> list[Any]:
    """The variables that an optimizer was built with: it has no public list of them."""
    return optimizer._trainable_variables


def layout_of(variable: Any) -> Any:
    """How a variable is spread over devices, None for a whole one.

    `add_variable_from_reference` asks it too, but gives the new one to the optimizer inside.
    """
    return getattr(variable, "_layout", None)


def compile_arguments(model: Any) -> dict[str, Any]:
    """What `compile` was called with.

    `get_compile_config` is public, but writes losses and metrics down, which fails where a function
    among them is not registered.
    """
    return dict(model._compile_config.config)


def forget_parameters(layer: Any) -> None:
    """Lets PyTorch list the parameters of a layer again, whose variables are others now.

    The list is made when a layer is built, and again when it is asked for and missing.
    """
    if hasattr(layer, "_torch_params"):
        del layer._torch_params


def nodes_of(model: Any) -> list[Any]:
    """The calls in the graph of a Functional model or of a built Sequential, in their order.

    Each has `operation`, `input_tensors`, `outputs` and `is_input`. A model without a graph has
    none. The config of a model holds its graph too, but writing it imports TensorFlow on every
    backend, which takes seconds, and fails where one layer cannot write itself down.
    """
    graph = getattr(model, "_functional", None) or model
    by_depth = getattr(graph, "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


@contextlib.contextmanager
def unrecorded(layer: Any) -> Iterator[None]:
    """Takes back what calls on symbolic tensors leave behind in a layer and those inside it.

    A layer keeps a list of its calls, and of what reads them, that only grows.
    """
    kept = [
        (values, list(values))
        for one in [layer, *layers_in(layer)]
        for values in (one._inbound_nodes, one._outbound_nodes)
    ]
    try:
        yield
    finally:
        for values, before in kept:
            values[:] = before


def is_stateless() -> bool:
    """Whether this runs in a `keras.StatelessScope`, as all training does on JAX.

    Example:
        >>> is_stateless()
        False
    """
    return _scope() is not None


def _scope() -> Any:
    with keras.StatelessScope(initialize_variables=False) as inner:
        return inner.original_scope


def notes_of_step(layer: Any) -> dict:
    """A dict that lives as long as what a training step runs: the outermost call, that of a model.

    Keras keeps one object for such a call, from which inner layers take `training`; nothing public
    says where a call begins and ends. `Model.stateless_call`, as in JAX's training, makes none, but
    a `keras.StatelessScope`. So does a symbolic run inside of a call: it has notes of its own. When
    a layer's own `call` was called from outside, it is an empty dict each time.
    """
    holder = _scope()
    if holder is None:
        holder = layer._get_call_context()
        if not hasattr(holder, "training"):  # Made for this question: no layer was called.
            layer._maybe_reset_call_context()
    return vars(holder).setdefault("keras_reg_notes", {})


def training_around(layer: Any) -> bool | None:
    """Whether the call around one of this layer trains; None if that is not said, or there is none.

    The layer's own argument may say otherwise. Nothing public tells a layer what is round it. None
    also in a symbolic run, in which a stateless scope has no values: `fit` builds models by one,
    with `training=False`.
    """
    scope = _scope()
    if scope is not None and not scope.state_mapping:
        return None
    context = layer._get_call_context()
    if not hasattr(context, "training"):  # Made for this question: no layer was called.
        layer._maybe_reset_call_context()
    return getattr(context, "training", None)
