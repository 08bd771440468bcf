"""FixedSupport: any Keras optimizer, which leaves weights that are zero at zero."""

from typing import Any

import keras

from keras_reg import structure
from keras_reg.keras_private import keys_of
from keras_reg.optimizers.shown import shown
from keras_reg.optimizers.support import update_on_support
from keras_reg.optimizers.wrapper import Wrapper


@keras.saving.register_keras_serializable("keras_reg")
class FixedSupport(Wrapper):
    """Wraps an optimizer so that the zeros of kernels and embedding matrices stay exactly zero.

    For the refit after training with `Proximal`: a penalty also shrinks the weights that it leaves,
    and a few epochs without it on the same support undo that. Compile the sparse model anew with
    this and go on; `keras_reg.callbacks.Refit` does the same within one `fit`. Nothing is stored: a
    weight that is zero before an update is zero after it.

    A zero has no gradient here, so its momentum, velocity and moving average stay zero too, if they
    start there, and it takes no part in the norms that gradients are clipped to. Biases and
    normalization train freely. A kernel that is zero on purpose at the start, as in a LoRA adapter,
    would never leave it, and a weight that a constraint sets to zero stays there.

    Args:
        optimizer: a `keras.optimizers.Optimizer`, or its name. A `LossScaleOptimizer` goes round
            this one, not inside.
        name: str. The optimizer's name.
    Raises:
        TypeError: if `optimizer` is no Keras optimizer, or another wrapper.
        ValueError: when it is built, or in its first update if it was loaded, if no variable is a
            kernel or an embedding matrix.
    Reference: Meinshausen, "Relaxed Lasso", Computational Statistics & Data Analysis 2007.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.layers[0].set_weights([np.array([[0.5], [0.0]]), np.zeros(1)])
        >>> model.compile(FixedSupport(keras.optimizers.Adam(1e-2)), loss="mse")
        >>> _ = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        >>> float(model.layers[0].get_weights()[0][1, 0])
        0.0
    """

    def __init__(self, optimizer: Any, name: str | None = None):
        super().__init__(optimizer, name=name)
        self._fixed: set = set()

    def _find(self, variables: list[Any]) -> list[Any]:
        kernels = [variable for variable in variables if structure.is_kernel(variable)]
        if not kernels:
            raise ValueError(
                "Expected the model to have a trainable kernel or embedding matrix. Received "
                f"variables: {[structure.path_of(variable) for variable in variables]}"
            )
        self._fixed = set(keys_of(self, kernels))
        return kernels

    def _update(self, grads: list[Any], variables: list[Any]) -> None:
        update_on_support(self.inner_optimizer, grads, variables, self._fixed)

    def __repr__(self) -> str:
        return f"FixedSupport({shown(self.inner_optimizer)})"

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
        }
