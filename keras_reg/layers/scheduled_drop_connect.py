"""DropConnect: dropout of a layer's weights, at a rate that follows a schedule."""

from typing import Any

import keras

from keras_reg import schedules
from keras_reg.layers.scheduled import Scheduled
from keras_reg.ops import noise


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledDropConnect(Scheduled):
    """Wraps a layer and sets weights of its kernel to zero at random while training.

    The others are multiplied by 1 / (1 - rate). One mask serves the whole batch. The kernel itself
    never changes but by its gradient, which is zero for a dropped weight; at inference, and in
    saved weights, it is whole. The rest of the layer, biases and regularizers too, is left alone.

    Args:
        layer: `keras.layers.Layer` with a `kernel` or `embeddings`: Dense, a convolution, an
            Embedding.
        rate: float from 0 to 1, or a schedule from training steps to rates.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs and outputs: those of `layer`.
    Raises: ValueError if rate is outside [0, 1], seed is not as above, or the layer has no kernel.
    Reference: Wan et al., "Regularization of Neural Networks using DropConnect", ICML 2013.

    Example:
        >>> from keras import ops
        >>> dense = keras.layers.Dense(50, kernel_initializer="ones")
        >>> y = ScheduledDropConnect(dense, 0.5, seed=1)(ops.ones((1, 1)), training=True)
        >>> sorted(set(ops.convert_to_numpy(y).ravel().tolist()))
        [0.0, 2.0]
        >>> ops.convert_to_numpy(ops.min(dense.kernel)).item()
        1.0
    """

    def __init__(
        self, layer: keras.layers.Layer, rate: schedules.Value, seed: Any = None, **kwargs: Any
    ):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"Expected `layer` to be a Keras layer. Received: layer={layer!r}")
        kwargs.setdefault("dtype", layer.dtype_policy)
        # The wrapped layer casts inputs and variables itself; this one drops the uncast weights.
        super().__init__(rate, seed, autocast=False, **kwargs)
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        self._kernel()

    def call(self, inputs: Any, training: bool = False, **kwargs: Any) -> Any:
        if not training:
            return self.layer(inputs, **kwargs)
        kernel = self._kernel()
        values = {variable.path: variable.value for variable in self.layer.variables}
        values[kernel.path] = noise.dropout(kernel.value, *self._draw())
        return self._with(values, inputs, kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        layer = keras.saving.deserialize_keras_object(config["layer"], custom_objects)
        return super().from_config({**config, "layer": layer})

    def _kernel(self) -> Any:
        for name in ("kernel", "embeddings"):
            if hasattr(self.layer, name):
                return getattr(self.layer, name)
        raise ValueError(
            f"Expected the layer in {self.name} to have a `kernel` or `embeddings`. "
            f"Received: {self.layer!r}"
        )

    def _with(self, values: dict[str, Any], inputs: Any, kwargs: dict) -> Any:
        """Calls the layer as if its variables had these values; what it assigns is kept."""
        variables = self.layer.variables
        mapping = [(variable, values[variable.path]) for variable in variables]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            outputs = self.layer(inputs, **kwargs)
        for variable, before in mapping:
            after = scope.get_current_value(variable)
            if after is not before:
                variable.assign(after)
        for loss in scope.losses:
            # Another tensor: Keras tells by identity whose loss it is.
            self.add_loss(1.0 * loss)
        return outputs
