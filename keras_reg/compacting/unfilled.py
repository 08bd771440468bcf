"""Layers whose weights are given to them: none are drawn at random first.

Drawing takes a large part of the time in which Keras builds a model, and on JAX a program for each
shape.
"""

from typing import Any

import keras
import numpy as np
from keras import initializers

from keras_reg.keras_private import layers_in

# Those that make weights of any shape. Others may fit one shape alone, which has to be seen.
_KINDS = (
    *(initializers.RandomNormal, initializers.RandomUniform, initializers.TruncatedNormal),
    *(initializers.VarianceScaling, initializers.Orthogonal),
    *(initializers.Zeros, initializers.Ones),
)


class _Unfilled(initializers.Initializer):
    """Zeros that no backend has to compute."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """An array of zeros."""
        dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        if dtype not in ("float16", "float32", "float64"):
            return keras.ops.zeros(shape, dtype)
        return np.zeros(shape, dtype)


def unfilled(layer: Any) -> Any:
    """A layer that is not built yet, which draws no weights when it is. An operation has none.

    Example:
        >>> layer = unfilled(keras.layers.Dense(2))
        >>> layer.build((None, 1))
        >>> keras.ops.convert_to_numpy(layer.kernel).tolist()
        [[0.0, 0.0]]
    """
    for one in [layer, *layers_in(layer)] if isinstance(layer, keras.layers.Layer) else ():
        for name, value in list(vars(one).items()):
            if isinstance(value, _KINDS):
                setattr(one, name, _Unfilled())
    return layer


def restore(layer: Any, like: Any) -> None:
    """Gives a layer the initializers of the one that it was made like.

    Example:
        >>> layer, other = unfilled(keras.layers.Dense(2)), keras.layers.Dense(2)
        >>> restore(layer, other)
        >>> type(layer.kernel_initializer).__name__
        'GlorotUniform'
    """
    pairs = zip([layer, *layers_in(layer)], [like, *layers_in(like)], strict=True)
    for one, other in pairs:
        for name, value in list(vars(one).items()):
            if isinstance(value, _Unfilled):
                own = vars(other)[name]
                setattr(one, name, type(own).from_config(own.get_config()))
