"""Which variables of a model are kernels, and which of them a user's patterns name."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

from keras import backend

# Names Keras gives to weights of rank 2 or more that are no kernels: biases of attention and
# GRU layers, slopes of PReLU, gains and offsets of normalization over several axes.
_NOT_KERNELS = ("alpha", "bias", "gamma", "beta", "scale", "moving_mean", "moving_variance")


def is_kernel(variable: Any) -> bool:
    """Whether a variable is a kernel or an embedding matrix: a float weight of rank 2 or more that
    is neither a bias nor part of a normalization.

    Example:
        >>> import keras
        >>> dense = keras.layers.Dense(4)
        >>> dense.build((None, 3))
        >>> [is_kernel(weight) for weight in dense.weights]
        [True, False]
    """
    name = path_of(variable).rsplit("/", 1)[-1]
    is_float = "float" in backend.standardize_dtype(variable.dtype)
    return is_float and len(variable.shape) >= 2 and not name.endswith(_NOT_KERNELS)


def path_of(variable: Any) -> str:
    """A variable's path, such as `sequential/dense/kernel`. A `tf.Variable` has a name alone.

    Example:
        >>> import keras
        >>> path_of(keras.Variable([1.0], name="gain"))
        'gain'
    """
    return getattr(variable, "path", variable.name)


def check_pattern(pattern: Any) -> str:
    """Returns a valid regular expression.

    Raises: ValueError if it is not one.

    Example:
        >>> check_pattern("dense.*/kernel")
        'dense.*/kernel'
    """
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"Expected a regular expression over variable paths ({error}). Received: {pattern!r}"
        ) from None
    return pattern


def match(patterns: Iterable[str], variables: Iterable[Any]) -> dict[str, list[Any]]:
    """The variables that each pattern names.

    A pattern names a variable if `re.fullmatch` finds it on the variable's path or on what follows
    one of the path's slashes, so that `dense/kernel` also names `sequential_1/dense/kernel`.

    Args:
        patterns: regular expressions.
        variables: `keras.Variable`s.

    Returns:
        A dict from each pattern to its variables, in the order given.

    Raises:
        ValueError: if a pattern matches nothing (the nearest paths are listed), or if two patterns
            match one variable and neither is its exact path.

    Example:
        >>> import keras
        >>> dense = keras.layers.Dense(4, name="hidden")
        >>> dense.build((None, 3))
        >>> [weight.path for weight in match(["hidden/k.*"], dense.weights)["hidden/k.*"]]
        ['hidden/kernel']
    """
    patterns, variables = list(patterns), list(variables)
    found: dict[str, list[Any]] = {pattern: [] for pattern in patterns}
    named: dict[str, set] = {pattern: set() for pattern in patterns}
    for variable in variables:
        path = path_of(variable)
        matches = [pattern for pattern in patterns if _names(pattern, path)]
        for pattern in matches:
            named[pattern].add(path)
        if path in matches:
            matches = [path]
        if len(matches) > 1:
            raise ValueError(f"Expected at most one pattern to match {path}. Received: {matches}")
        for pattern in matches:
            found[pattern].append(variable)
    for pattern in patterns:
        if not named[pattern]:
            raise ValueError(_no_match(pattern, [path_of(variable) for variable in variables]))
    return found


def _names(pattern: str, path: str) -> bool:
    parts = path.split("/")
    return any(re.fullmatch(pattern, "/".join(parts[start:])) for start in range(len(parts)))


def _no_match(pattern: str, paths: list[str]) -> str:
    near = difflib.get_close_matches(pattern, paths, n=5, cutoff=0.3) or paths[:5]
    return (
        f"Expected the pattern {pattern!r} to match the path of a trainable variable. It matches "
        f"none of {len(paths)}. The nearest: {', '.join(near) or 'there are no variables'}"
    )
