"""Trains models of one kind, one after the other: on JAX in one compiled program."""

import jax
import keras
import numpy as np


def train(
    models: list[keras.Model], x: np.ndarray, y: np.ndarray, batch: int, epochs: int, seeds: list
) -> None:
    """What `fit` does for each of the models, with batches in an order that its seed draws."""
    orders = np.stack([order(len(x), batch, epochs, seed) for seed in seeds])
    if keras.backend.backend() != "jax":
        for model, own in zip(models, orders, strict=True):
            for chosen in own:
                model.train_on_batch(x[chosen], y[chosen])
        return
    states = [state_of(model) for model in models]
    stacked = jax.tree.map(lambda *values: np.stack(values), *states)
    run = jax.jit(
        lambda states, orders: jax.lax.map(
            lambda one: loop(models[0], x, y, *one), (states, orders)
        )
    )
    trained = jax.tree.map(np.asarray, run(stacked, orders))
    for number, model in enumerate(models):
        for variables, values in zip(variables_of(model), trained, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value[number])


def order(count: int, batch: int, epochs: int, seed: int) -> np.ndarray:
    random = np.random.default_rng((seed, epochs))
    return np.concatenate([random.permutation(count).reshape(-1, batch) for _ in range(epochs)])


def variables_of(model: keras.Model) -> tuple[list, list]:
    model.optimizer.build(model.trainable_variables)
    return model.trainable_variables, model.optimizer.variables


def state_of(model: keras.Model) -> tuple[list, list]:
    return tuple([np.array(variable) for variable in part] for part in variables_of(model))


def loop(model: keras.Model, x: np.ndarray, y: np.ndarray, state: tuple, orders: jax.Array):
    """The state after all batches."""
    x, y = jax.numpy.asarray(x), jax.numpy.asarray(y)

    def loss(weights: list, batch: jax.Array) -> jax.Array:
        logits, _ = model.stateless_call(weights, [], x[batch], training=True)
        return jax.numpy.mean(
            keras.losses.sparse_categorical_crossentropy(y[batch], logits, from_logits=True)
        )

    def step(state: tuple, batch: jax.Array):
        weights, kept = state
        gradients = jax.grad(loss)(weights, batch)
        return tuple(model.optimizer.stateless_apply(kept, gradients, weights)), None

    return jax.lax.scan(step, state, orders)[0]
