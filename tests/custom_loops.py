"""The custom training loop of Keras's guide for each backend."""

from keras import ops


def tensorflow_loop(model, batches):
    import tensorflow as tf

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, model.trainable_weights)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))

    for x, y in batches:
        step(tf.constant(x), tf.constant(y))


def jax_loop(model, batches):
    import jax

    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)

    def loss_of(trainable, non_trainable, x, y):
        predicted, non_trainable = model.stateless_call(trainable, non_trainable, x, training=True)
        return ops.mean(ops.square(predicted - y)), non_trainable

    @jax.jit
    def step(state, x, y):
        trainable, non_trainable, optimizer_state = state
        differentiate = jax.grad(loss_of, has_aux=True)
        gradients, non_trainable = differentiate(trainable, non_trainable, x, y)
        trainable, optimizer_state = optimizer.stateless_apply(
            optimizer_state, gradients, trainable
        )
        return trainable, non_trainable, optimizer_state

    state = tuple(
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
        )
    )
    for x, y in batches:
        state = step(state, x, y)
    for variable, value in zip(model.trainable_variables, state[0], strict=True):
        variable.assign(value)


def torch_loop(model, batches):
    import torch

    for x, y in batches:
        model.zero_grad()
        loss = torch.mean((model(x, training=True) - torch.as_tensor(y)) ** 2)
        loss.backward()
        gradients = [variable.value.grad for variable in model.trainable_weights]
        with torch.no_grad():
            model.optimizer.apply(gradients, model.trainable_weights)


LOOPS = {"tensorflow": tensorflow_loop, "jax": jax_loop, "torch": torch_loop}
