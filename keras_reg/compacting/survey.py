"""Reads a model once: its channels, which of them are constant, and which weights read them."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import tree

from keras_reg.compacting import constants, exact_norms
from keras_reg.compacting.contents import content_of
from keras_reg.compacting.merging import merge
from keras_reg.compacting.reads import Need, Read, constant_columns
from keras_reg.keras_private import layers_in
from keras_reg.structure.channels.graph import (
    Graph,
    Node,
    NotReadableError,
    graph_of,
    graph_of_call,
    is_graph,
)
from keras_reg.structure.channels.labels import Array, Traced
from keras_reg.structure.channels.reader import Call, Reader
from keras_reg.structure.channels.registry import channels_rule

# Operations that hold no lengths, so that they may stand in the code of a layer that is opened.
_FREE = (
    *("ConvertToTensor", "Transpose", "ExpandDims", "Squeeze", "Swapaxes", "Moveaxis", "Take"),
    *("Concatenate", "Stack", "Mean", "Max", "Min", "Sum", "StopGradient", "Rsqrt", "Power"),
    *("Absolute", "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum"),
    *("Relu", "Relu6", "Sigmoid", "Tanh", "Silu", "Gelu", "Exp", "Erf", "Square", "Sqrt", "Cast"),
    *("Negative", "Softplus", "HardSigmoid", "HardSilu", "LeakyRelu", "Elu", "Selu", "Clip"),
)


class Step(NamedTuple):
    """One call, with what goes in and comes out.

    Args:
        node: the call in the graph.
        args, kwargs: its arguments, with `Traced` for tensors.
        results: list of `Traced`.
        run: what happened inside, if it is a model with a graph.
        inside: what happened inside, if it is a layer that was opened.
    """

    node: Node
    args: Any
    kwargs: Any
    results: list[Traced]
    run: "Run | None"
    inside: "Run | None" = None


class Run(NamedTuple):
    """A graph that was read, with its inputs and outputs as they were traced."""

    graph: Graph
    inputs: list[Traced]
    outputs: list[Traced]
    steps: list[Step]


class Survey(Reader):
    """Sends labels and constants through a model.

    Args:
        opens: bool. Whether layers without a rule are opened. If not, all that they touch stays.
        exact_norms: bool. Whether constant channels of normalizations over channels may go.
    """

    def __init__(self, opens: bool = True, exact_norms: bool = False) -> None:
        super().__init__()
        self.opens, self.exact_norms = opens, exact_norms
        self.norms: dict[int, Array] = {}
        self.reads: dict[int, Read] = {}
        self.needs: list[Need] = []
        self.traced: list[Traced] = []
        self._known: dict[int, tuple[Traced, Array]] = {}
        self._steps: list[Step] = []
        self.last: Run | None = None
        self._depth = 0
        self._held: set[int] = set()
        self._wrapped = False
        self._kept: set[str] = set()

    def known(self, traced: Traced) -> Array:
        """What is known of a tensor."""
        return self._known.get(id(traced), (traced, constants.unknown(traced.rank)))[1]

    def know(self, traced: Traced, known: Array) -> None:
        """Keeps what is known of a tensor."""
        np.broadcast_shapes(known.shape, [1 if one is None else one for one in traced.shape])
        self._known[id(traced)] = traced, known

    def read(self, read: Read) -> None:
        """Keeps a read; of a weight that is used twice only what is constant both times."""
        if self._depth and isinstance(read.bias, keras.layers.Layer):
            # The config of the layer around it says whether it has a bias.
            read = read._replace(bias=None, constant=constants.only_zeros(read.constant))
        before = self.reads.get(id(read.kernel))
        if before is not None:
            if before.columns.keys() != read.columns.keys():
                raise ValueError(f"{read.kernel.path} is used in two ways")
            read = read._replace(
                constant=constants.shared(before.constant, read.constant),
                inside=constants.shared(before.inside, read.inside),
            )
        self.reads[id(read.kernel)] = read

    def keep(self, step: "Step", why: str) -> None:
        """Pins all that a call touches.

        Raises:
            ValueError: if all of it is pinned for the same reason: it cannot be made at all.
        """
        name = step.node.operation.name
        if name in self._kept:
            raise ValueError(
                f"Expected a model that can be made again from its config. Received: {name}, {why}"
            )
        self._kept.add(name)
        for traced in [*tree.flatten((step.args, step.kwargs)), *step.results]:
            if isinstance(traced, Traced):
                for labels in traced.axes.values():
                    self.labels.pin(labels, why)
        for variable in getattr(step.node.operation, "variables", ()):
            for axis in range(len(variable.shape)):
                if (id(variable), axis) in self.slots:
                    self.labels.pin(self.slots[id(variable), axis].labels, why)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """While layers are read that another layer holds."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def run(self, graph: Graph, inputs: list[Traced], name: str = "the model") -> list[Traced]:
        outer, self._steps = self._steps, []
        try:
            outputs = super().run(graph, inputs, name)
            self.last = Run(graph, inputs, outputs, self._steps)
        finally:
            self._steps = outer
        return outputs

    def step(self, node: Node, args: Any, kwargs: Any, tensors: list[Traced]) -> list[Traced]:
        self.last = None
        results = super().step(node, args, kwargs, tensors)
        self.traced.extend(results)
        is_model = is_graph(node.operation)
        runs = (self.last, None) if is_model else (None, self.last)
        self._steps.append(Step(node, args, kwargs, results, *runs))
        return results

    def by_rule(self, call: Call) -> list[Traced]:
        if self._wrapped:  # The rule of the wrapper sends constants through what is in it.
            return super().by_rule(call)
        if self._depth and self._may_hold_sizes(call.operation):
            raise NotReadableError("the code of a layer may hold sizes")
        is_exact = self._is_exact(call.operation)
        content = exact_norms.content if is_exact else content_of(call.operation)
        if content is None:
            raise NotReadableError("what it does with constants is not known")
        self._wrapped = True
        try:
            found = [exact_norms.over_channels(call)] if is_exact else super().by_rule(call)
            results = [Traced(one.shape, one.axes, one.is_constant) for one in found]
        finally:
            self._wrapped = False
        for traced, known in zip(results, content(Content(call, results, self)), strict=True):
            if known is not None:
                self.know(traced, known)
        if is_exact:
            x, axis = call.inputs[0], exact_norms.axis_of(call.operation)
            known = constants.along(self.known(x), axis)
            self.norms[id(call.operation)] = np.broadcast_to(known, x.on(axis).shape)
        return results

    def _may_hold_sizes(self, operation: Any) -> bool:
        """Whether the code of a layer calls an operation with lengths, or a layer that it makes."""
        if isinstance(operation, keras.layers.Layer):
            return isinstance(operation, keras.layers.Reshape) and id(operation) not in self._held
        return type(operation).__name__ not in _FREE

    def _is_exact(self, operation: Any) -> bool:
        """Whether channels of a normalization may go: one that is called once, by the model."""
        is_first = id(operation) not in self.norms
        is_asked = self.exact_norms and not self._depth and is_first
        return is_asked and exact_norms.can_be_exact(operation)

    def _operand(self, value: Any) -> Any:
        """A variable that an operation is called with is known."""
        traced = super()._operand(value)
        if isinstance(value, keras.Variable):
            numbers = np.asarray(keras.ops.convert_to_numpy(value), "float64")
            self.know(traced, constants.shortened(numbers))
        return traced

    def _inside(self, call: Call, node: Node, tensors: list[Traced]) -> list[Traced]:
        if is_graph(call.operation) or not isinstance(call.operation, keras.layers.Layer):
            return super()._inside(call, node, tensors)
        if not self.opens:
            raise NotReadableError("no rule for this layer")
        held, self._held = self._held, set(map(id, layers_in(call.operation)))
        try:
            with self.inside():
                results = super()._inside(call, node, tensors)
        finally:
            self._held = held
        self._hold(call)
        return results

    def _hold(self, call: Call) -> None:
        """Of an opened layer only what layers with a rule in it hold can be removed."""
        assert self.last is not None
        inner = [step.node.operation for step in leaves_of(self.last)]
        leaves = [one for one in inner if channels_rule(one) is not None]
        free = {id(v) for one in leaves for v in getattr(one, "variables", ())}
        slots = [
            slot
            for variable in call.operation.variables
            for axis in range(len(variable.shape))
            if (slot := self.slots.get((id(variable), axis))) is not None
        ]
        is_resized = any(id(one.variable) in free and "makes" in one.roles for one in slots)
        for slot in slots:
            if id(slot.variable) not in free and (is_resized or "makes" in slot.roles):
                self.labels.pin(slot.labels, f"held by {call.name}, whose config has their number")

    def in_shape(self, traced: Traced, shape: Any) -> Traced:
        """The same on a tensor some of whose lengths are not known: what is known stays."""
        same, known = super().in_shape(traced, shape), self.known(traced)
        if all(known.shape[axis] == 1 for axis, length in enumerate(shape) if length is None):
            self.know(same, known)
        return same

    def _closed(self, call: Call, why: str) -> list[Traced]:
        self.last = None
        return super()._closed(call, why)


def leaves_of(run: Run | None) -> Iterator[Step]:
    """The calls of layers, those in models and in opened layers in their place."""
    for step in () if run is None else run.steps:
        inside = step.run or step.inside
        if inside is not None:
            yield from leaves_of(inside)
        elif isinstance(step.node.operation, keras.layers.Layer):
            yield step


class Content:
    """One call as the rules for constants see it.

    Args:
        call: the `Call` that went through the rule for its channels.
        results: list of `Traced`. What came out.
        survey: where it is written down.
    """

    def __init__(self, call: Call, results: list[Traced], survey: Survey) -> None:
        self.call, self.results, self.survey = call, results, survey
        self.operation, self.inputs = call.operation, call.inputs

    @property
    def knowns(self) -> list[Array]:
        """What is known of each input."""
        return [self.survey.known(x) for x in self.inputs]

    def labels(self, variable: Any, axis: int) -> Array:
        """The labels on an axis of a variable."""
        return self.survey.slots[id(variable), axis % len(variable.shape)].labels

    def dtype(self) -> str:
        """What the layer computes in."""
        return getattr(self.operation, "compute_dtype", None) or keras.config.floatx()

    def reads(
        self,
        kernel: Any,
        rows: tuple[int, ...],
        columns: tuple[int, ...],
        constant: Array,
        bias: Any = None,
        place: tuple[Any, ...] = (),
        inside: Array | None = None,
    ) -> Array:
        """Rows of a kernel read channels. Returns the constant part of each column, else NaN.

        Args:
            kernel: the variable.
            rows, columns: tuples of ints. Its axes.
            constant: array over the rows, NaN for what is not constant.
            bias: what constants may be added to: a variable, the layer if it may get one, or None.
            place: tuple. Where in the bias.
            inside: the same as `constant` apart from edges that are padded with zeros.
        """
        rank = len(kernel.shape)
        rows = tuple(axis % rank for axis in rows)
        columns = tuple(axis % rank for axis in columns)
        foldable = constants.only_zeros(constant) if bias is None else constant
        shape = [kernel.shape[axis] for axis in rows]
        self.survey.read(
            Read(
                kernel,
                {axis: self.labels(kernel, axis) for axis in rows},
                {axis: self.labels(kernel, axis) for axis in columns},
                np.broadcast_to(foldable, shape),
                bias,
                place,
                np.broadcast_to(constant if inside is None else inside, shape),
            )
        )
        return constant_columns(kernel, rows, columns, np.broadcast_to(constant, shape))

    def needs(self, labels: Array, is_zero: Array) -> None:
        """Channels are summed over without weights: they are needed where they are not zero."""
        live = np.broadcast_to(~is_zero, labels.shape)
        self.survey.needs.append(Need(labels[live], None, live[live]))

    def through(self, layer: Any, x: Traced, known: Array, shape: Any) -> Array:
        """What comes out of a layer inside this one, for an input with these constants."""
        rule = content_of(layer)
        if rule is None:
            return constants.unknown(len(shape))
        self.survey.know(x, known)
        results = [Traced(shape)]
        call = Call(layer, (x,), {}, [shape], self.survey)
        with self.survey.inside():
            found = rule(Content(call, results, self.survey))[0]
        return constants.unknown(len(shape)) if found is None else found


def survey_of(model: Any, opens: bool, exact_norms: bool) -> tuple[Survey, Run]:
    """Reads a model, with its outputs pinned."""
    survey = Survey(opens, exact_norms)
    graph = graph_of(model) if is_graph(model) else graph_of_call(model)
    inputs = [Traced(x.shape) for x in graph.inputs]
    outputs = survey.run(graph, inputs)
    for traced in outputs:
        for labels in traced.axes.values():
            survey.labels.pin(labels, "an output of the model")
    survey.pin_unmade()
    merge(survey)
    assert survey.last is not None
    return survey, survey.last
