"""DropConnect: dropout of a layer's weights, at a rate that follows a schedule."""

from typing import Any

import keras
from keras import ops

from keras_reg import schedules
from keras_reg.keras_private import layers_in
from keras_reg.layers.scheduled import Scheduled
from keras_reg.ops import noise
from keras_reg.ops.random import hash32


@keras.saving.register_keras_serializable("keras_reg")
class ScheduledDropConnect(Scheduled):
    """Wraps a layer and sets weights of its kernels to zero at random while training.

    The others are multiplied by 1 / (1 - rate). One mask serves the whole batch. A kernel itself
    never changes but by its gradient, which is zero for a dropped weight; at inference, and in
    saved weights, it is whole. The rest of the layer, biases and regularizers too, is left alone.
    Attention has a kernel for queries, keys, values and outputs; each gets a mask of its own. It
    is called as the wrapped layer is, with the first input by position.

    Args:
        layer: `keras.layers.Layer` with a `kernel` or `embeddings`, or with layers in it that have:
            Dense, a convolution, an Embedding, MultiHeadAttention.
        rate: float from 0 to 1, or a schedule from training steps to rates.
        seed: int, `keras.random.SeedGenerator` or None.
    Shapes: inputs and outputs: those of `layer`.
    Raises: ValueError if rate is outside [0, 1], seed is not as above, or the layer has no kernel.
    Reference: Wan et al., "Regularization of Neural Networks using DropConnect", ICML 2013.

    Example:
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

    def build(self, inputs_shape: Any, value_shape: Any = None, key_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(*_given(inputs_shape, value_shape, key_shape))
            self.layer.built = True
        self._kernels()

    # As attention has it: `training` is no second positional argument.
    def call(  # type: ignore[override]
        self,
        inputs: Any,
        value: Any = None,
        key: Any = None,
        attention_mask: Any = None,
        training: bool = False,
        **kwargs: Any,
    ) -> Any:
        tensors = _given(inputs, value, key)
        if attention_mask is not None:
            kwargs["attention_mask"] = attention_mask
        if not training:
            return self.layer(*tensors, **kwargs)
        values = {id(variable): variable.value for variable in self.layer.variables}
        rate, seed, step = self._draw()
        for number, kernel in enumerate(self._kernels()):
            # Of negative numbers: positive ones are those of the calls within a step.
            own = hash32(ops.array(-number, "int32"), seed) if number else seed
            values[id(kernel)] = noise.dropout(kernel.value, rate, own, step)
        return self._with(values, tensors, kwargs)

    def compute_output_shape(
        self, inputs_shape: Any, value_shape: Any = None, key_shape: Any = None
    ) -> Any:
        return self.layer.compute_output_shape(*_given(inputs_shape, value_shape, key_shape))

    def compute_output_spec(
        self, inputs: Any, value: Any = None, key: Any = None, training: bool = False, **kwargs: Any
    ) -> Any:
        return self.layer.compute_output_spec(*_given(inputs, value, key), **kwargs)

    def get_config(self) -> dict:
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        layer = keras.saving.deserialize_keras_object(config["layer"], custom_objects)
        return super().from_config({**config, "layer": layer})

    def _kernels(self) -> list[Any]:
        found = [
            getattr(layer, name)
            for layer in [self.layer, *layers_in(self.layer)]
            for name in ("kernel", "embeddings")
            if hasattr(layer, name)
        ]
        if not found:
            raise ValueError(
                f"Expected the layer in {self.name} to have a `kernel` or `embeddings`. "
                f"Received: {self.layer!r}"
            )
        return found

    def _with(self, values: dict[int, Any], tensors: list[Any], kwargs: dict) -> Any:
        """Calls the layer as if its variables had these values; what it assigns is kept."""
        mapping = [(variable, values[id(variable)]) for variable in self.layer.variables]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            outputs = self.layer(*tensors, **kwargs)
        for variable, before in mapping:
            after = scope.get_current_value(variable)
            if after is not before:
                variable.assign(after)
        for loss in scope.losses:
            # Another tensor: Keras tells by identity whose loss it is.
            self.add_loss(1.0 * loss)
        return outputs


def _given(first: Any, *others: Any) -> list[Any]:
    """Up to the last that is not None: a layer with one input takes no more."""
    given = [first, *others]
    while len(given) > 1 and given[-1] is None:
        given.pop()
    return given
