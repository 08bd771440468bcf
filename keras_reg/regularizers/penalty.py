"""Penalty: a value and a proximal operator."""

import abc
import copy
import inspect
import numbers
import reprlib
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import keras
import numpy as np

from keras_reg import schedules
from keras_reg.ops import arrays as ops
from keras_reg.ops.backend import compiled, read
from keras_reg.ops.grouping import Grouping
from keras_reg.ops.norms import reduced_axes
from keras_reg.structure import Layout
from keras_reg.structure.layout import ambiguous, layout_from_path, plain_layout


class Penalty(keras.regularizers.Regularizer, abc.ABC):
    """Abstract base of every penalty: strength * Omega(w).

    Its value joins the loss when the penalty is a layer's `kernel_regularizer`; its proximal
    operator acts after each update when it is given to `keras_reg.optimizers.Proximal`.

    A penalty never changes after it is made: make another one.

    A subclass writes `_omega` and what else it has: `_omega_prox`, which makes it `proximable`,
    `_max_strength`, `_stationarity`, and `get_config` if it takes more arguments; `check_shape` if
    some shapes do not suit it; and `_gradient` to be cheaper in a loss than what the backend
    derives from `_omega` (a step with an L1 takes 1.14 to 1.25 times as long with that, one with
    GroupLInf 1.35 to 1.5). One whose gradient is of no use in a loss sets `_gradient = None` and is
    not `differentiable`. One that XLA handles badly sets `compilable = False`, one whose prox takes
    far longer than an update `fusible = False`. A `group_axis` may be "outputs" or "inputs": those
    methods see numbers in its place, as `placed` gives them.

    Args:
        strength: float >= 0, or a schedule (only inside `Proximal`).
    Shapes: w: any rank. value: (), float32. prox: as w, same dtype.
    Raises: ValueError if strength is negative or not finite.
    Reference: Parikh & Boyd, "Proximal Algorithms", 2014.
    """

    differentiable: bool
    proximable: bool
    compilable = True
    fusible = True  # Programs apart, one for each variable, TensorFlow runs side by side.
    # Whether `Proximal` hands it all variables of its rule at once, grouped as `together` says.
    spans_variables = False
    # Whether it acts on groups of weights of several variables.
    groupable: bool
    # Whether zeros stay between two proximal steps, with `Proximal(..., every=k)`.
    holds_zeros = False
    # Whether its values are written in `keras_reg.ops.arrays`, to be had from NumPy.
    is_in_numpy = False
    # Whether weights of a shape that does not suit are left as they are, among others that suit.
    skip_unfit = False
    _axis_argument = "group_axis"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.differentiable = cls._gradient is not None
        cls.proximable = cls._omega_prox is not Penalty._omega_prox
        cls.groupable = cls._prox_of_groups is not Penalty._prox_of_groups

    def __init__(self, strength: schedules.Value = 0.01):
        self._strength = schedules.check_value(strength, "strength", at_least=0)
        self._placed: dict[Any, Penalty] = {}

    @property
    def strength(self) -> schedules.Checked:
        """The factor of Omega: a float, or a schedule."""
        return self._strength

    def __call__(self, w: Any) -> Any:
        """strength * Omega(w) for a loss, a float32 scalar whose gradient is finite everywhere."""
        if not self.differentiable:
            raise ValueError(
                f"Expected a penalty with a useful gradient in a layer or a loss. Received: {self},"
                " which acts through its proximal operator alone: give it to "
                "`keras_reg.optimizers.Proximal`"
            )
        return self.value(w)

    def value(self, w: Any) -> Any:
        """strength * Omega(w), a float32 scalar.

        Args:
            w: `keras.Variable` or float tensor.
        """
        strength = self._constant_strength("outside of Proximal")
        tensor, placed = self._on(w)
        return _omega_of(placed, tensor) * strength

    def prox(self, w: Any, step: Any, iteration: Any = None) -> Any:
        """argmin_u 0.5 * ||u - w||**2 + step * strength * Omega(u), in w's shape and dtype.

        Args:
            w: float tensor.
            step: float or scalar tensor >= 0. A step of 0 returns `w` exactly. In a tensor, a
                negative number or NaN counts as 0, and so it does in the value of a schedule.
            iteration: integer scalar, where the strength is a schedule.
        """
        self.check_proximable()
        w, placed = self._on(w)
        check_step(step, tuple(w.shape))
        wide = widen(w)
        scale = self._scale(step, iteration, wide.dtype)
        return ops.cast(placed._omega_prox(wide, scale), w.dtype)

    def prox_of_groups(
        self, ws: Sequence[Any], grouping: Grouping, step: Any, iteration: Any = None
    ) -> list[Any]:
        """`prox` over groups of weights of several variables, each in its shape and dtype.

        Args:
            ws: float tensors.
            grouping: `keras_reg.ops.Grouping`. Which of their weights form each group.
            step: as `prox` takes it.
            iteration: as `prox` takes it.
        Raises: ValueError if the penalty is not `groupable`.
        """
        self.check_groupable()
        check_step(step)
        shrunk = self._prox_of_groups(widen_all(ws), grouping, step, iteration)
        return [ops.cast(x, w.dtype) for x, w in zip(shrunk, ws, strict=True)]

    def max_strength(self, gradient: Any) -> float:
        """Smallest strength at which zero is a stationary point.

        Args:
            gradient: gradient of the loss at w = 0, in w's shape.
        Raises: NotImplementedError if it is not defined.
        """
        gradient, placed = self._on(gradient)
        return placed._max_strength(gradient)

    def stationarity(self, w: Any, gradient: Any) -> Any:
        """Distance from -gradient to the subdifferential at `w`, for each group: 0 at an optimum.

        Args:
            w: float tensor.
            gradient: gradient of the loss, without the penalty, at `w`.
        Raises: NotImplementedError if it is not defined.
        """
        w, placed = self._on(w)
        strength = self._constant_strength("in stationarity")
        return placed._stationarity(w, float_tensor(gradient), strength)

    @property
    def needs_layout(self) -> bool:
        """Whether what this penalty does depends on which axes are outputs and inputs."""
        return isinstance(getattr(self, self._axis_argument, None), str)

    def placed(self, layout: Layout, path: str = "") -> Self:
        """This penalty for weights of a layout: the axes it names "outputs" or "inputs" as numbers.

        Args:
            layout: `keras_reg.structure.Layout`. What the axes of the weight index.
            path: the variable's path, for the error.
        Raises: ValueError if the weight has no such axes.

        Example:
            >>> from keras_reg.regularizers import GroupLasso
            >>> depthwise = Layout((3, 3, 8, 1), shared=(2,), rest=(0, 1), outputs=(3,))
            >>> GroupLasso(0.1, group_axis="outputs").placed(depthwise).group_axis
            (2, 3)
        """
        if not self.needs_layout:
            return self
        axes = self._axes_in(layout)
        if not axes:
            raise ValueError(
                f"Expected {path or 'a weight'} of shape {layout.shape} to have "
                f"{getattr(self, self._axis_argument)}. Received: {self}"
            )
        # One object for the same axes: what is compiled for one weight serves the others.
        if axes not in self._placed:
            self._placed[axes] = copy.copy(self)
            setattr(self._placed[axes], self._axis_argument, axes)
        return self._placed[axes]

    def placed_by_path(self, shape: tuple[int, ...], path: str) -> "Penalty":
        """This penalty for a weight of which no more than its shape and path is known.

        Without a path, which a bare tensor has not, "outputs" is axis -1 and "inputs" axis -2.

        Raises: ValueError if the layout is not clear.
        """
        if not self.needs_layout:
            return self
        layout = layout_from_path(path, shape) if path else plain_layout(shape)
        if layout is None:
            raise ValueError(ambiguous([path]))
        return self.placed(layout, path)

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        """Raises ValueError, which names the variable, if weights of this shape do not suit."""
        reduced_axes(shape, getattr(self, "group_axis", None), path)

    def check_proximable(self) -> None:
        """Raises ValueError if the penalty has no proximal operator."""
        if not self.proximable:
            raise ValueError(
                f"Expected a penalty with a proximal operator. Received: {self}, which has none: "
                "put it in a layer's `kernel_regularizer`"
            )

    def check_groupable(self) -> None:
        """Raises ValueError if the penalty does not act on groups that span variables."""
        if not self.groupable:
            raise ValueError(
                "Expected a penalty that acts on the norms of groups, as GroupLasso, MCP, "
                f"SparseGroupLasso and TopK do. Received: {self}"
            )

    def check_grouping(self, grouping: Grouping) -> None:
        """Raises ValueError if these groups do not suit."""
        self.check_groupable()

    def with_strength(self, strength: float) -> Self:
        """This penalty with another strength."""
        return type(self).from_config({**self.get_config(), "strength": strength})

    def get_config(self) -> dict:
        return {"strength": schedules.serialize(self.strength)}

    def __repr__(self) -> str:
        kept = filter(partial(hasattr, self), inspect.signature(type(self)).parameters)
        arguments = ", ".join(f"{name}={_shown(getattr(self, name))}" for name in kept)
        return f"{type(self).__name__}({arguments})"

    @abc.abstractmethod
    def _omega(self, w: Any) -> Any:
        """Omega(w), a float32 scalar, from a float32 tensor."""

    def _gradient(self, w: Any) -> Any:
        """Gradient of Omega, zero at zero, from a float32 tensor; None: the backend derives it."""
        return None

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        """argmin_u 0.5 * ||u - w||**2 + scale * Omega(u), from a float32 or float64 tensor."""
        raise NotImplementedError(f"The proximal operator is not defined for {self}")

    def _prox_of_groups(
        self, ws: list[Any], grouping: Grouping, step: Any, iteration: Any
    ) -> list[Any]:
        """`prox_of_groups` of float32 or float64 tensors of one dtype."""
        raise NotImplementedError(f"Groups that span variables are not defined for {self}")

    def _omega_of_groups(self, ws: list[Any], grouping: Grouping) -> Any:
        """Omega over groups of float tensors of one dtype."""
        raise NotImplementedError(f"Groups that span variables are not defined for {self}")

    def _scale(self, step: Any, iteration: Any, dtype: Any) -> Any:
        """step * strength."""
        if iteration is None:
            strength = self._constant_strength("in prox(w, step) without an iteration")
        else:
            strength = schedules.evaluate(self.strength, iteration, at_least=0.0)
        scale = ops.cast(step, dtype) * ops.cast(strength, dtype)
        # A negative step or scale of strengths would make weights grow.
        return ops.where(ops.greater(scale, 0), scale, ops.zeros_like(scale))

    def _max_strength(self, gradient: Any) -> float:
        """`max_strength` from a float tensor."""
        raise NotImplementedError(f"max_strength is not defined for {self}: its docstring says why")

    def _stationarity(self, w: Any, gradient: Any, strength: float) -> Any:
        """`stationarity` from float tensors."""
        raise NotImplementedError(f"stationarity is not defined for {self}: its docstring says why")

    def _axes_in(self, layout: Layout) -> tuple[int, ...]:
        """The axes that the name given to this penalty stands for."""
        return layout.axes(getattr(self, self._axis_argument))

    def _on(self, w: Any) -> tuple[Any, "Penalty"]:
        """A weight as a tensor, and this penalty placed on it and checked against its shape."""
        tensor = float_tensor(w)
        placed = self.placed_by_path(tuple(tensor.shape), getattr(w, "path", ""))
        placed.check_shape(tuple(tensor.shape), getattr(w, "path", ""))
        return tensor, placed

    def _constant_strength(self, where: str) -> float:
        if isinstance(self.strength, keras.optimizers.schedules.LearningRateSchedule):
            raise ValueError(
                f"Expected a float `strength` {where}: only `keras_reg.optimizers.Proximal` knows "
                "the iteration that a schedule needs. Received: "
                f"strength={schedules.shown(self.strength)}"
            )
        return self.strength


def _shown(value: Any) -> str:
    value = value.tolist() if hasattr(value, "tolist") else value
    # An array may be as large as a kernel.
    return reprlib.repr(value) if isinstance(value, list) else schedules.shown(value)


def check_step(step: Any, shape: tuple[int, ...] = ()) -> None:
    """Raises: ValueError if a step is known and not a finite number >= 0, or has more axes.

    Args:
        step: number, tensor, or a list of tensors.
        shape: that of the weight.

    Example:
        >>> check_step(0.1)
    """
    if step is None or isinstance(step, (str, numbers.Real, np.generic)):
        schedules.check_number(step, "step", at_least=0)
    if len(getattr(step, "shape", ())) > len(shape):
        raise ValueError(
            f"Expected `step` to be a number. Received: a step of shape {tuple(step.shape)} for a "
            f"weight of shape {shape}"
        )


def float_tensor(w: Any) -> Any:
    """Returns a weight as a tensor.

    Raises: TypeError if it is no variable, tensor or array; ValueError if it holds no floats.

    Example:
        >>> tuple(float_tensor([1.0, 2.0]).shape)
        (2,)
    """
    try:
        tensor = read(w)
    except Exception as error:  # Each backend has its own.
        raise TypeError(
            f"Expected a weight: a variable, a tensor or an array. Received: {w!r}"
        ) from error
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if "float" not in dtype:
        raise ValueError(f"Expected weights of a float dtype. Received: dtype={dtype}")
    return tensor


def _omega_of(penalty: Penalty, w: Any) -> Any:
    """Omega(w), with the gradient that the penalty writes, if it does."""
    value_of, gradient_of = _compiled if penalty.compilable else _IN_A_LOSS
    if type(penalty)._gradient is Penalty._gradient:
        return value_of(penalty, w)

    @ops.custom_gradient
    def omega(w: Any) -> Any:
        value = value_of(penalty, w)

        def pull_back(*arguments: Any, upstream: Any = None) -> Any:
            upstream = arguments[0] if upstream is None else upstream
            return gradient_of(penalty, w, upstream, value)

        return value, pull_back

    return omega(w)


def _narrow_omega(penalty: Penalty, w: Any) -> Any:
    return penalty._omega(ops.cast(w, "float32"))


def _pulled_back(penalty: Penalty, w: Any, upstream: Any, value: Any) -> Any:
    # The gradient waits for the value: XLA would copy a variable that it might read after its
    # update. It takes an L1 or MCP in the loss on JAX from 1.04 or 1.05 of a bare step to 1.02.
    scale = ops.where(ops.isnan(value), value, ops.cast(upstream, "float32"))
    return ops.cast(scale * penalty._gradient(ops.cast(w, "float32")), w.dtype)


_IN_A_LOSS = (_narrow_omega, _pulled_back)
# TensorFlow's default path runs one operation at a time outside of a program.
_compiled = tuple(compiled(part, static_argnums=(0,)) for part in _IN_A_LOSS)


def widen(w: Any) -> Any:
    """A float tensor as float32, the least that a proximal operator computes in; float64 as it is.

    Example:
        >>> keras.backend.standardize_dtype(widen(ops.ones((2,), "float16")).dtype)
        'float32'
    """
    is_double = keras.backend.standardize_dtype(w.dtype) == "float64"
    return w if is_double else ops.cast(w, "float32")


def widen_all(ws: Sequence[Any]) -> list[Any]:
    """Float tensors in the widest of the dtypes that `widen` gives them.

    Example:
        >>> wide = widen_all([ops.ones((2,), "float16"), ops.ones((1,), "float32")])
        >>> [keras.backend.standardize_dtype(w.dtype) for w in wide]
        ['float32', 'float32']
    """
    wide = [widen(w) for w in ws]
    dtypes = {keras.backend.standardize_dtype(w.dtype) for w in wide}
    return wide if len(dtypes) == 1 else [ops.cast(w, "float64") for w in wide]
