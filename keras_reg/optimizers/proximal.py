"""Proximal: any Keras optimizer, with a proximal step after each of its updates."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.keras_private import keys_of, variables_of
from keras_reg.ops.backend import read
from keras_reg.ops.updates import compiled_in_graph
from keras_reg.optimizers.latent import Latent, check_latent
from keras_reg.optimizers.metrics import check_metric, diagonal_of
from keras_reg.optimizers.restarting import restart
from keras_reg.optimizers.rules import Entry, Rules, with_channels
from keras_reg.optimizers.shown import shown
from keras_reg.optimizers.step_length import (
    MomentumTravel,
    StepLength,
    check_momentum,
    steady_length,
)
from keras_reg.optimizers.steps import ELEMENTWISE, Part, warn_of_regularizers
from keras_reg.optimizers.support import update_on_support
from keras_reg.optimizers.wrapper import Wrapper
from keras_reg.optimizers.zeros import AllZeroWarning
from keras_reg.regularizers.penalty import Penalty
from keras_reg.regularizers.top_k import TopK
from keras_reg.structure import is_kernel, path_of


@keras.saving.register_keras_serializable("keras_reg")
class Proximal(Wrapper):
    """Wraps an optimizer so that its penalties make weights exactly zero.

    After each update of the wrapped optimizer, w <- prox(w, step). The step is the learning rate,
    or, for SGD and RMSprop with momentum, how far this update moves a weight whose gradient has
    been 1 all along: near learning_rate / (1 - momentum) at a steady rate. The penalty takes no
    part in the loss or its gradient: adaptive optimizers do not rescale it, as with the decoupled
    weight decay of AdamW, and the loss in the logs is the model's alone.

    `metric="euclidean"` takes the proximal step in the plain Euclidean metric, whatever the
    optimizer. With SGD that is the optimizer's own, and training ends where loss + penalty is
    stationary. Adam and its kin divide the gradient of weight i by d_i, for Adam sqrt(v_i) +
    epsilon, and the penalty is not divided: training ends at a point of loss + sum_i d_i *
    strength * phi(w_i), which is to say that strength is in units of the gradient's size.
    `metric="adaptive"` takes the proximal step in the optimizer's own diagonal metric, with the
    step learning_rate / d_i for weight i. Then loss + penalty is stationary as written. That is for
    penalties of single weights inside Adam, AdamW, Nadam, Adamax, RMSprop or Adagrad, and for
    `TopK`, which then ranks weights by |w_i| * sqrt(d_i) instead of |w_i|: a small weight that the
    loss depends on stays, a large one that it does not depend on goes. At high sparsities that
    costs the least accuracy of all that was tried.

    The proximal step acts on every variable that is given to `apply` (`fit` gives all trainable
    ones), whether or not the loss depends on it: where it does not, the gradient is zero and the
    penalty alone decides. To leave a weight as it is, freeze it.

    Averages of the weights (`use_ema`) are taken after the proximal step and are zero where the
    weights are: the average of a weight is that since it was last zero.

    Args:
        optimizer: a `keras.optimizers.Optimizer`, or its name. A `LossScaleOptimizer` goes round
            `Proximal`, not inside (`model.compile` puts it there by itself).
        penalties: one `Penalty`, which acts on every kernel and embedding matrix and never on
            biases or normalization; or a dict from regular expressions to penalties. A pattern
            names a variable if it matches (`re.fullmatch`) the variable's path or its end after a
            slash: `"dense/kernel"` names `sequential/dense/kernel`. `keras_reg.channels(model)`, or
            a selection of it, in a pattern's place names channels: the penalty's groups are then
            whole channels, over all variables that they span. Those that are pinned are left out.
        every: int >= 1. The proximal step comes after every k-th update and is k times as long; no
            time is spent on it in between. What `TopK` and `NM` made zero stays zero until their
            next step, which chooses among all weights as the last update left them; the zeros of
            other penalties do not stay.
        metric: "euclidean" or "adaptive". The metric of the proximal step, see above.
        latent: bool. What `TopK` and `NM` make zero is zero in the model alone: its updates go on
            out of sight, and it comes back with what they made of it once it ranks high enough. It
            takes one array more for each variable, until the support is fixed.
        name: str. The optimizer's name.
        model: the `keras.Model` that it trains; it may be built later. With it "outputs" and
            "inputs" in penalties mean the right axes of every layer. Without it they do where path
            and shape leave no doubt, and others are an error that lists them.
    Raises:
        TypeError: at construction if `optimizer` is no Keras optimizer, `penalties` no penalties,
            `model` no model or `latent` no bool.
        ValueError: at construction if `every` or `metric` is out of range; when it is built
            (`fit` does it), or in its first update if it was loaded or there was no trainable
            variable, if a pattern matches nothing, if two match one variable, if a variable has a
            `kernel_regularizer` of this package too, if a penalty does not fit a variable's shape,
            if none of the channels can become zero, if there is no adaptive step for it, or if a
            momentum is 1.
    Warns: then, if a variable has a `kernel_regularizer` of Keras too, and of channels made by
        several kernels of which some are frozen: they are left out.
    Reference: Duchi & Singer, "Efficient Online and Batch Learning Using Forward Backward
        Splitting", JMLR 2009; Loshchilov & Hutter, ICLR 2019, for the decoupling; Yun, Lozano &
        Yang, "A General Family of Stochastic Proximal Gradient Methods for Deep Learning", 2020,
        for the adaptive step; Lin et al., "Dynamic Model Pruning with Feedback", ICLR 2020, for
        `latent`.

    Example:
        >>> from keras_reg import regularizers
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> optimizer = Proximal(keras.optimizers.Adam(1e-3), regularizers.L1(1e-4))
        >>> model.compile(optimizer, loss="mse")
        >>> type(optimizer.inner_optimizer).__name__
        'Adam'
    """

    def __init__(
        self,
        optimizer: Any,
        penalties: Penalty | Mapping[Any, Penalty],
        every: int = 1,
        metric: str = "euclidean",
        name: str | None = None,
        model: Any = None,
        latent: bool = False,
    ):
        super().__init__(optimizer, name=name)
        self._every = schedules.check_count(every, "every", at_least=1)
        self._metric = check_metric(metric)
        self._rules = Rules(penalties, model)
        self._is_latent = check_latent(latent, self._rules.each)
        for penalty in self._rules.each:
            penalty.check_proximable()
        self._plan = _Plan(())
        self._all_zero = AllZeroWarning()
        self._strength_scale = self._add_scalar("strength_scale", 1.0)
        self._support_fixed = self._add_scalar("support_fixed", 0.0)
        # The same, known when a step is compiled.
        self._is_fixed = False
        self._notice_assignments()
        self._penalized: set = set()
        self._momentum_travel = MomentumTravel()
        self._latent = Latent()

    @property
    def penalties(self) -> Penalty | dict[Any, Penalty]:
        """The penalties, as they were given."""
        return self._rules.penalties

    @property
    def every(self) -> int:
        """The updates from one proximal step to the next, as they were given."""
        return self._every

    @property
    def metric(self) -> str:
        """The metric of the proximal step, as it was given."""
        return self._metric

    @property
    def latent(self) -> bool:
        """Whether updates of pruned weights go on, as it was given."""
        return self._is_latent

    @property
    def strength_scale(self) -> Any:
        """A variable that multiplies every strength, 1 at the start. Assign a number to set it.

        Setting it to anything but a finite number >= 0 raises ValueError. In the compiled step, a
        negative value or NaN counts as 0.

        A change takes effect in the compiled step, as one of the learning rate does: at once, or
        for JAX's `fit` when an epoch begins. A callback that acts within an epoch there calls
        `model.jax_state_sync()` first. `TopK` and `NM` have no strength: only 0 changes what they
        do, and turns them off.
        """
        return self._strength_scale

    @strength_scale.setter
    def strength_scale(self, value: Any) -> None:
        value = schedules.check_number(value, "strength_scale", at_least=0)
        self._strength_scale.assign(value)

    @property
    def support_is_fixed(self) -> bool:
        """Whether `fix_support` was called, on this optimizer or the one it was loaded from."""
        return self._is_fixed

    def fix_support(self) -> None:
        """Drops the penalties for good: what is zero stays zero, and the rest trains without them.

        `strength_scale` becomes 0 and the optimizer inside is as if it were new, except for a
        learning rate that is a number. `keras_reg.callbacks.Refit` calls it within `fit`. A step
        that was compiled before has no penalty either, but does not hold the zeros:
        `model.make_train_function(force=True)` compiles another.
        """
        for member in self._members():
            if member.built:
                restart(member)
        self._latent.clear()
        self.strength_scale = 0.0
        self._support_fixed.assign(1.0)

    def take_rules(self, rules: Rules) -> None:
        """Acts by other rules, which its build checks: those of another model."""
        self._rules = rules
        self._is_from_config = False

    def _notice_assignments(self) -> None:
        """Follows `support_fixed` whoever assigns to it: `OrbaxCheckpoint`'s files are read so."""
        assign = self._support_fixed.assign

        def noticed(value: Any) -> Any:
            result = assign(value)
            self._is_fixed = bool(ops.convert_to_numpy(self._support_fixed))
            return result

        self._support_fixed.assign = noticed

    def resolve(self, variables: Iterable[Any]) -> list[tuple[Penalty, Any]]:
        """The pairs of a penalty and a variable that this optimizer acts on.

        Args:
            variables: a model's trainable variables. Once the optimizer is built, those that are
                not its own (a `MultiOptimizer` has others for them) are left out.
        Raises: ValueError if the penalties do not fit the variables.
        """
        return self._rules.resolve(self._own(variables))

    def entries(self, variables: Iterable[Any]) -> list[Entry]:
        """What `resolve` gives, where a penalty spans several variables all of them in one.

        Args:
            variables: as `resolve` takes them.
        """
        return self._rules.entries(self._own(variables))

    def step_of(self, variable: Any) -> tuple[float, int]:
        """How long a proximal step is at the learning rate of now, and after how many batches.

        With a momentum: once it has come up to speed.

        Args:
            variable: a variable on which a penalty acts.
        """
        owner = self._owner(variable)
        batches = self.every * (owner.gradient_accumulation_steps or 1)
        return steady_length(owner) * self.every, batches

    def _own(self, variables: Iterable[Any]) -> list[Any]:
        variables = list(variables)
        if not self.built:
            return variables
        own, keys = set(keys_of(self, variables_of(self))), keys_of(self, variables)
        return [v for v, key in zip(variables, keys, strict=True) if key in own]

    def left_out(self, variables: Iterable[Any]) -> list[str]:
        """The paths of weights of rank 2 or more on which no penalty acts.

        Args:
            variables: a model's trainable variables.
        """
        return self._rules.left_out(variables)

    def finalize_variable_values(self, var_list: Any) -> None:
        """What the wrapped optimizer does when training ends; warns of variables lost to zero."""
        super().finalize_variable_values(var_list)
        self.warn_of_zeros()

    def warn_of_zeros(self) -> None:
        """Warns of penalized variables whose weights are all zero, once of each.

        Keras's `fit` calls it at its end.
        """
        pairs = [
            (part.penalty, v)
            for part in self._plan.parts
            for v in part.variables
            # A bias next to a normalization, say, is zero all along.
            if part.grouping is None or is_kernel(v)
        ]
        self._all_zero(pairs, self.inner_optimizer)

    def _own_variables(self) -> dict[str, Any]:
        own = {"strength_scale": self._strength_scale, "support_fixed": self._support_fixed}
        return {**own, **self._momentum_travel.by_name(), **self._latent.by_name()}

    def build(self, variables: Iterable[Any]) -> None:
        """Builds the wrapped optimizer, and what the proximal step keeps for each momentum."""
        super().build(variables)
        self._momentum_travel.add(self._members(), self._add_scalar)
        if self.latent:
            pruned = self._rules.pruned(variables_of(self))
            self._latent.add(keys_of(self, pruned), pruned, self.add_like)

    def _find(self, variables: list[Any]) -> list[Any]:
        parts = [self._part(entry) for entry in self._rules.entries(variables)]
        self._rules.warn_of_frozen(variables)
        self._plan = _Plan(parts)
        warn_of_regularizers(parts)
        corrected = [variable for part in parts for variable in part.variables]
        self._penalized = set(keys_of(self, corrected))
        return corrected

    def _part(self, entry: Entry) -> Part:
        penalty, variables, grouping = entry
        owner = self._owner(variables[0])
        check_momentum(owner)
        if grouping is not None:
            self._check_spanning(entry)
        is_diagonal = self.metric == "adaptive"
        each = variables if is_diagonal else ()
        diagonals = tuple(diagonal_of(owner, penalty, variable) for variable in each)
        return Part(penalty, variables, owner, diagonals, grouping)

    def _check_spanning(self, entry: Entry) -> None:
        paths = [path_of(variable) for variable in entry.variables]
        if len({id(self._owner(variable)) for variable in entry.variables}) > 1:
            raise ValueError(
                "Expected one optimizer for all variables on which a penalty acts together. "
                f"Received several for {entry.penalty} on {', '.join(paths)}"
            )
        if self.metric == "adaptive" and not isinstance(entry.penalty, TopK):
            raise ValueError(
                'Expected `metric="euclidean"` with a penalty other than TopK that acts on several '
                f"variables together. Received: metric={self.metric!r}, {entry.penalty} on "
                f"{', '.join(paths)}"
            )

    def _update(self, grads: list[Any], variables: list[Any]) -> None:
        if self._is_fixed:
            update_on_support(self.inner_optimizer, grads, variables, self._penalized)
            return
        is_fusible = type(self.inner_optimizer) in ELEMENTWISE and all(
            part.penalty.compilable and part.penalty.fusible for part in self._plan.parts
        )
        if is_fusible:
            compiled_in_graph(lambda grads: self._update_and_shrink(grads, variables), grads)
        else:
            self._update_and_shrink(grads, variables)

    def _update_and_shrink(self, grads: list[Any], variables: list[Any]) -> None:
        keys = set(keys_of(self, variables))
        lengths = {
            id(owner): StepLength(owner, self.every, self._momentum_travel.of(owner))
            for owner in (part.optimizer for part in self._plan.parts)
        }
        scale = ops.cast(read(self._strength_scale), "float32")
        held = [self._held(part, lengths[id(part.optimizer)], scale) for part in self._plan.parts]
        self._latent.restore(keys)
        self.inner_optimizer.apply(grads, variables)
        updated = self._latent.values(keys)
        steps = {key: length.after_update() * scale for key, length in lengths.items()}
        for part, zeros in zip(self._plan.parts, held, strict=True):
            given = [key in keys for key in keys_of(self, part.variables)]
            if any(given):
                owner = id(part.optimizer)
                iteration, is_always_due = lengths[owner].iteration, not self._may_hold
                part.shrink(given, steps[owner], iteration, is_always_due, zeros)
        self._latent.keep(keys, updated)

    @property
    def _may_hold(self) -> bool:
        """Whether an update may come without a step, and leave zero what is zero."""
        return self.every > 1 or self.latent

    def _held(self, part: Part, length: StepLength, scale: Any) -> list[Any] | None:
        """What a pruning penalty keeps at zero until its next step: what is zero since its last."""
        if not self._may_hold or not part.penalty.holds_zeros:
            return None
        had_a_step = ops.greater_equal(length.iteration, self.every)
        return part.zeros(ops.logical_and(had_a_step, ops.greater(scale, 0)))

    def __repr__(self) -> str:
        every = f", every={self.every}" if self.every > 1 else ""
        metric = f", metric={self.metric!r}" if self.metric != "euclidean" else ""
        latent = ", latent=True" if self.latent else ""
        return f"Proximal({shown(self.inner_optimizer)}, {self.penalties}{every}{metric}{latent})"

    def get_config(self) -> dict:
        penalties, channels = self._rules.named()
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "penalties": keras.saving.serialize_keras_object(penalties),
            "every": self.every,
            "metric": self.metric,
            "latent": self.latent,
            "axes": self._rules.axes(),
            "names": self._rules.names(variables_of(self) if self.built else ()),
            **({"channels": channels} if channels else {}),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "Proximal":
        arguments = dict(config)
        kept = {key: arguments.pop(key, None) for key in ("axes", "names")}
        channels = arguments.pop("channels", {})
        optimizer = super().from_config(arguments, custom_objects)
        optimizer._rules = Rules(with_channels(optimizer.penalties, channels), **kept)
        return optimizer


class _Plan:
    """Holds the parts out of sight of Keras's attribute tracking, which would wrap them."""

    def __init__(self, parts: Iterable[Part]):
        self.parts = tuple(parts)
