"""Training members at once on TensorFlow and PyTorch: their variables stacked in larger ones."""

import re
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reg.ops.backend import on_host
from keras_reg.ops.updates import compiled_step, gradients_of_many, over_many
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import Penalty
from keras_reg.selection.examples import Examples
from keras_reg.selection.members import Member
from keras_reg.selection.network import Network, State
from keras_reg.selection.one_by_one import OneByOne
from keras_reg.selection.schedule import Batching, rows_of_members


class StackedVariables(OneByOne):
    """Trains members at once; they are scored one after the other.

    The backend vectorizes the gradient of the members' losses. Its optimizers do not go through
    that, but update a weight by its own gradient alone: so one of them updates the stacked weights.

    Args:
        network: the network.
        examples: `Examples` to train on.
        batching: `Batching`.
        chunk: int. Members trained at once.
    """

    name = "stacked"

    def __init__(self, network: Network, examples: Examples, batching: Batching, chunk: int):
        super().__init__(network, examples, batching, chunk)
        arrays = {"x": examples.x, "y": examples.y, "weights": examples.weights}
        self._data = keras.tree.map_structure(
            ops.convert_to_tensor, {key: one for key, one in arrays.items() if one is not None}
        )
        self._stacks: dict[int, _Stack] = {}

    def train(
        self,
        states: list[State],
        members: tuple[Member, ...],
        strengths: list[float],
        epochs: int,
        visit: int,
    ) -> list[State]:
        """As `OneByOne.train`."""
        assert self.batching is not None
        rows, factors = rows_of_members(self.batching, members, self.batching.steps(epochs), visit)
        stack = self._stack(len(states))
        stack.load(states, [self.network.scale(strength) for strength in strengths])
        for own in rows:
            stack.update(own, factors)
        return stack.states()

    def trial(self, members: tuple[Member, ...]) -> None:
        """Makes one update. Raises: whatever the backend does where it cannot vectorize it."""
        assert self.batching is not None
        members = members[: self.chunk]
        rows, factors = rows_of_members(self.batching, members, 1, 0)
        stack = self._stack(len(members))
        stack.load(self.start(members), [1.0] * len(members))
        stack.update(rows[0], factors)

    def _stack(self, count: int) -> "_Stack":
        if count not in self._stacks:
            self._stacks[count] = _Stack(self.network, self._data, count)
        return self._stacks[count]


class _Stack:
    """The stacked variables of so many members, and the update of all."""

    def __init__(self, network: Network, data: dict[str, Any], count: int):
        self.network, self.data, self.count = network, data, count
        self.trainable, self.others = (
            [_stacked(variable, count, f"{kind}_{place}") for place, variable in enumerate(part)]
            for kind, part in zip(("weight", "state"), network.variables[:2], strict=True)
        )
        self.scales = keras.Variable(np.ones(count, "float32"), trainable=False, name="scales")
        self.optimizer = self._proximal()
        self.optimizer.build(self.trainable)
        self._gradients = gradients_of_many(self._loss)
        penalties = network.proximal.entries(network.variables[0])
        suits_xla = network.model.jit_compile and all(one.penalty.compilable for one in penalties)
        self._update = compiled_step(self._make_update, bool(suits_xla))

    @property
    def _variables(self) -> tuple[list[Any], list[Any], list[Any]]:
        return self.trainable, self.others, self.optimizer.variables

    def load(self, states: list[State], scales: list[float]) -> None:
        """Sets all variables; those that the members share are the same in each of the states."""
        self.scales.assign(np.array(scales, "float32"))
        for part, variables in enumerate(self._variables):
            for place, variable in enumerate(variables):
                each = [state[part][place] for state in states]
                is_shared = len(variable.shape) == np.ndim(each[0])
                variable.assign(each[0] if is_shared else np.stack(each))
        self.optimizer.strength_scale = 1.0

    def states(self) -> list[State]:
        """The members' states, as NumPy arrays."""
        parts = [
            [
                (np.array(on_host(stacked)), len(own.shape))
                for stacked, own in zip(*pair, strict=True)
            ]
            for pair in zip(self._variables, self.network.variables, strict=True)
        ]
        return [
            State(*([one[k] if one.ndim > rank else one for one, rank in part] for part in parts))
            for k in range(self.count)
        ]

    def update(self, rows: np.ndarray, factors: np.ndarray | None) -> None:
        """Makes one update of every member.

        Args:
            rows: (members, rows) int array.
            factors: (members, rows) float array or None. Of the rows' weights.
        """
        if factors is None:
            self._update(ops.convert_to_tensor(rows))
        else:
            self._update(ops.convert_to_tensor(rows), ops.convert_to_tensor(factors))

    def _make_update(self, rows: Any, factors: Any = None) -> None:
        batch = keras.tree.map_structure(lambda x: ops.take(x, rows, axis=0), self.data)
        if factors is not None:
            batch["weights"] = batch["weights"] * factors if "weights" in batch else factors
        weights, others = ([v.value for v in part] for part in (self.trainable, self.others))
        gradients, others = self._gradients(weights, (others, batch))
        self.optimizer.apply(gradients, self.trainable)
        for variable, value in zip(self.others, others, strict=True):
            variable.assign(value)

    def _loss(self, weights: list[Any], own: Any) -> tuple[Any, list[Any]]:
        """The loss of a member, and its variables that are not trained."""
        (others, batch), model = own, self.network.model
        trainable, rest, _ = self.network.variables
        mapping = [*zip(trainable, weights, strict=True), *zip(rest, others, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            x, y = batch["x"], batch["y"]
            loss = model.compute_loss(
                x=x, y=y, y_pred=model(x, training=True), sample_weight=batch.get("weights")
            )
        return loss, [scope.get_current_value(variable) for variable in rest]

    def _proximal(self) -> Proximal:
        """The network's, for the stacked variables."""
        given = self.network.proximal
        place = {id(v): k for k, v in enumerate(self.network.variables[0])}
        rules = {
            re.escape(self.trainable[place[id(one.variables[0])]].path): _ForEach(
                one.penalty, self.scales
            )
            for one in given.entries(self.network.variables[0])
        }
        inner = type(given.inner_optimizer).from_config(given.inner_optimizer.get_config())
        return Proximal(inner, rules)


class _ForEach(Penalty):
    """A penalty on the stacked weights of members, for each by a strength of its own."""

    def __init__(self, penalty: Penalty, scales: Any):
        super().__init__(1.0)
        self.penalty, self.scales = penalty, scales
        self.compilable = penalty.compilable

    def prox(self, w: Any, step: Any, iteration: Any = None) -> Any:
        act = over_many(lambda w, step: self.penalty.prox(w, step, iteration))
        return act(w, step * ops.convert_to_tensor(self.scales))

    def check_shape(self, shape: tuple[int, ...], path: str = "") -> None:
        self.penalty.check_shape(shape[1:], path)

    def _omega(self, w: Any) -> Any:
        raise NotImplementedError("Only the proximal step of stacked weights is needed")

    def _omega_prox(self, w: Any, scale: Any) -> Any:
        raise NotImplementedError("`prox` acts on each member")


def _stacked(variable: Any, count: int, name: str) -> Any:
    zeros = np.zeros((count, *variable.shape), variable.dtype)
    return keras.Variable(zeros, trainable=variable.trainable, dtype=variable.dtype, name=name)
