"""The gradient of a scalar function, by the backend's own differentiation."""

import keras
from keras import ops


def value_and_gradient(function, w):
    """The value of `function` at `w` and its gradient, as NumPy arrays."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        w = tf.Variable(w)
        with tf.GradientTape() as tape:
            value = function(w)
        return ops.convert_to_numpy(value), ops.convert_to_numpy(tape.gradient(value, w))
    if keras.backend.backend() == "jax":
        import jax

        value, gradient = jax.value_and_grad(function)(ops.convert_to_tensor(w))
        return ops.convert_to_numpy(value), ops.convert_to_numpy(gradient)
    w = ops.convert_to_tensor(w).requires_grad_(True)
    value = function(w)
    value.backward()
    return ops.convert_to_numpy(value.detach()), ops.convert_to_numpy(w.grad)
