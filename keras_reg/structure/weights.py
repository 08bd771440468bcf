"""Which variables of a model are kernels, and which of them a user's patterns name."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from keras import backend, layers

# Names that Keras gives to weights of rank 2 or more that are no kernels: biases of attention and
# GRU layers, slopes of PReLU, gains and offsets of normalization over several axes.
_NOT_KERNELS = ("alpha", "bias", "gamma", "beta", "scale", "moving_mean", "moving_variance")

# Names of tables that say where an input stands, and of other learned inputs.
_PLACE = re.compile(r"(.*_)?(pos|positions?|positional|rel|relative|segments?)(_.*)?")
_LEARNED_INPUT = re.compile(rf"{_PLACE.pattern}|(.*_)?(tokens?|mask_emb\w*|bias_table)(_.*)?")


def is_kernel(variable: Any, owner: Any = None) -> bool:
    """Whether a variable is a kernel or an embedding matrix.

    That is a float weight of rank 2 or more which is no bias, no part of a normalization and no
    learned input, such as a class token or a table of positions.

    Args:
        variable: `keras.Variable`.
        owner: the layer that owns it, or None where it is not known. `embeddings` are a matrix of
            embeddings in a `keras.layers.Embedding` that is not named after positions or segments;
            without the owner the name alone decides.

    Example:
        >>> import keras
        >>> dense = keras.layers.Dense(4)
        >>> dense.build((None, 3))
        >>> [is_kernel(weight) for weight in dense.weights]
        [True, False]
        >>> is_kernel(keras.Variable([[[1.0, 2.0]]], name="class_token"))
        False
    """
    *above, name = path_of(variable).lower().split("/")
    is_float = "float" in backend.standardize_dtype(variable.dtype)
    if not is_float or len(variable.shape) < 2 or name.endswith(_NOT_KERNELS):
        return False
    if name.endswith("kernel"):
        return True
    if name == "embeddings":
        return _embeds(above[-1] if above else "", owner)
    # A kernel has a name, so that what is one vector under another name is an input.
    is_vector = len(variable.shape) > 2 and sum(length > 1 for length in variable.shape) <= 1
    return not is_vector and not _LEARNED_INPUT.fullmatch(name)


def _embeds(layer: str, owner: Any) -> bool:
    """Whether a layer looks its `embeddings` up by words or the like, not by places."""
    is_embedding = owner is None or isinstance(owner, layers.Embedding)
    return is_embedding and not _PLACE.fullmatch(layer)


def is_counted(layer: Any, variable: Any) -> bool:
    """Whether a report counts a variable: a kernel, or one that `quantize("int8")` made of it.

    Other modes of quantization pack several weights into a byte.

    Example:
        >>> import keras
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> layer.quantize("int8")
        >>> [is_counted(layer, weight) for weight in (layer.kernel, layer.bias, layer.kernel_scale)]
        [True, False, False]
    """
    if is_kernel(variable, layer):
        return True
    mode = getattr(layer, "quantization_mode", None)
    is_int8 = backend.standardize_dtype(variable.dtype) == "int8"
    return mode == "int8" and is_int8 and len(variable.shape) >= 2


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


def names_once(variables: Iterable[Any]) -> list[str]:
    """The paths of variables; one that comes again has a number after it.

    Example:
        >>> import keras
        >>> names_once([keras.Variable([1.0], name="a"), keras.Variable([1.0], name="a")])
        ['a', 'a#2']
    """
    seen: Counter[str] = Counter()
    names = []
    for path in map(path_of, variables):
        seen[path] += 1
        names.append(path if seen[path] == 1 else f"{path}#{seen[path]}")
    return names


def match(
    patterns: Iterable[str], variables: Iterable[Any], names: Iterable[str] | None = None
) -> dict[str, list[Any]]:
    """The variables that each pattern names.

    A pattern names a variable if `re.fullmatch` finds it on the variable's path or on what follows
    one of the path's slashes, so that `dense/kernel` also names `sequential_1/dense/kernel`. Of
    variables that share a path, `dense/kernel` names all and `dense/kernel#2` the second alone.

    Args:
        patterns: regular expressions.
        variables: `keras.Variable`s.
        names: their names as `names_once` gives them, where those of a larger list are wanted.

    Returns:
        A dict from each pattern to its variables, in the order given.

    Raises:
        ValueError: if a pattern matches nothing (the nearest paths are listed), or if two patterns
            match one variable and neither is its exact path or names it alone, by its number.

    Example:
        >>> import keras
        >>> dense = keras.layers.Dense(4, name="hidden")
        >>> dense.build((None, 3))
        >>> [weight.path for weight in match(["hidden/k.*"], dense.weights)["hidden/k.*"]]
        ['hidden/kernel']
    """
    patterns, variables = list(patterns), list(variables)
    names = names_once(variables) if names is None else list(names)
    found: dict[str, list[Any]] = {pattern: [] for pattern in patterns}
    unmatched = set(patterns)
    for variable, name in zip(variables, names, strict=True):
        path = name.partition("#")[0]
        numbered = f"{path}#1" if name == path else name
        matches = [p for p in patterns if named_by(p, path) or named_by(p, numbered)]
        unmatched.difference_update(matches)
        # What names one variable alone goes before what names several.
        alone = [pattern for pattern in matches if not named_by(pattern, path)]
        exact = [pattern for pattern in alone or matches if pattern in (path, numbered)]
        chosen = exact or alone or matches
        if len(chosen) > 1:
            hint = f". `{path}#1` is the first alone, `{path}#2` the second"
            raise ValueError(
                f"Expected at most one pattern to match {name}. Received: {chosen}"
                f"{hint if f'{path}#2' in names else ''}"
            )
        for pattern in chosen:
            found[pattern].append(variable)
    for pattern in patterns:
        if pattern in unmatched:
            raise ValueError(_no_match(pattern, names))
    return found


def named_by(pattern: str, path: str) -> bool:
    """Whether a regular expression matches a path, or what follows one of its slashes."""
    parts = path.split("/")
    return any(re.fullmatch(pattern, "/".join(parts[start:])) for start in range(len(parts)))


def _no_match(pattern: str, names: list[str]) -> str:
    near = difflib.get_close_matches(pattern, names, n=5, cutoff=0.3) or names[:5]
    return (
        f"Expected the pattern {pattern!r} to match the path of a trainable variable. It matches "
        f"none of {len(names)}. The nearest: {', '.join(near) or 'there are no variables'}"
        + _without_its_start(pattern, names)
    )


def _without_its_start(pattern: str, names: list[str]) -> str:
    """What part of a pattern would match: paths of a loaded model lack those before it."""
    parts = pattern.split("/")
    for start in range(1, len(parts) - 1):
        end = "/".join(parts[start:])
        try:
            is_found = any(named_by(end, name.partition("#")[0]) for name in names)
        except re.error:  # The slash was inside of brackets.
            continue
        if is_found:
            return (
                f". {end!r} matches: when Keras loads a model, the names of the Sequential models "
                "in it are no longer part of the paths"
            )
    return ""
