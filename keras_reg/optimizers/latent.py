"""Latent: what pruned weights would be if they were not zero."""

from collections.abc import Callable, Iterable, Set
from typing import Any

from keras import ops

from keras_reg.ops.backend import read
from keras_reg.ops.updates import update
from keras_reg.regularizers.penalty import Penalty


def check_latent(latent: Any, penalties: Iterable[Penalty]) -> bool:
    """Returns a valid `latent`.

    Raises: TypeError if it is no bool, ValueError if none of the penalties prunes.

    Example:
        >>> check_latent(False, [])
        False
    """
    if not isinstance(latent, bool):
        raise TypeError(f"Expected `latent` to be True or False. Received: latent={latent!r}")
    if latent and not any(penalty.holds_zeros for penalty in penalties):
        raise ValueError(
            "Expected a TopK or an NM for `latent=True`, which is for weights that are pruned. "
            f"Received: {list(penalties)}"
        )
    return latent


class Latent:
    """Keeps the values that a pruning step makes zero, so that updates go on with them.

    A pruned weight is stored here while it is zero in the model, and 0 is stored for the others:
    weights that are set by hand count as they are.
    """

    def __init__(self):
        # By the key that the optimizer tells a variable by.
        self._pairs: dict[Any, tuple[Any, Any]] = {}

    def add(
        self, keys: Iterable[Any], variables: Iterable[Any], make: Callable[[Any, str], Any]
    ) -> None:
        """Makes a variable, by `make(variable, name)`, for each of the variables that has none."""
        for key, variable in zip(keys, variables, strict=True):
            if key not in self._pairs:
                self._pairs[key] = (variable, make(variable, f"latent_{len(self._pairs)}"))

    def by_name(self) -> dict[str, Any]:
        """The variables, by the names they are saved under."""
        pairs = self._pairs.values()
        return {f"latent_{place}": latent for place, (_, latent) in enumerate(pairs)}

    def restore(self, keys: Set[Any]) -> None:
        """Puts the values in the place of the zeros of these variables, before an update."""
        for variable, latent in self._among(keys):
            update(variable, _without_zeros, read(latent))

    def values(self, keys: Set[Any]) -> list[Any]:
        """Copies of these variables as they are, before a pruning step."""
        return [ops.copy(read(variable)) for variable, _ in self._among(keys)]

    def keep(self, keys: Set[Any], values: list[Any]) -> None:
        """Stores those of the values that are zero now."""
        for (variable, latent), value in zip(self._among(keys), values, strict=True):
            update(latent, _where_zero, read(variable), value)

    def clear(self) -> None:
        """Forgets all values: what is zero is zero."""
        for _, latent in self._pairs.values():
            latent.assign(ops.zeros_like(read(latent)))

    def _among(self, keys: Set[Any]) -> list[tuple[Any, Any]]:
        return [pair for key, pair in self._pairs.items() if key in keys]


def _without_zeros(w: Any, latent: Any) -> Any:
    return ops.where(ops.equal(w, 0), latent, w)


def _where_zero(_: Any, w: Any, value: Any) -> Any:
    return ops.where(ops.equal(w, 0), value, ops.zeros_like(value))
