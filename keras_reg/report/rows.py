"""What is known of one weight and of one layer: every figure of a weight is one `column` here."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_reg.structure.graph import product

# The N:M patterns that are counted: at most n of every m consecutive inputs are not zero.
PATTERNS = ((1, 4), (2, 4), (4, 8))


class Column(NamedTuple):
    """A figure of a weight.

    Args:
        of: makes it from a `Kernel` and its `Counts`.
        heading: str or None. Its column in tables; None: it is in none.
        show: makes its text from the rows that a line stands for, one or more.
        reduction: where it needs a reading of the weights of its own: the name of a reduction,
            "max", "min" or "sum", and a function of `numpy` or `keras.ops` and the weights, element
            by element. The result is in `Counts.figures`, under the figure's name.
    """

    of: Callable[[Any, Any], Any]
    heading: str | None = None
    show: Callable[[Any], str] | None = None
    reduction: tuple[str, Callable[[Any, Any], Any]] | None = None


def column(of: Callable, default: Any = dataclasses.MISSING, **display: Any) -> Any:
    """A field of `WeightSparsity` with what makes it and shows it."""
    return dataclasses.field(default=default, metadata={"column": Column(of, **display)})


def _left(kernel: Any, counts: Any) -> int:
    layout, shared = kernel.layout, kernel.layout.length(kernel.layout.shared)
    inputs, outputs = (
        side.reshape(shared, -1).sum(axis=1) for side in (counts.inputs, counts.outputs)
    )
    return layout.length(layout.rest) * int(np.sum(inputs * outputs))


def _compliance(kernel: Any, counts: Any) -> dict[str, float]:
    blocks = {pattern: kernel.size // int(pattern.split(":")[1]) for pattern in counts.full}
    return {p: fraction(blocks[p] - more, blocks[p]) for p, more in counts.full.items()}


def _of_all(zero: str, whole: str) -> Callable[[Any], str]:
    def show(rows: Any) -> str:
        return "{:,}/{:,}".format(*(sum(getattr(row, n) for row in rows) for n in (zero, whole)))

    return show


@dataclasses.dataclass(frozen=True)
class WeightSparsity:
    """One row of a `SparsityTable`: a weight and its zeros.

    A group of weights is those that read one input (a feature, channel or row), or those that write
    one output (a unit, filter or column). Axis -2 counts inputs and axis -1 outputs, but in a
    transposed convolution the other way round; in a depthwise convolution each pair of a channel
    and a multiple is an output; in EinsumDense, and so in attention, the equation tells.

    Args:
        path: str. The variable's path.
        shape: tuple of ints.
        zeros: int. Exact zeros.
        zero_inputs: int. Groups by input that are all zero.
        zero_outputs: int. Groups by output that are all zero.
        inputs: int. Groups by input; 0: the length of axis -2.
        outputs: int. Groups by output; 0: the length of axis -1.
        near_zeros: int. Weights, without exact zeros, with |w| <= tolerance * max|w|.
        left: int or None. Weights left if the zero groups were removed from this weight alone.
        macs: int or None. Multiply-adds with this weight for one example; None: not known.
        macs_left: int or None. Multiply-adds left if the zero groups were removed.
        compliance: dict from `"n:m"` to the fraction of blocks of m inputs that have at most n
            weights that are not zero. A pattern whose m does not divide the inputs is missing.
        penalty: float or None. Value of the penalties on it, in the loss and in `Proximal`.
        churn: float or None. Fraction of its weights that became zero or ceased to be since the
            last report of a `SparsityReport`.
        stationarity: float or None. Largest distance of a group from its optimality condition.
        accidental: int or None. Groups of the penalty that are zero though the gradient would move
            them: zeros by accident. A zero that the penalty holds has the distance 0.
        invalid: int. Weights that are NaN or infinite.
        largest: float or None. Size of the largest weight that is finite.
    """

    path: str
    shape: tuple[int, ...]
    zeros: int = column(lambda kernel, counts: kernel.size - counts.alive)
    zero_inputs: int = column(
        lambda kernel, counts: int(np.sum(~counts.inputs)),
        heading="zero\ninputs",
        show=_of_all("zero_inputs", "inputs"),
    )
    zero_outputs: int = column(
        lambda kernel, counts: int(np.sum(~counts.outputs)),
        heading="zero\noutputs",
        show=_of_all("zero_outputs", "outputs"),
    )
    inputs: int = column(lambda kernel, counts: len(counts.inputs), 0)
    outputs: int = column(lambda kernel, counts: len(counts.outputs), 0)
    near_zeros: int = column(lambda kernel, counts: counts.near, 0)
    left: int | None = column(_left, None)
    macs: int | None = column(lambda kernel, counts: product((kernel.size, kernel.uses)), None)
    macs_left: int | None = column(
        lambda kernel, counts: product((_left(kernel, counts), kernel.uses)), None
    )
    compliance: dict[str, float] = dataclasses.field(
        default_factory=dict, metadata={"column": Column(_compliance)}
    )
    penalty: float | None = None
    churn: float | None = column(
        lambda kernel, counts: None if counts.changed is None else counts.changed / kernel.size,
        None,
    )
    stationarity: float | None = None
    accidental: int | None = None
    invalid: int = column(lambda kernel, counts: counts.invalid, 0)
    largest: float | None = column(
        lambda kernel, counts: counts.figures["largest"],
        None,
        heading="largest",
        show=lambda rows: f"{max(row.largest or 0.0 for row in rows):.3g}",
        reduction=("max", lambda numpy, w: numpy.abs(w)),
    )

    def __post_init__(self):
        if not self.inputs and not self.outputs:
            object.__setattr__(self, "inputs", self.shape[-2])
            object.__setattr__(self, "outputs", self.shape[-1])

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def sparsity(self) -> float:
        """Fraction of exact zeros."""
        return fraction(self.zeros, self.size)


@dataclasses.dataclass(frozen=True)
class LayerSparsity:
    """A layer as its model names it, with the layers inside it.

    Args:
        path: str. The layer's path.
        kind: str. Its class.
        weights: tuple of str. The paths of its rows.
        parameters: int. All its parameters, biases and statistics too.
        size: int. Parameters in its rows.
        zeros: int. Exact zeros in its rows.
        left: int or None. Parameters left if the zero groups of its rows were removed.
        units: int. Units, filters or channels for which it is known which weights make them.
        dead_units: int. Those whose kernel column and bias are all zero, and the scale of a batch
            normalization that comes directly after too.
        heads: int. Attention heads.
        zero_heads: int. Heads that add nothing: their value kernel and bias are all zero, or their
            part of the output kernel.
        macs: int or None. Multiply-adds for one example; None: not known.
        macs_left: int or None. Those left if zero groups, and zero heads, were removed.
        penalty: float or None. Value of the penalties on all its parameters.
    """

    path: str
    kind: str
    weights: tuple[str, ...] = ()
    parameters: int = 0
    size: int = 0
    zeros: int = 0
    left: int | None = None
    units: int = 0
    dead_units: int = 0
    heads: int = 0
    zero_heads: int = 0
    macs: int | None = None
    macs_left: int | None = None
    penalty: float | None = None

    @property
    def sparsity(self) -> float:
        """Fraction of exact zeros."""
        return fraction(self.zeros, self.size)


def fraction(part: int, whole: int) -> float:
    """part / whole, 0.0 of nothing.

    Example:
        >>> fraction(1, 4), fraction(0, 0)
        (0.25, 0.0)
    """
    return part / whole if whole else 0.0


COLUMNS: dict[str, Column] = {
    field.name: field.metadata["column"]
    for field in dataclasses.fields(WeightSparsity)
    if "column" in field.metadata
}
REDUCTIONS = {name: one.reduction for name, one in COLUMNS.items() if one.reduction is not None}


def row_of(kernel: Any, counts: Any) -> WeightSparsity:
    """The row of a `Kernel` from its `Counts`."""
    figures = {name: one.of(kernel, counts) for name, one in COLUMNS.items()}
    return WeightSparsity(kernel.path, kernel.layout.shape, **figures)
