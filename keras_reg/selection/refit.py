"""A network of the path as a model of its own, and trained on with its zeros fixed."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_reg.selection.examples import Batches
from keras_reg.selection.network import Network, fixed_support


@dataclasses.dataclass(frozen=True)
class Refit:
    """Makes models from weights of a path.

    Args:
        network: the network.
        examples: `Examples` or `Batches` to train on.
        batch_size: int.
        epochs: int. Where none are given.
    """

    network: Network
    examples: Any
    batch_size: int
    epochs: int

    def model(self, weights: list[np.ndarray]) -> keras.Model:
        """A model as `build` makes it, with these weights."""
        return self.network.with_weights(weights)

    def relaxed(self, weights: list[np.ndarray], epochs: int | None = None) -> keras.Model:
        """The same after some epochs in which what is zero stays zero."""
        trained = self.model(weights)
        fixed_support(trained)
        epochs = self.epochs if epochs is None else epochs
        if isinstance(self.examples, Batches):
            trained.fit(self.examples.x, epochs=epochs, verbose=0)
        else:
            part = self.examples
            trained.fit(
                part.x, part.y, self.batch_size, epochs, sample_weight=part.weights, verbose=0
            )
        return self.model(trained.get_weights())
