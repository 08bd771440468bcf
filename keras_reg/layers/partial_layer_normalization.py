"""LayerNormalization where constant channels were removed."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_reg")
class PartialLayerNormalization(keras.layers.LayerNormalization):
    """LayerNormalization that counts channels which are no longer there, whose values are constant.

    mean:      (sum(x) + total) / size
    variance:  (sum((x - mean)**2) + squares - 2 * mean * total + removed * mean**2) / size

    `keras_reg.compact(model, exact_norms=True)` puts it where a LayerNormalization was, so that the
    channels that stay are normalized as before. It trains as its class does.

    Args:
        size: int. How many channels there were.
        total: float. The sum of the constants that were removed.
        squares: float. The sum of their squares.
        axis: int. The axis that is normalized, one alone.
        **kwargs: as for `keras.layers.LayerNormalization`.

    Shapes: any; the outputs have that of the inputs.

    Raises: ValueError if `axis` is several axes, or for `rms_scaling`.

    Example:
        >>> whole, part = keras.layers.LayerNormalization(), PartialLayerNormalization(3, 2.0, 4.0)
        >>> before = whole(ops.convert_to_tensor([[1.0, 5.0, 2.0]]))
        >>> after = part(ops.convert_to_tensor([[1.0, 5.0]]))
        >>> bool(ops.all(abs(before[:, :2] - after) < 1e-5))
        True
    """

    def __init__(self, size: int, total: float, squares: float, axis: Any = -1, **kwargs: Any):
        axes = [axis] if isinstance(axis, int) else list(axis)
        if len(axes) != 1 or kwargs.get("rms_scaling"):
            raise ValueError(
                "Expected one axis, and no `rms_scaling`. Received: "
                f"axis={axis!r}, rms_scaling={kwargs.get('rms_scaling', False)!r}"
            )
        super().__init__(axis=axes[0], **kwargs)
        self.size, self.total, self.squares = size, total, squares

    def call(self, inputs: Any) -> Any:
        (axis,) = self.axis
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        x = ops.cast(inputs, dtype)
        mean = (ops.sum(x, axis, keepdims=True) + self.total) / self.size
        centred = x - mean
        removed = self.size - inputs.shape[axis]
        rest = self.squares - 2 * mean * self.total + removed * ops.square(mean)
        variance = (ops.sum(ops.square(centred), axis, keepdims=True) + rest) / self.size
        outputs = centred * ops.rsqrt(variance + self.epsilon)
        shape = [-1 if at == axis % len(inputs.shape) else 1 for at in range(len(inputs.shape))]
        if self.gamma is not None:
            outputs = outputs * ops.reshape(ops.cast(self.gamma, dtype), shape)
        if self.beta is not None:
            outputs = outputs + ops.reshape(ops.cast(self.beta, dtype), shape)
        return ops.cast(outputs, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("rms_scaling", None)
        own = {"size": self.size, "total": self.total, "squares": self.squares}
        return {**config, **own}
