"""TargetSparsity: the strength that gives a wanted share of zeros."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reg import regularizers
from keras_reg.callbacks import Refit, TargetSparsity
from keras_reg.callbacks.counted import counted
from keras_reg.optimizers import Proximal
from keras_reg.report import sparsity


def model_with(optimizer):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(30, activation="relu", name="hidden"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def fit(model, *callbacks, epochs=30):
    x = np.random.default_rng(0).standard_normal((256, 20)).astype("float32")
    y = x[:, :1] * x[:, 1:2] + x[:, 2:3]
    return model.fit(
        x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks)
    ).history


def steered(strength=0.1):
    rate = keras.optimizers.schedules.CosineDecay(0.02, 240, alpha=0.02)
    return Proximal(keras.optimizers.SGD(rate, momentum=0.9), regularizers.L1(strength))


@pytest.mark.parametrize(("target", "strength"), [(0.5, 10.0), (0.8, 1e-3), (0.95, 0.1)])
def test_target_is_reached_and_held_from_any_strength(target, strength):
    model = model_with(steered(strength))
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(sparsity(model).sparsity)
    )
    history = fit(model, TargetSparsity(target, 20), watch)
    np.testing.assert_allclose(seen[19:], target, atol=0.1)
    assert abs(seen[-1] - target) < 0.04
    assert len(history["loss"]) == 30


@pytest.mark.parametrize("use_ema", [False, True])
def test_every_epoch_ends_on_the_target_though_a_last_batch_is_small(use_ema):
    adam = keras.optimizers.Adam(0.01, use_ema=use_ema, ema_momentum=0.9)
    model, seen = model_with(Proximal(adam, regularizers.L1(0.1))), []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(sparsity(model).sparsity)
    )
    x = np.random.default_rng(0).standard_normal((193, 20)).astype("float32")
    arguments = {"batch_size": 32, "epochs": 20, "verbose": 0}
    model.fit(x, x[:, :1] * x[:, 1:2], callbacks=[TargetSparsity(0.8, 10), watch], **arguments)
    assert min(seen[9:]) >= 0.8
    assert sparsity(model).sparsity >= 0.8  # Averages took the weights' place.


def test_landing_makes_zero_what_is_smallest_and_leaves_the_rest():
    model = model_with(Proximal("sgd", {"hidden/kernel": regularizers.L1(0.1)}))
    model.optimizer.build(model.trainable_variables)
    hidden, out = (layer.kernel for layer in model.layers)
    before = np.random.default_rng(0).permutation(np.linspace(-1, 1, 600)).reshape(20, 30)
    hidden.assign(before)
    last = ops.convert_to_numpy(out).copy()
    counted(model, model.optimizer, "hidden/kernel", "weights").land(0.75)
    expected = np.where(np.abs(before) < np.quantile(np.abs(before), 0.75), 0, before)
    np.testing.assert_array_equal(ops.convert_to_numpy(hidden), expected.astype("float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(out), last)
    counted(model, model.optimizer, "all", "weights").land(0.99)  # Out of reach.
    np.testing.assert_array_equal(ops.convert_to_numpy(hidden), expected.astype("float32"))


def test_pattern_says_whose_share_counts():
    model = model_with(steered())
    history = fit(model, TargetSparsity(0.7, 20, scope="hidden/kernel"))
    table = sparsity(model)
    (row,) = [row for row in table.rows if row.path.endswith("hidden/kernel")]
    assert abs(row.sparsity - 0.7) < 0.03
    scale = float(ops.convert_to_numpy(model.optimizer.strength_scale))
    assert history["strength_scale"][-1] == pytest.approx(scale)
    assert scale != 1.0


def test_model_that_is_sparse_already_is_not_held_back():
    model = model_with(steered())
    fit(model, TargetSparsity(0.8, 20))
    model.compile(steered(0.3), "mse")
    lowest = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: lowest.append(sparsity(model).sparsity)
    )
    fit(model, TargetSparsity(0.8, 20), watch, epochs=3)
    assert min(lowest) > 0.5


def test_inside_a_loss_scale_optimizer():
    model = model_with(keras.optimizers.LossScaleOptimizer(steered()))
    fit(model, TargetSparsity(0.5, 4), epochs=2)
    inner = model.optimizer.inner_optimizer
    assert float(ops.convert_to_numpy(inner.strength_scale)) != 1.0


def test_no_proximal_is_refused():
    with pytest.raises(ValueError, match="Proximal"):
        fit(model_with("sgd"), TargetSparsity(0.5, 4), epochs=1)


def test_two_that_steer_one_optimizer_are_refused_before_training():
    model = model_with(steered())
    both = [TargetSparsity(0.5, 2), TargetSparsity(0.9, 2, scope="hidden/kernel")]
    with pytest.raises(ValueError, match=r"(?s)one TargetSparsity.*0\.5.*0\.9.*hidden/kernel"):
        fit(model, *both, epochs=1)
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 0
    # One after the other is no conflict, nor is the same one again.
    for steer in (*both, both[1]):
        fit(model, steer, epochs=1)


def test_pattern_that_names_nothing_is_refused():
    with pytest.raises(ValueError, match=r"'hiden/kernel'.*hidden/kernel"):
        fit(model_with(steered()), TargetSparsity(0.5, 4, scope="hiden/kernel"), epochs=1)


@pytest.mark.parametrize("target", [0, 1, -0.1, 1.5, None, "half", True, np.nan])
def test_bad_target_is_refused(target):
    with pytest.raises(ValueError, match="`target`"):
        TargetSparsity(target)


@pytest.mark.parametrize("until", [0, -1, 1.0, 2.5, None, True])
def test_bad_until_is_refused(until):
    with pytest.raises(ValueError, match="`until`"):
        TargetSparsity(0.5, until=until)


@pytest.mark.parametrize("of", [None, "units", 1])
def test_bad_of_is_refused(of):
    with pytest.raises(ValueError, match="`of`"):
        TargetSparsity(0.5, of=of)


def test_bad_pattern_is_refused():
    with pytest.raises(ValueError, match="regular expression"):
        TargetSparsity(0.5, until=5, scope="dense(")


@pytest.mark.parametrize("cls", [np.float32, np.float64, np.array])
def test_numpy_numbers_are_accepted(cls):
    steer = TargetSparsity(cls(0.5), until=np.int64(4))
    assert (steer.target, steer.until) == (0.5, 4)


def proximal(penalties):
    return Proximal(keras.optimizers.SGD(0.02), penalties)


def test_share_that_the_penalties_cannot_reach_is_refused_with_the_number():
    # 20 * 30 weights in hidden, 30 in out.
    model = model_with(proximal({"out/kernel": regularizers.L1(0.1)}))
    with pytest.raises(ValueError, match=r"at most 0.0476,.*target=0.8.*hidden/kernel"):
        fit(model, TargetSparsity(0.8, 4), epochs=1)
    assert float(ops.convert_to_numpy(model.optimizer.strength_scale)) == 1.0


def test_zeros_of_frozen_weights_count():
    model = model_with(proximal({"out/kernel": regularizers.L1(0.1)}))
    hidden = model.get_layer("hidden")
    hidden.kernel.assign(ops.zeros((20, 30)))
    hidden.trainable = False
    model.compile(proximal({"out/kernel": regularizers.L1(0.1)}), "mse")
    fit(model, TargetSparsity(0.97, 4), epochs=1)


@pytest.mark.parametrize(
    "penalty",
    [
        regularizers.L2(0.1),
        regularizers.TopK(0.5),
        regularizers.NM(2, 4),
        regularizers.L1(0.0),
        regularizers.L1(0.1, group_axis=-1, weights=np.zeros(30)),
    ],
)
def test_what_no_strength_steers_is_refused(penalty):
    model = model_with(proximal({"hidden/kernel": penalty}))
    with pytest.raises(ValueError, match=r"whose strength decides.*hidden/kernel"):
        fit(model, TargetSparsity(0.5, 4), epochs=1)


def test_scale_that_stops_helping_is_left_where_it_helped():
    model = model_with(proximal(regularizers.L1(1e-3)))

    def refill(batch, logs):
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        for layer in model.layers:
            layer.kernel.assign(np.ones(layer.kernel.shape))

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=refill)
    with pytest.warns(UserWarning, match="sparsity of 0.00%.*target of 80.00%.*no longer helped"):
        history = fit(model, watch, TargetSparsity(0.8, 10), epochs=10)
    assert history["strength_scale"][-1] == 1.0


def test_all_zero_weights_stop_it():
    model = model_with(proximal(regularizers.L1(1e30)))
    with pytest.warns(UserWarning, match="zero for an epoch|Every weight of") as caught:
        history = fit(model, TargetSparsity(0.5, 20), epochs=4)
    texts = [str(each.message) for each in caught]
    assert sum("has been zero for an epoch" in text for text in texts) == 1
    assert sum("Every weight of sequential" in text for text in texts) == 1
    assert len(set(history["strength_scale"][1:])) == 1


def test_a_scale_of_zero_stays_and_is_warned_of():
    model = model_with(steered())
    model.optimizer.strength_scale = 0.0
    with pytest.warns(UserWarning, match="no effect while `strength_scale`") as caught:
        history = fit(model, TargetSparsity(0.5, 2), epochs=3)
    assert sum("no effect while" in str(each.message) for each in caught) == 1
    assert history["strength_scale"] == [0.0, 0.0, 0.0]


def test_a_training_that_was_too_short_is_told_of():
    model = model_with(steered(1e-6))
    with pytest.warns(UserWarning, match=r"ends at a sparsity of .*, far below the .* 80\.00%"):
        fit(model, TargetSparsity(0.8, 1), epochs=1)


@pytest.mark.parametrize("until", [0.5, 10])
def test_reference_is_the_cubic_curve_of_pruning(until):
    model = model_with(steered(1e-6))
    steer = TargetSparsity(0.8, until)
    expected = keras.optimizers.schedules.PolynomialDecay(0.0, 10.0, 0.8, power=3.0)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            # An error of 0 is at the reference, and above it.
            grid = np.linspace(0.02, 0.78, 400)
            below = [share for share in grid if steer._error(epoch + 1.0, share) > 0]
            seen.append(below[-1] if below else 0.0)

    fit(model, steer, Look(), epochs=20)
    wanted = [min(float(expected(epoch + 1)), 0.78) for epoch in range(20)]
    np.testing.assert_allclose(seen, wanted, atol=0.005)


def test_strength_changes_little_in_a_batch():
    model = model_with(steered(1e-4))
    scales = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            scales.append(float(ops.convert_to_numpy(model.optimizer.strength_scale)))

    fit(model, TargetSparsity(0.8, 10), Look(), epochs=20)
    changes = np.abs(np.diff(np.log(scales)))
    assert 0.3 < changes.max() <= 0.5 + 1e-5


def test_groups_are_counted_where_asked():
    units = {"hidden/kernel": regularizers.GroupLasso(1e-2, group_axis="outputs")}
    rate = keras.optimizers.schedules.CosineDecay(0.01, 240, alpha=0.02)
    model = model_with(Proximal(keras.optimizers.Adam(rate), units))
    steer = TargetSparsity(0.5, 20, of="groups")
    fit(model, steer)
    kernel = ops.convert_to_numpy(model.get_layer("hidden").kernel)
    dead = np.mean(np.all(kernel == 0, axis=0))
    assert steer._counted.share() == pytest.approx(dead)
    assert abs(dead - 0.5) <= 0.2


def test_groups_of_a_penalty_on_single_weights_are_refused():
    with pytest.raises(ValueError, match=r"`group_axis`.*L1"):
        fit(model_with(steered()), TargetSparsity(0.5, of="groups"), epochs=1)


def test_a_refit_that_begins_too_early_is_warned_of():
    model = model_with(steered(1e-6))
    with pytest.warns(UserWarning, match="refit begins at a sparsity of .* below the target"):
        fit(model, TargetSparsity(0.9, 10), Refit(at=1), epochs=3)
