"""Proximal(metric="adaptive"): the proximal step in the optimizer's own diagonal metric."""

import keras
import numpy as np
import pytest
from keras import ops
from small_model import first_update
from test_convergence import diabetes

from keras_reg import regularizers, schedules
from keras_reg.optimizers import Proximal

BACKEND = keras.backend.backend()
START = np.array([[1.0, -0.6, 0.3, 0.8], [-0.9, 0.5, -0.4, 0.7]], "float32")
GRADIENTS = np.random.default_rng(0).standard_normal((3, *START.shape)).astype("float32")

CASES = {
    "adam": lambda: keras.optimizers.Adam(0.1, epsilon=1e-3),
    "amsgrad": lambda: keras.optimizers.Adam(0.1, amsgrad=True),
    "adamw": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.01),
    "nadam": lambda: keras.optimizers.Nadam(0.1, epsilon=1e-3),
    "adamax": lambda: keras.optimizers.Adamax(0.1),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1, epsilon=1e-3),
    "centered": lambda: keras.optimizers.RMSprop(0.1, centered=True, epsilon=1e-3),
}


def numpy(variable):
    return np.array(ops.convert_to_numpy(variable))


def lengths_by_probing(new):
    """How far the last update moves for 1 more of gradient without its effect on the metric.

    The metric depends on the squared gradients alone, so the last gradient is reflected where that
    changes nothing in it: half the difference, over the gradient and the learning rate.
    """
    moved = []
    for sign in (1.0, -1.0):
        variable, optimizer = keras.Variable(START, name="kernel"), new()
        gradients = [*GRADIENTS[:-1], sign * GRADIENTS[-1]]
        for gradient in gradients:
            before = numpy(variable)
            optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
        moved.append(numpy(variable) - before)
    return (moved[1] - moved[0]) / (2 * GRADIENTS[-1] * 0.1)


# The share of a gradient in the update that it comes with, bias correction included.
SHARES = {
    "adam": 0.1 / (1 - 0.9**3),
    "amsgrad": 0.1 / (1 - 0.9**3),
    "adamw": 0.1 / (1 - 0.9**3),
    "adamax": 0.1 / (1 - 0.9**3),
    "adagrad": 1.0,
    "rmsprop": 1.0,
}


@pytest.mark.parametrize("name", SHARES)
def test_metric_is_that_of_the_optimizers_own_update(name):
    plain, penalized = keras.Variable(START, name="kernel"), keras.Variable(START, name="kernel")
    optimizer = CASES[name]()
    wrapped = Proximal(CASES[name](), regularizers.L1(0.02), metric="adaptive")
    wrapped.strength_scale = 0.0
    for count, gradient in enumerate(GRADIENTS):
        if count == len(GRADIENTS) - 1:
            wrapped.strength_scale = 1.0
        optimizer.apply([ops.convert_to_tensor(gradient)], [plain])
        wrapped.apply([ops.convert_to_tensor(gradient)], [penalized])
    threshold = 0.1 * 0.02 * lengths_by_probing(CASES[name]) / SHARES[name]
    w = numpy(plain)
    expected = np.sign(w) * np.maximum(np.abs(w) - threshold, 0)
    np.testing.assert_allclose(numpy(penalized), expected, rtol=1e-4, atol=1e-6)
    assert np.ptp(threshold) > 1e-4


def convex_problem(metric, inner, penalty, epochs=12):
    """Lasso on the diabetes data by minibatches. Returns kernel, gradient and the optimizer."""
    x, y = diabetes()
    model = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(1, name="dense")])
    model.compile(Proximal(inner, penalty, metric=metric), "mse", jit_compile=BACKEND != "torch")
    copies = 50
    repeated = [np.tile(array, (copies, 1)) for array in (x, y)]
    model.fit(*repeated, batch_size=len(x), epochs=epochs, shuffle=False, verbose=0)
    kernel, bias = model.get_layer("dense").get_weights()
    gradient = (2 / len(x) * x.T @ (x @ kernel + bias - y)).astype("float32")
    return kernel, gradient, model.optimizer


def decaying(rate, steps=600):
    return keras.optimizers.schedules.CosineDecay(rate, steps)


@pytest.mark.parametrize("name", ["Adam", "RMSprop"])
def test_adaptive_step_ends_where_loss_and_penalty_are_stationary(name):
    penalty = regularizers.L1(0.3)
    inner = getattr(keras.optimizers, name)(decaying(0.02), epsilon=1e-3)
    kernel, gradient, _ = convex_problem("adaptive", inner, penalty)
    residual = ops.convert_to_numpy(penalty.stationarity(kernel, gradient))
    assert 0 < np.count_nonzero(kernel) < len(kernel)
    assert residual.max() < 1e-3 * 0.3


def test_euclidean_step_of_sgd_ends_there_too():
    penalty = regularizers.L1(0.3)
    inner = keras.optimizers.SGD(0.1, momentum=0.5)
    kernel, gradient, _ = convex_problem("euclidean", inner, penalty)
    residual = ops.convert_to_numpy(penalty.stationarity(kernel, gradient))
    assert 0 < np.count_nonzero(kernel) < len(kernel)
    assert residual.max() < 1e-3 * 0.3


def test_euclidean_step_of_adagrad_ends_where_the_rescaled_penalty_is_stationary():
    inner = keras.optimizers.Adagrad(decaying(0.5))
    kernel, gradient, optimizer = convex_problem("euclidean", inner, regularizers.L1(0.01))
    sums = next(v for v in optimizer.variables if v.path.endswith("kernel_accumulator"))
    scale = np.sqrt(numpy(sums) + 1e-7)
    residual = ops.convert_to_numpy(
        regularizers.L1(0.01, weights=scale).stationarity(kernel, gradient)
    )
    assert 0 < np.count_nonzero(kernel) < len(kernel)
    assert residual.max() < 0.02 * 0.01 * scale.max()


def test_many_penalties_take_a_step_for_each_weight():
    names = "ElasticNet L2 L0 Lq LogSum MCP SCAD CappedL1 L2SP"
    gradient = ops.convert_to_tensor(GRADIENTS[0])
    for name in names.split():
        penalty = getattr(regularizers, name)(0.3)
        inner = keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.0, epsilon=0.0)
        variable, plain = (keras.Variable(START, name="kernel") for _ in range(2))
        keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.0, epsilon=0.0).apply(
            [gradient], [plain]
        )
        Proximal(inner, penalty, metric="adaptive").apply([gradient], [variable])
        each = [
            float(penalty.prox(ops.convert_to_tensor([w]), step=0.1 / abs(g))[0])
            for w, g in zip(numpy(plain).ravel(), GRADIENTS[0].ravel(), strict=True)
        ]
        np.testing.assert_allclose(numpy(variable).ravel(), each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("group_axis", [None, -1])
@pytest.mark.parametrize("scope", ["variable", "all"])
def test_top_k_keeps_the_nearest_weights_in_that_metric(name, group_axis, scope):
    metric = np.concatenate([SHARES[name] / lengths_by_probing(CASES[name])] * 2)
    # So near to each other that the metric decides.
    starts = [10.0 + 0.05 * START, 10.1 - 0.05 * START]

    def trained(wrap):
        variables = [keras.Variable(w, name="kernel") for w in starts]
        optimizer = wrap(CASES[name]())
        for gradient in GRADIENTS:
            tensor = ops.convert_to_tensor(gradient)
            optimizer.apply([tensor, tensor], variables)
        return np.concatenate([numpy(variable) for variable in variables])

    free = trained(lambda inner: inner)
    # Only the last update is one after which weights become zero.
    late = schedules.Function(lambda step: ops.where(step >= 2, 0.5, 0.0))
    penalty = regularizers.TopK(late, group_axis, scope)
    kept = trained(lambda inner: Proximal(inner, penalty, metric="adaptive")) != 0
    squares = metric * np.square(free)
    parts = [squares] if scope == "all" else [squares[:2], squares[2:]]
    expected = []
    for part in parts:
        halves = np.split(part, len(part) // 2)
        scores = halves if group_axis is None else [half.sum(0, keepdims=True) for half in halves]
        limit = np.median(np.concatenate([score.ravel() for score in scores]))
        expected += [np.broadcast_to(score > limit, (2, 4)) for score in scores]
    np.testing.assert_array_equal(kept, np.concatenate(expected))


def test_saved_with_the_optimizer():
    optimizer = Proximal("adam", regularizers.L1(0.1), metric="adaptive")
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.metric == "adaptive"
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("name", ["SGD", "Adadelta", "Adafactor", "Lamb", "Lion", "Muon", "Ftrl"])
def test_optimizer_without_a_diagonal_metric_is_refused(name):
    if not hasattr(keras.optimizers, name):
        pytest.skip(f"this Keras has no {name}")
    optimizer = Proximal(getattr(keras.optimizers, name)(), regularizers.L1(0.1), metric="adaptive")
    with pytest.raises(ValueError, match=rf"Adam, .*{name}.*kernel"):
        first_update(optimizer, [keras.Variable(START, name="kernel")])


@pytest.mark.parametrize(
    "penalty",
    [
        regularizers.GroupLasso(0.1),
        regularizers.TopK(0.5, score="lamp"),
        regularizers.SLOPE(0.1),
        regularizers.TotalVariation(0.1),
    ],
)
def test_penalty_of_several_weights_is_refused(penalty):
    optimizer = Proximal("adam", penalty, metric="adaptive")
    with pytest.raises(ValueError, match=r"sum over single weights.*kernel"):
        first_update(optimizer, [keras.Variable(START, name="kernel")])


def test_each_of_several_optimizers_has_its_own_metric():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    choose = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.1), {"a": keras.optimizers.Adagrad(0.1)}
    )
    inner = keras.optimizers.MultiOptimizer(choose)
    variables = [keras.Variable(START, name=name) for name in "ab"]
    with pytest.raises(ValueError, match=r"SGD.* for b"):
        first_update(Proximal(inner, regularizers.L1(0.1), metric="adaptive"), variables)


@pytest.mark.parametrize("metric", [None, 1, "sgd", "Adaptive"])
def test_bad_metric_is_refused(metric):
    with pytest.raises(ValueError, match="`metric`"):
        Proximal("adam", regularizers.L1(0.1), metric=metric)
