"""TargetSparsity over channels: counted as the model that `compact` makes."""

import channel_models
import keras
import numpy as np
import pytest
from catalogue import penalty_classes
from keras import layers, ops

import keras_reg as kr
from keras_reg.callbacks import TargetSparsity
from keras_reg.callbacks.counted import counted
from keras_reg.ops.grouping import Within
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import L0, L1, L2, MCP, GroupLasso, TopK
from keras_reg.regularizers.radial import RadialPenalty


def network():
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(x)
    z = layers.Conv2D(12, 3, padding="same", use_bias=False, name="second")(y)
    z = layers.ReLU()(layers.BatchNormalization(momentum=0.8, name="norm")(z))
    z = layers.Conv2D(8, 1, name="third")(z)
    y = layers.GlobalAveragePooling2D()(layers.Add()([y, z]))
    model = keras.Model(x, layers.Dense(2, name="out")(y), name="net")
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(rng.normal(0, 0.2, layer.kernel.shape))
    return model


def by_hand(first, second):
    """Multiply-adds of what is left."""
    return 64 * (27 * first + 9 * first * second + second * first) + 2 * first


def compiled(penalties, rate=0.01):
    model = network()
    optimizer = Proximal(keras.optimizers.Adam(rate), penalties(kr.channels(model)))
    model.compile(optimizer, "mse")
    return model


def fit(model, *callbacks, epochs=8):
    x = np.random.default_rng(0).standard_normal((128, 8, 8, 3)).astype("float32")
    y = np.stack([x[..., 0].mean((1, 2)), np.abs(x[..., 1]).mean((1, 2))], axis=1)
    arguments = {"batch_size": 8, "epochs": epochs, "shuffle": False, "verbose": 0}
    return model.fit(x, 4 * y, **arguments, callbacks=list(callbacks))


def kill(model, first, second):
    """Makes some channels zero, and all else something else."""
    for variable in model.trainable_variables:
        variable.assign(np.random.default_rng(1).uniform(0.5, 1.5, variable.shape))
    zeros = {"first": first, "third": first, "second": second, "norm": second}
    for name, count in zeros.items():
        layer = model.get_layer(name)
        layer.set_weights(
            [
                w if "moving" in v.path else np.where(np.arange(w.shape[-1]) < count, 0, w)
                for w, v in zip(layer.get_weights(), layer.weights, strict=True)
            ]
        )


@pytest.mark.parametrize("kind", ["one rule", "two rules", "loaded"])
def test_shares_are_those_of_the_model_that_compact_makes(kind, tmp_path):
    split = lambda c: {c.matching("first"): L1(0.1), c.matching("second"): MCP(0.1)}  # noqa: E731
    model = compiled(split if kind == "two rules" else lambda c: {c: GroupLasso(0.1)})
    if kind == "loaded":
        model.optimizer.build(model.trainable_variables)
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    count = {
        of: counted(model, model.optimizer, "all", of) for of in ("channels", "parameters", "macs")
    }
    for gone in [(0, 0), (3, 5), (7, 0), (8, 12)]:
        kill(model, *gone)
        small, whole = kr.sparsity(kr.compact(model)), kr.sparsity(model)
        assert count["channels"].share() == pytest.approx(sum(gone) / 20)
        left = 1 - small.parameters / whole.parameters
        assert count["parameters"].share() == pytest.approx(left, abs=1e-6)
        left = by_hand(max(1, 8 - gone[0]), max(1, 12 - gone[1])) / by_hand(8, 12)
        assert count["macs"].share() == pytest.approx(1 - left, abs=1e-6)
        assert small.macs / whole.macs == pytest.approx(left)


def test_steered_until_the_compact_model_has_the_wanted_size():
    model = compiled(lambda channels: {channels: GroupLasso(0.01)})
    whole = kr.sparsity(model).macs
    history = fit(model, TargetSparsity(0.6, 5, of="macs")).history
    left = kr.sparsity(kr.compact(model)).macs / whole
    # One channel of each kind is a sixth of what is left at most.
    assert 0.24 < left <= 0.4
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_cheapest_measure_agrees_with_the_report_after_every_epoch():
    model = compiled(lambda channels: {channels: GroupLasso(0.01)})
    steer, seen = TargetSparsity(0.5, 3, of="macs"), []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(steer._seen)
    )
    history = fit(model, steer, watch, kr.callbacks.SparsityReport(verbose=0), epochs=4).history
    assert seen[-1] > 0.3
    np.testing.assert_allclose(1 - np.array(history["macs_left"]) / by_hand(8, 12), seen, atol=1e-6)


@pytest.mark.parametrize(
    ("penalties", "arguments", "expected"),
    [
        (lambda c: L1(0.1), {"of": "macs"}, "Expected penalties on channels for `of='macs'`"),
        (lambda c: {c: L1(0.1)}, {"of": "macs", "scope": "out/kernel"}, '`scope="all"`'),
        (lambda c: {c: L2(0.1)}, {"of": "macs"}, "whose strength decides.*L2"),
        (lambda c: {c: TopK(0.1)}, {"of": "channels"}, "whose strength decides.*TopK"),
        (lambda c: {c: L1(0.0)}, {"of": "parameters"}, "whose strength decides"),
        # One of the 12 stays: by_hand(8, 1) of by_hand(8, 12).
        (lambda c: {c.matching("second"): L1(0.1)}, {"of": "macs"}, "at most 0.7481, .* macs"),
        (lambda c: {c.matching("first"): L1(0.1)}, {"of": "channels"}, "warn"),
    ],
)
def test_what_cannot_be_reached_is_refused_at_the_start(penalties, arguments, expected):
    model = compiled(penalties)
    before = model.get_weights()
    if expected == "warn":
        fit(model, TargetSparsity(0.95, 2, **arguments), epochs=1)
        return
    with pytest.raises(ValueError, match=expected):
        fit(model, TargetSparsity(0.95, 2, **arguments), epochs=1)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_unknown_multiply_adds_are_refused():
    x = keras.Input((None, 4))
    y = layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Conv1D(6, 3)(x)))
    model = keras.Model(x, y)
    model.compile(Proximal("sgd", {kr.channels(model): L1(0.1)}), "mse")
    with pytest.raises(ValueError, match="multiply-adds are all known"):
        counted(model, model.optimizer, "all", "macs")
    assert counted(model, model.optimizer, "all", "parameters").share() == 0


def test_channels_that_are_left_out_stay_whole():
    model = network()
    model.get_layer("first").trainable = False
    model.compile(Proximal("sgd", {kr.channels(model): L1(0.1)}), "mse")
    with pytest.warns(UserWarning, match="Some are frozen"):
        model.optimizer.build(model.trainable_variables)
    count = counted(model, model.optimizer, "all", "macs")
    kill(model, 0, 6)
    assert count.share() == pytest.approx(1 - by_hand(8, 6) / by_hand(8, 12), abs=1e-6)


@pytest.mark.parametrize("name", ["lstm", "grouped", "densenet", "pre-norm", "group query"])
def test_shares_of_models_of_other_kinds(name):
    model = channel_models.made(name)
    before = kr.sparsity(model)
    channels = kr.channels(model)
    model.compile(Proximal("sgd", {channels: L1(0.1)}), "mse")
    counts = {of: counted(model, model.optimizer, "all", of) for of in ("parameters", "macs")}
    assert [count.share() for count in counts.values()] == [0, 0]
    values = {id(v): ops.convert_to_numpy(v).copy() for v in model.trainable_variables}
    for group in channels.free():
        for part in group.parts:
            if "reads" not in part.roles and id(part.variable) in values:
                at = (slice(None),) * part.axis + (part.indices[0],)
                values[id(part.variable)][at] = 0
    for variable in model.trainable_variables:
        variable.assign(values[id(variable)])
    after = kr.sparsity(kr.compact(model))
    for of, count in counts.items():
        left = getattr(after, of) / getattr(before, of)
        assert count.share() == pytest.approx(1 - left, abs=1e-6)


@pytest.mark.parametrize("cls", penalty_classes(RadialPenalty), ids=lambda cls: cls.__name__)
def test_zeros_ahead_are_those_of_the_steps_one_after_the_other(cls):
    penalty = cls(0.5, group_axis=-1)
    w = np.random.default_rng(0).normal(0, 1, (4, 200)) * np.geomspace(0.001, 1, 200)
    now, grouping = ops.array(w, "float32"), Within([w.shape], [-1])
    (seen,) = penalty.zeros_ahead([now], grouping, ops.array(0.01), ops.array(40.0), 0)
    for _ in range(40):
        now = penalty.prox(now, 0.01)
    zero = np.all(ops.convert_to_numpy(now) == 0, axis=0)
    assert np.mean(ops.convert_to_numpy(seen).ravel() != zero) <= 0.02
    assert zero.any() == (cls is not L2)


@pytest.mark.parametrize("penalty", [L0(0.1), MCP(0.1, gamma=0.5)], ids=["L0", "MCP"])
def test_penalties_that_are_not_convex_are_steered_to_the_target(penalty):
    model = compiled(lambda channels: {channels: penalty})
    steer = TargetSparsity(0.5, until=4, of="channels")
    fit(model, steer, epochs=6)
    assert 0.4 <= steer._counted.share() <= 0.8
