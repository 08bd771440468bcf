"""The gradients of a model's trainable weights, by the backend's own differentiation."""

import keras
from keras import ops


def weight_gradients(model, x, loss):
    """The gradient of `loss(model(x))` for each trainable weight, by `id`, as NumPy arrays."""
    weights = model.trainable_weights
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(model(x, training=False))
        found = tape.gradient(value, [weight.value for weight in weights])
    elif keras.backend.backend() == "jax":
        import jax

        def of(trainable):
            others = [one.value for one in model.non_trainable_variables]
            outputs, _ = model.stateless_call(trainable, others, x, training=False)
            return loss(outputs)

        found = jax.jit(jax.grad(of))([weight.value for weight in weights])
    else:
        model.zero_grad()
        loss(model(x, training=False)).backward()
        found = [weight.value.grad for weight in weights]
    shapes = {id(one): one.shape for one in weights}
    return {
        key: ops.convert_to_numpy(
            ops.zeros(shape) if gradient is None else ops.convert_to_tensor(gradient)
        )
        for (key, shape), gradient in zip(shapes.items(), found, strict=True)
    }
