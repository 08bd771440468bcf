"""Opening a layer: the calls that its own code makes, listed as a graph."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import tree

from keras_reg.keras_private import layers_in, unrecorded
from keras_reg.structure.channels.graph import (
    Graph,
    Node,
    NotReadableError,
    accepted,
    input_like,
    is_graph,
    listed,
)
from keras_reg.structure.channels.registry import channels_rule
from keras_reg.structure.registry import rule_of

# What stands for an unknown length. The first attempt that succeeds counts: short tables of
# positions hold few places.
_LENGTHS = (7, 3)
# A table of positions with more rows than this is not tried as a length.
_LONGEST = 1024


def opened(layer: Any, node: Node) -> Graph:
    """The calls that a layer's own `call` makes.

    The lengths that are not known, such as that of the batch, are set to numbers: channels do not
    depend on them. A layer inside that cannot tell the shapes of its outputs, as one that returns
    None among them, is opened too.

    Raises:
        NotReadableError: if the code of `call` does not run on symbolic tensors.
    """
    failures = []
    shapes = [x.shape for x in tree.flatten((node.args, node.kwargs)) if _is_symbolic(x)]
    is_open = any(None in shape[1:] for shape in shapes)
    # Some code needs a variable itself, not a symbolic tensor.
    for length in (*_LENGTHS, *(table_lengths(layer) if is_open else ())):
        for shows_variables in (True, False):
            try:
                return _opened(layer, node, length, shows_variables)
            except NotReadableError as error:
                failures.append(error)
    raise failures[0]


def table_lengths(layer: Any) -> list[int]:
    """How many rows the matrices in a layer have: code that adds a table whole fits one length."""
    shapes = [tuple(one.shape) for one in layer.variables]
    return sorted({shape[0] for shape in shapes if len(shape) == 2 and shape[0] <= _LONGEST})


def _is_symbolic(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor)


def _opened(layer: Any, node: Node, length: int, shows_variables: bool) -> Graph:
    concrete: dict[int, Any] = {}
    for tensor in tree.flatten((node.args, node.kwargs)):
        if _is_symbolic(tensor) and id(tensor) not in concrete:
            shape = _known(tensor.shape, length)
            concrete[id(tensor)] = input_like(tensor, len(concrete), shape)
    args, kwargs = tree.map_structure(
        lambda value: concrete.get(id(value), value), (node.args, accepted(layer, node.kwargs))
    )
    inputs = list(concrete.values())
    inside = layers_in(layer)
    opening = _Opening(shows_variables, {id(one) for one in inside if _is_whole(one)})
    with unrecorded(layer), _as_before([layer, *inside]):
        for one in (layer, *inside):
            vars(one)["add_loss"] = _no_loss
        for number, one in enumerate(inside):
            opening.watch(one, number)
        try:
            with opening:  # Nothing is assigned to a variable.
                results = tree.flatten(opening.run(layer, args, kwargs))
        except Exception as error:  # What the code of a user's layer raises is not known here.
            why = f"its call fails on symbolic tensors ({_first_line(error)})"
            raise NotReadableError(why) from None
        try:
            return opening.graph(inputs, results)
        except Exception as error:
            raise NotReadableError(f"its calls form no graph ({_first_line(error)})") from None


class _Opening(keras.StatelessScope):
    """Follows what opened code does with variables and with the layers inside.

    Args:
        shows_variables: bool. Whether a layer's code gets symbolic tensors for its variables.
        whole: the `id`s of layers that stand for themselves in the graph.
    """

    def __init__(self, shows_variables: bool, whole: set[int]) -> None:
        super().__init__()
        self._whole = whole
        self._shows_variables = shows_variables
        self._read: dict[int, Any] = {}
        self._shown: dict[int, tuple[Any, Any]] = {}

    def get_current_value(self, variable: Any) -> Any:
        """Notes that code computes with the numbers of a variable."""
        self._read[id(variable)] = variable
        return super().get_current_value(variable)

    def watch(self, layer: Any, number: int) -> None:
        """Steps in where a layer is called, asked for the shapes of its outputs, or makes weights.

        Python looks these methods up in the class, so it gets one of its own.
        """
        kind = type(layer)

        def call(one: Any, *args: Any, **kwargs: Any) -> Any:
            tensors = tree.flatten((args, kwargs))
            if any(map(_is_symbolic, tensors)):
                return self._called(one, kind, args, kwargs)
            return kind.__call__(one, *args, **kwargs)

        def spec(one: Any, *args: Any, **kwargs: Any) -> Any:
            """Found by running the layer where its own answer has gaps."""
            result = kind.compute_output_spec(one, *args, **kwargs)
            if all(None not in x.shape for x in tree.flatten(result)):
                return result
            return keras.Operation.compute_output_spec(one, *args, **kwargs)

        methods = {"__call__": call, "compute_output_spec": spec, "add_weight": _no_weights}
        object.__setattr__(layer, "__class__", type(kind.__name__, (kind,), methods))
        vars(layer)["name"] = f"inside_{number}"  # Two layers of a graph may not share a name.

    def run(self, layer: Any, args: Any, kwargs: Any) -> Any:
        """Runs a layer's code."""
        if self._shows_variables:
            for name, value in list(vars(layer).items()):
                if isinstance(value, keras.Variable):
                    vars(layer)[name] = self._tensor(value)
        return layer.call(*args, **accepted(layer, kwargs))

    def _tensor(self, variable: Any) -> Any:
        if id(variable) not in self._shown:
            tensor = input_like(variable, f"variable_{len(self._shown)}")
            self._shown[id(variable)] = tensor, variable
        return self._shown[id(variable)][0]

    def _called(self, layer: Any, kind: type, args: Any, kwargs: Any) -> Any:
        """One call in the graph for a layer of which a rule is known, else the calls it makes."""

        def whole() -> Any:
            return kind.__call__(layer, *args, **kwargs)

        def inside() -> Any:
            return self.run(layer, args, kwargs)

        first, second = (whole, inside) if id(layer) in self._whole else (inside, whole)
        try:
            return first()
        except Exception:  # Its shapes are not known, it returns None, it needs numbers, ...
            return second()

    def graph(self, inputs: list[Any], outputs: list[Any]) -> Graph:
        """The calls between inputs and outputs; numbers and None among these depend on none."""
        shown = list(self._shown.values())
        symbolic = [x for x in outputs if _is_symbolic(x)]
        every = [*inputs, *(tensor for tensor, _ in shown)]
        found = listed(every, symbolic, every) if symbolic else Graph(every, [], [])
        results = iter(tree.flatten(found.outputs))
        return Graph(
            found.inputs[: len(inputs)],
            found.nodes,
            [next(results) if _is_symbolic(x) else x for x in outputs],
            [
                (tensor, variable)
                for tensor, (_, variable) in zip(found.inputs[len(inputs) :], shown, strict=True)
            ],
            list(self._read.values()),
        )


def _no_weights(*args: Any, **kwargs: Any) -> Any:
    raise NotReadableError("a layer in it is not built")


def _no_loss(loss: Any) -> None:
    """A loss changes no output, and Keras takes none of a symbolic tensor."""


@contextlib.contextmanager
def _as_before(layers: list[Any]) -> Iterator[None]:
    """Takes back the class and every attribute that is set on layers."""
    kept = [(one, type(one), dict(vars(one))) for one in layers]
    try:
        yield
    finally:
        for one, kind, attributes in kept:
            object.__setattr__(one, "__class__", kind)
            vars(one).clear()
            vars(one).update(attributes)


def _is_whole(layer: Any) -> bool:
    """Whether a layer stands for itself in a graph."""
    has_rule = channels_rule(layer) is not None or rule_of(layer, "uses") is not None
    return has_rule or is_graph(layer)


def _known(shape: Any, length: int) -> list[int]:
    """A shape with 2 for an unknown batch, `length` for any other unknown length."""
    unknown = [2] + [length] * len(shape)
    return [other if one is None else one for one, other in zip(shape, unknown, strict=False)]


def _first_line(error: Exception) -> str:
    """What went wrong, without what Keras adds about the arguments of a call."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered"):
        lines = lines[1:]
    return (lines or [type(error).__name__])[0].removeprefix("\x1b[1m").strip()[:80]
