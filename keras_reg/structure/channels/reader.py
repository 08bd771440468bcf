"""An interpreter that sends labels through the calls of a model."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import tree

from keras_reg.structure.channels.graph import (
    Graph,
    Node,
    NotReadableError,
    graph_of,
    is_graph,
)
from keras_reg.structure.channels.labels import Array, Labels, Traced
from keras_reg.structure.channels.opening import opened
from keras_reg.structure.channels.registry import channels_rule
from keras_reg.structure.registry import uses_of
from keras_reg.structure.weights import is_kernel, path_of


class Slot(NamedTuple):
    """An axis of a variable, the label of every index on it, and what the axis does.

    Args:
        variable: `keras.Variable`.
        axis: int.
        labels: array of ints.
        roles: set of "makes", "reads" and "carries".
    """

    variable: Any
    axis: int
    labels: Array
    roles: set[str]


class Scores(NamedTuple):
    """The multiply-adds of a product of two tensors: attention's scores, and their weighted sum.

    Args:
        uses: int or None. Those of one entry of the axes, None if a length is unknown.
        places: list of pairs, the `id` of a variable and an axis. They are as many as the product
            of what is left there.
    """

    uses: int | None
    places: list[tuple[int, int]]


class Call:
    """One call of a layer or an operation, as a rule sees it.

    Its `inputs` are a list of `Traced`: the tensors among the arguments and, for operations, the
    variables and arrays.

    Args:
        operation: the layer or operation.
        args: tuple. The arguments, with `Traced` for each of these.
        kwargs: dict. The same.
        outputs: list of tuples. The shapes of the results.
        reader: where labels come from.
    """

    def __init__(
        self, operation: Any, args: Any, kwargs: Any, outputs: list[Any], reader: "Reader"
    ) -> None:
        self.operation, self.args, self.kwargs = operation, args, kwargs
        self.outputs, self.reader = outputs, reader
        flat = tree.flatten((args, kwargs))
        self.inputs = [value for value in flat if isinstance(value, Traced)]

    @property
    def name(self) -> str:
        """What a reason calls it."""
        if not isinstance(self.operation, keras.layers.Layer):
            return f"ops.{type(self.operation).__name__}"
        return f"{type(self.operation).__name__} {self.operation.name!r}"

    def makes(self, variable: Any, axis: int) -> Array:
        """The labels on an axis of a variable whose indices are new channels."""
        return self.reader.slot(variable, axis, "makes")

    def reads(self, variable: Any, axis: int, labels: Array) -> None:
        """An axis of a variable takes channels in: what follows is a sum over them."""
        self.reader.slot(variable, axis, "reads", labels)

    def carries(self, variable: Any, axis: int, labels: Array) -> None:
        """An axis of a variable goes along with channels: a bias, a scale, statistics."""
        self.reader.slot(variable, axis, "carries", labels)

    def join(self, first: Array, second: Array) -> None:
        """Channels that can only be removed together."""
        self.reader.labels.join(first, second, f"joined by {self.name} with what has no channels")

    def pin(self, traced: Traced, why: str, axes: Any = None) -> None:
        """Channels on some axes of a tensor, or on all, that cannot be removed, and why."""
        for axis in traced.axes if axes is None else axes:
            self.reader.labels.pin(traced.axes.get(axis % traced.rank, np.array([], int)), why)

    def sums(self, first: Traced, second: Traced, labels: Array) -> None:
        """Two tensors are multiplied and summed over channels: a variable among them reads."""
        if first.is_constant != second.is_constant:
            self.reader.acts(labels, "reads")
        else:
            self.reader.consumed.append(labels)

    def multiplies(self, kernel: Traced, labels: Array) -> None:
        """A tensor is multiplied by another whose channels the result gets: a kernel makes them."""
        if kernel.is_constant and not all(x.is_constant for x in self.inputs):
            self.reader.acts(labels, "makes")

    def scores(self, uses: int | None, *places: tuple[Any, int]) -> None:
        """Two tensors are multiplied, over what is left on some axes of variables.

        Args:
            uses: the multiply-adds of one entry of these axes, None if a length is unknown.
            places: pairs of a variable and an axis.
        """
        keys = [(id(variable), axis) for variable, axis in places]
        self.reader.scores.append(Scores(uses, keys))

    def as_many(self, *places: tuple[Any, int]) -> None:
        """As many indices stay on some axes of variables, whichever they are.

        Args:
            places: pairs of a variable and an axis. All are of one length.
        """
        self.reader.equal.append([(id(variable), axis) for variable, axis in places])

    def pads(self, labels: Array, merges: bool = False) -> None:
        """Channels get zeros at their edges, where a constant one would change.

        Args:
            labels: array of ints.
            merges: bool. Whether a kernel reads them there, so that one can stand for others.
        """
        self.reader.padded.append(labels)
        if not merges:
            self.reader.single.append(labels)

    def inner(self, layer: Any, inputs: list[Traced], outputs: list[Any]) -> list[Traced]:
        """Sends labels through a layer inside this one."""
        call = Call(layer, tuple(inputs), {}, outputs, self.reader)
        return self.reader.by_rule(call)


class Reader:
    """Reads a graph: the labels of its tensors and of its variables.

    Args:
        labels: `Labels`.
        slots: dict from a variable's `id` and an axis to its `Slot`.
        times: dict from a variable's `id` to how often one example uses each of its entries.
        operands: dict from labels to the slots of variables that operations are called with.
        consumed: list of labels that products of two tensors sum over.
        padded: list of labels of channels that get zeros at their edges.
        single: list of labels of those of them of which none can stand for another.
        scores: list of `Scores`.
        equal: list of lists of places, the `id` of a variable and an axis, where as many stay.
    """

    def __init__(self) -> None:
        self.labels = Labels()
        self.slots: dict[tuple[int, int], Slot] = {}
        self.times: dict[int, int | None] = {}
        self.operands: dict[int, tuple[int, int]] = {}
        self.consumed: list[Array] = []
        self.padded: list[Array] = []
        self.single: list[Array] = []
        self.scores: list[Scores] = []
        self.equal: list[list[tuple[int, int]]] = []

    def acts(self, labels: Array, role: str) -> None:
        """What variables do that operations are called with, by the labels that they brought."""
        for key in {self.operands[one] for one in labels.tolist() if one in self.operands}:
            self.slots[key].roles.add(role)

    def slot(self, variable: Any, axis: int, role: str, labels: Array | None = None) -> Array:
        """The labels of an axis of a variable, joined with others if there are any."""
        length = variable.shape[axis]
        key = (id(variable), axis % len(variable.shape))
        if labels is not None and len(labels) != length:
            raise ValueError(
                f"Expected {length} labels for axis {axis} of {path_of(variable)}. "
                f"Received: {len(labels)}"
            )
        if key not in self.slots:
            labels = self.labels.fresh(length) if labels is None else labels
            self.slots[key] = Slot(variable, key[1], labels, {role})
            return labels
        slot = self.slots[key]
        slot.roles.add(role)
        if labels is not None and labels is not slot.labels:
            self.labels.join(
                slot.labels, labels, f"joined in {path_of(variable)} with a fixed axis"
            )
        return slot.labels

    def _count(self, layer: Any, shapes: list[Any]) -> None:
        """Adds how often a call uses each weight of a layer for one example."""
        for owner, times in uses_of(layer, shapes).items():
            for variable in filter(is_kernel, owner.weights):
                before = self.times.get(id(variable), 0)
                known = [] if times is None or before is None else [before, times]
                self.times[id(variable)] = sum(known) if known else None

    def run(self, graph: Graph, inputs: list[Traced], name: str = "the model") -> list[Traced]:
        """Sends the labels of inputs through a graph."""
        found = {id(x): traced for x, traced in zip(graph.inputs, inputs, strict=True)}
        found.update((id(x), self._operand(variable)) for x, variable in graph.variables)
        for variable in graph.values:
            self._fix(variable, f"the code of {name} computes with its numbers")
        for node in graph.nodes:
            is_layer = isinstance(node.operation, keras.layers.Layer)

            def traced(value: Any, is_layer: bool = is_layer) -> Any:
                if id(value) in found:
                    return found[id(value)]
                return value if is_layer else self._operand(value)

            args, kwargs = tree.map_structure(traced, (node.args, node.kwargs))
            results = self.step(node, args, kwargs, [found[id(x)] for x in _tensors(node)])
            if is_layer:
                self._count(node.operation, [x.shape for x in _tensors(node)])
            found.update((id(x), one) for x, one in zip(node.outputs, results, strict=True))
        outputs = tree.flatten(graph.outputs)
        return [found[id(x)] if id(x) in found else _untraced(x) for x in outputs]

    def _operand(self, value: Any) -> Any:
        """A variable or array that an operation is called with."""
        if isinstance(value, keras.Variable):
            labels = {axis: self._shown(value, axis) for axis in range(len(value.shape))}
            return Traced(value.shape, labels, is_constant=True)
        if isinstance(value, np.ndarray) or keras.ops.is_tensor(value):
            return Traced(value.shape, is_constant=True)
        return value

    def _shown(self, variable: Any, axis: int) -> Array:
        """The labels on an axis of a variable that an operation is called with."""
        key = (id(variable), axis)
        is_new = key not in self.slots
        labels = self.slot(variable, axis, "carries")
        if is_new:
            self.operands.update(dict.fromkeys(labels.tolist(), key))
        return labels

    def _fix(self, variable: Any, why: str) -> None:
        """Nothing of a variable of weights can be removed."""
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            for axis in range(len(variable.shape)):
                self.labels.pin(self.slot(variable, axis, "carries"), why)

    def pin_unmade(self) -> None:
        """Pins what no layer makes or reads: indices of tables that code holds by itself."""
        if not self.operands:
            return
        roots, _ = self.labels.solve()
        is_made = np.zeros(len(roots), bool)
        for slot in self.slots.values():
            is_made[roots[slot.labels]] |= not slot.roles.isdisjoint(("makes", "reads"))
        for slot in self.slots.values():
            self.labels.pin(slot.labels[~is_made[roots[slot.labels]]], "no layer makes them")

    def step(self, node: Node, args: Any, kwargs: Any, tensors: list[Traced]) -> list[Traced]:
        """Sends labels through one call."""
        masks = {name: value for name, value in kwargs.items() if "mask" in name}
        others = {name: value for name, value in kwargs.items() if name not in masks}
        call = Call(node.operation, args, others, [x.shape for x in node.outputs], self)
        for traced in tree.flatten(masks):
            if isinstance(traced, Traced):
                call.pin(traced, f"used as a mask by {call.name}")
        try:
            if channels_rule(node.operation) is None:
                return self._inside(call, node, tensors)
            results = self.by_rule(call)
            is_layer = isinstance(node.operation, keras.layers.Layer)
            if not is_layer and all(one.is_constant for one in call.inputs):
                return [Traced(one.shape, one.axes, is_constant=True) for one in results]
            return results
        except NotReadableError as error:
            return self._closed(call, f"{call.name}: {error}")
        except Exception as error:  # What rules and layers of a user raise is not known here.
            return self._closed(call, f"{call.name} does not fit its rule ({error})")

    def by_rule(self, call: Call) -> list[Traced]:
        """Sends labels through a call by the rule of its layer."""
        rule = channels_rule(call.operation)
        if rule is None:
            raise NotReadableError("no rule for this layer")
        results = tree.flatten(rule(call))
        shapes = [one.shape for one in results]
        if not _agree(shapes, call.outputs):
            raise ValueError(f"results of shapes {shapes}, not {call.outputs}")
        return results

    def _inside(self, call: Call, node: Node, tensors: list[Traced]) -> list[Traced]:
        """Sends labels through the calls that a model or a layer makes."""
        symbolic = _tensors(node)
        if not isinstance(call.operation, keras.layers.Layer):
            raise NotReadableError("no rule for this operation")
        if is_graph(call.operation):
            if len(symbolic) != len(call.operation.inputs):
                raise NotReadableError("it is not called on its inputs alone")
            results = self.run(graph_of(call.operation, symbolic), tensors)
        else:
            once = dict(zip(map(id, symbolic), tensors, strict=True))
            graph = opened(call.operation, node)
            pairs = zip(once.values(), graph.inputs, strict=True)
            inputs = [self.in_shape(traced, x.shape) for traced, x in pairs]
            results = self.run(graph, inputs, call.name)
        if len(results) != len(call.outputs):  # Code may return None where no tensor is declared.
            results = [one for one in results if one is not None]
        pairs = zip(results, call.outputs, strict=True)
        return [Traced(shape) if one is None else self.in_shape(one, shape) for one, shape in pairs]

    def in_shape(self, traced: Traced, shape: Any) -> Traced:
        """The same channels on a tensor some of whose lengths are not known."""
        known = {axis: one for axis, one in traced.axes.items() if shape[axis] is not None}
        return Traced(shape, known)

    def _closed(self, call: Call, why: str) -> list[Traced]:
        """What is not understood: nothing that goes in can be removed, nor any of its variables."""
        for traced in call.inputs:
            call.pin(traced, why)
        for variable in getattr(call.operation, "variables", ()):
            self._fix(variable, why)
        return [Traced(shape) for shape in call.outputs]


def _untraced(value: Any) -> Any:
    """What code returns that depends on no call."""
    return None if value is None else Traced(value.shape)


def _tensors(node: Node) -> list[Any]:
    """The tensors that a call takes."""
    flat = tree.flatten((node.args, node.kwargs))
    return [value for value in flat if isinstance(value, keras.KerasTensor)]


def _agree(shapes: list[Any], expected: list[Any]) -> bool:
    """Whether the known lengths are the same."""
    return len(shapes) == len(expected) and all(
        len(one) == len(other)
        and all(a == b or None in (a, b) for a, b in zip(one, other, strict=True))
        for one, other in zip(shapes, expected, strict=True)
    )
