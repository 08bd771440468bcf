"""Penalties on channels: groups over several variables, against NumPy, skglm and what compacts."""

import json

import channel_models
import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_reg as kr
from keras_reg import regularizers, schedules
from keras_reg.ops.grouping import Across, Place
from keras_reg.optimizers import Proximal
from keras_reg.optimizers.channel_groups import ChannelGroups, same_paths
from keras_reg.regularizers import L1, MCP, GroupLasso, SparseGroupLasso, TopK
from keras_reg.report.compiled_counting import CompiledReader
from keras_reg.report.sparsity import Meter

BACKEND = keras.backend.backend()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def two_layers(**kwargs):
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu", name="a"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(5, activation="relu", name="b"),
            layers.Dense(3, name="out", **kwargs),
        ],
        name="net",
    )


def residual():
    x = keras.Input((6, 6, 3))
    first = layers.Conv2D(4, 3, padding="same", name="first")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(first)
    y = layers.Conv2D(4, 1, name="second")(layers.BatchNormalization(name="norm")(y))
    y = layers.GlobalAveragePooling2D()(layers.Add()([first, y]))
    return keras.Model(x, layers.Dense(2, name="out")(y), name="net")


def arrays(model):
    return {v.path: ops.convert_to_numpy(v).astype("float64") for v in model.trainable_variables}


def members(model, readers=False):
    """For each free group a list over its channels of the entries, (path, mask), of each."""
    trained = {id(v) for v in model.trainable_variables}
    found = []
    for group in kr.channels(model).free():
        channels = []
        for channel in range(group.size):
            masks = {}
            for part in group.parts:
                if id(part.variable) in trained and (readers or "reads" not in part.roles):
                    mask = masks.setdefault(
                        part.variable.path, np.zeros(tuple(part.variable.shape), bool)
                    )
                    mask[(slice(None),) * part.axis + (part.indices[channel],)] = True
            channels.append(masks)
        found.append(channels)
    return found


def norm_of(values, masks):
    return np.sqrt(sum(np.sum(values[path][mask] ** 2) for path, mask in masks.items()))


def step(model, penalties, rate=0.1, **kwargs):
    """The weights before and after one update whose gradient is zero."""
    for place, variable in enumerate(model.trainable_variables):
        variable.assign(normal(*variable.shape, seed=place))
    before = arrays(model)
    optimizer = Proximal(keras.optimizers.SGD(rate), penalties, **kwargs)
    optimizer.apply(
        [ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables
    )
    return before, arrays(model)


RADIAL = [
    GroupLasso(5.0),
    GroupLasso(9.0, size_scaling=False),
    L1(5.0),
    MCP(3.0, gamma=3.0),
    regularizers.SCAD(3.0),
    regularizers.L0(9.0),
    regularizers.Lq(5.0),
    regularizers.LogSum(5.0),
    regularizers.CappedL1(5.0),
    regularizers.ElasticNet(5.0),
]


# PyTorch compiles nothing, so it takes them all.
@pytest.mark.parametrize("make", [two_layers, residual] if BACKEND == "torch" else [residual])
@pytest.mark.parametrize("penalty", RADIAL if BACKEND == "torch" else RADIAL[::3], ids=repr)
def test_radial_penalty_acts_on_the_channel_as_on_one_long_vector(penalty, make):
    """All weights of a channel in one row: the penalty's own prox of a matrix is the oracle."""
    model = make()
    before, after = step(model, {kr.channels(model): penalty})
    config = {**penalty.get_config(), "group_axis": 0}
    by_rows = type(penalty).from_config(config)
    seen = {path: np.zeros(w.shape, bool) for path, w in before.items()}
    for channels in members(model):
        rows = np.array(
            [np.concatenate([before[p][m] for p, m in masks.items()]) for masks in channels]
        )
        shrunk = by_rows.prox(ops.convert_to_tensor(rows.astype("float32")), 0.1)
        for row, masks in zip(ops.convert_to_numpy(shrunk), channels, strict=True):
            got = np.concatenate([after[p][m] for p, m in masks.items()])
            np.testing.assert_allclose(got, row, rtol=2e-5, atol=1e-6)
            for path, mask in masks.items():
                assert not np.any(seen[path] & mask)
                seen[path] |= mask
    for path, w in before.items():
        np.testing.assert_array_equal(after[path][~seen[path]], w[~seen[path]])


def test_sparse_group_lasso_acts_on_the_channel_as_on_one_long_vector():
    test_radial_penalty_acts_on_the_channel_as_on_one_long_vector(
        SparseGroupLasso(3.0, l1_ratio=0.3), residual
    )


def test_sets_that_share_an_axis_have_their_own_values_and_norms():
    first, second = np.array([[0], [2]]), np.array([[1, 4], [3, 5]])
    grouping = Across([(7,)], [[Place(0, 0, first)], [Place(0, 0, second)]])
    (found,) = grouping.spread([ops.array([2.0, 3.0]), ops.array([5.0, 7.0])])
    assert ops.convert_to_numpy(found).tolist() == [2, 5, 3, 7, 5, 7, 1]
    norms = grouping.norms([ops.array([1.0, 3.0, 2.0, 6.0, 4.0, 8.0, 9.0])])
    assert [ops.convert_to_numpy(one).tolist() for one in norms] == [[1, 2], [5, 10]]


def test_units_that_stay_are_left_alone_beside_others_of_their_kernel():
    x = keras.Input((3,))
    both = layers.Dense(6, name="both")(x)
    model = keras.Model(x, [layers.Dense(2, name="out")(both[:, :3]), both[:, 3:]])
    for penalty in (SparseGroupLasso(3.0), GroupLasso(9.0), TopK(1.0)):
        before, after = step(model, {kr.channels(model): penalty})
        changed = np.any(before["both/kernel"] != after["both/kernel"], axis=0)
        np.testing.assert_array_equal(changed, [True] * 3 + [False] * 3)


@pytest.mark.parametrize("name", channel_models.MODELS if BACKEND == "torch" else ["lstm"])
def test_norms_of_channels_fall_by_the_strength_in_models_of_all_kinds(name):
    model = channel_models.made(name)
    free = kr.channels(model).free()
    if not len(free):
        with pytest.raises(ValueError, match="Expected channels that can be removed"):
            Proximal("sgd", {kr.channels(model): L1(1.0)})
        return
    before, after = step(model, {free: L1(2.0, size_scaling=False)}, rate=1.0)
    every = [masks for channels in members(model) for masks in channels]
    seen = {
        path: sum(masks[path].astype(int) for masks in every if path in masks) for path in before
    }
    for masks in every:
        if all(np.all(seen[path][mask] == 1) for path, mask in masks.items()):
            expected = max(norm_of(before, masks) - 2.0, 0.0)
            assert norm_of(after, masks) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    held = {p for channels in members(model) for masks in channels for p in masks}
    for path in set(before) - held:
        np.testing.assert_array_equal(after[path], before[path])


@pytest.mark.once  # Numba compiles skglm's solver for it.
def test_group_over_two_kernels_and_a_bias_has_the_solution_of_skglm():
    """Units of two layers that are added, read by a fixed square kernel: a convex problem."""
    import skglm
    from skglm.datafits import QuadraticGroup
    from skglm.penalties import WeightedGroupL2
    from skglm.solvers import GroupBCD
    from skglm.utils.data import grp_converter

    n, units, strength = 40, 5, 0.08
    xs = [normal(n, 3, seed=1), normal(n, 4, seed=2)]
    reader = np.linalg.qr(normal(units, units, seed=3))[0] + 0.3 * normal(units, units, seed=4)
    truth = normal(8, units, seed=5) * np.array([1, 0, 1, 0, 1])
    design = np.hstack([*xs, np.ones((n, 1), "float32")])
    y = (design @ truth @ reader + 0.1 * normal(n, units, seed=6)).astype("float32")

    inputs = [keras.Input((3,)), keras.Input((4,))]
    made = [
        layers.Dense(units, name="one", use_bias=False)(inputs[0]),
        layers.Dense(units, name="two")(inputs[1]),
    ]
    fixed = layers.Dense(units, use_bias=False, name="reader", trainable=False)
    model = keras.Model(inputs, fixed(layers.Add()(made)))
    fixed.set_weights([reader])

    # The loss is half the mean square over examples, summed over outputs.
    columns = np.kron(design, reader.T).astype("float64")  # Rows: examples, outputs.
    order = np.arange(8 * units).reshape(8, units).T.ravel()  # Unit by unit.
    x = np.asfortranarray(columns[:, order] * np.sqrt(units))
    target = y.ravel().astype("float64") * np.sqrt(units)
    indices, pointers = grp_converter(8, x.shape[1])
    weights = np.full(units, np.sqrt(8.0))
    solver = GroupBCD(tol=1e-12, max_iter=1000)
    estimator = skglm.GeneralizedLinearEstimator(
        QuadraticGroup(pointers, indices),
        WeightedGroupL2(strength, weights, pointers, indices),
        solver,
    )
    estimator.fit(x, target)
    expected = estimator.coef_.reshape(units, 8).T

    curvature = np.linalg.eigvalsh(x.T @ x / len(x))[-1]
    optimizer = Proximal(
        keras.optimizers.SGD(float(0.5 / curvature), momentum=0.9),
        {kr.channels(model): GroupLasso(strength)},
    )

    def half_square(target, output):
        return 0.5 * ops.mean(ops.sum(ops.square(target - output), axis=-1))

    model.compile(optimizer, half_square)
    repeated = [np.tile(a, (600, 1)) for a in (*xs, y)]
    model.fit(repeated[:2], repeated[2], batch_size=n, epochs=2, shuffle=False, verbose=0)
    one, two, bias = (ops.convert_to_numpy(v) for v in model.trainable_variables)
    found = np.vstack([one, two, bias])
    assert 0 < np.sum(np.all(expected == 0, axis=0)) < units
    np.testing.assert_array_equal(np.all(found == 0, axis=0), np.all(expected == 0, axis=0))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def dead(model, readers=False):
    """Which channels of each free group are zero."""
    values = arrays(model)
    return [
        np.array([norm_of(values, masks) == 0 for masks in channels])
        for channels in members(model, readers)
    ]


@pytest.mark.parametrize("scope", ["variable", "all"])
@pytest.mark.parametrize("score", ["magnitude", "lamp"])
def test_top_k_removes_the_channels_of_the_smallest_norms(scope, score):
    model = two_layers()
    before, _ = step(model, {kr.channels(model): TopK(0.4, scope=scope, score=score)})
    norms = [np.array([norm_of(before, masks) for masks in ms]) for ms in members(model)]
    found = dead(model)
    if scope == "variable":
        assert [one.sum() for one in found] == [3, 2]
        for one, norm in zip(found, norms, strict=True):
            assert norm[one].max() < norm[~one].min()
        return
    if score == "lamp":
        norms = [np.array([r**2 / np.sum(norm[norm >= r] ** 2) for r in norm]) for norm in norms]
    scores, gone = np.concatenate(norms), np.concatenate(found)
    assert gone.sum() == 5
    assert scores[gone].max() < scores[~gone].min()


def cost_by_hand(of):
    """What is left of two_layers() and residual(), by the channels that are."""
    if of == "macs":
        return {
            two_layers: lambda a, b: 6 * a + a * b + 3 * b,
            residual: lambda c: 36 * (27 * c + 9 * c + c * c) + 2 * c,
        }
    return {
        two_layers: lambda a, b: 7 * a + 4 * a + (a + 1) * b + 3 * b + 3,
        residual: lambda c: 28 * c + 10 * c + (c + 1) * c + 4 * c + 2 * c + 2,
    }


@pytest.mark.parametrize("make", [two_layers, residual])
@pytest.mark.parametrize("of", ["parameters", "macs"])
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.75])
def test_no_more_channels_go_than_the_budget_asks_for(sparsity, of, make):
    model, cost = make(), cost_by_hand(of)[make]
    penalty = TopK(sparsity, scope="all", of=of)
    before, _ = step(model, {kr.channels(model): penalty})
    norms = [np.array([norm_of(before, masks) for masks in ms]) for ms in members(model)]
    gone, scores = dead(model), np.sort(np.concatenate(norms))
    whole = cost(*map(len, norms))
    kept = [np.sum(~one) for one in gone]
    removed = sum(one.sum() for one in gone)
    assert cost(*kept) <= (1 - sparsity) * whole
    if removed:
        assert np.concatenate(norms)[np.concatenate(gone)].max() == scores[removed - 1]
        fewer = [np.sum(norm >= scores[removed - 1]) for norm in norms]
        assert cost(*fewer) > (1 - sparsity) * whole


def test_budget_counts_the_channels_that_are_not_selected_as_they_are():
    model = two_layers()
    chosen = kr.channels(model).matching("a")
    step(model, {chosen: TopK(0.4, scope="all", of="macs")})
    alive = 8 - dead(model)[0].sum()
    whole = 6 * 8 + 8 * 5 + 15
    assert 11 * alive + 15 <= 0.6 * whole < 11 * (alive + 1) + 15
    with pytest.raises(ValueError, match=r"sparsity of at most 0.8543.*14.56%"):
        step(model, {chosen: TopK(0.9, scope="all", of="macs")})
    with pytest.raises(ValueError, match="Expected channels for `of='macs'`"):
        TopK(0.5, scope="all", of="macs").prox(ops.ones((3, 3)), 0.1)
    with pytest.raises(ValueError, match="Expected channels for `of='macs'`"):
        step(model, TopK(0.5, scope="all", of="macs"))


def test_budget_by_a_schedule_in_a_fit_that_is_saved(tmp_path):
    ramp = schedules.Linear(0.0, 0.5, steps=6)
    model = compiled(lambda m: {kr.channels(m): TopK(ramp, scope="all", of="macs", at_least=0.1)})
    fit(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    fit(model)
    fit(again)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    a, b = (np.sum(~one) for one in dead(again))
    assert 6 * a + a * b + 3 * b <= 0.5 * 103


def test_floor_of_a_group_of_channels():
    model = two_layers()
    penalty = TopK(0.6, scope="all", at_least=0.3)
    step(model, {kr.channels(model): penalty})
    assert sum(one.sum() for one in dead(model)) == 8
    assert [np.sum(~one) >= floor for one, floor in zip(dead(model), (3, 2), strict=True)]


def test_weights_of_readers_are_in_the_groups_by_choice():
    model = two_layers()
    channels = kr.channels(model).with_readers()
    before, after = step(model, {channels: TopK(0.4, scope="all")})
    assert sum(one.sum() for one in dead(model, readers=True)) == 5
    changed = {path for path in before if np.any(before[path] != after[path])}
    assert "net/out/kernel" in changed
    before, after = step(model, {channels: L1(4.0, size_scaling=False)})
    for channels in members(model, readers=True):
        for masks in channels:
            assert (norm_of(before, masks) <= 0.4) == (norm_of(after, masks) == 0)


@pytest.mark.parametrize("by", ["parameters", "macs"])
def test_cost_weighs_a_group_relative_to_the_mean_channel(by):
    model = two_layers()
    channels = kr.channels(model)
    cost = {group.name: getattr(group, by) for group in channels.free()}
    mean = (8 * cost["net/a"] + 5 * cost["net/b"]) / 13
    before, after = step(model, {channels.weighted(by): GroupLasso(1.0)})
    for name, masks in zip("ab", (channel[0] for channel in members(model)), strict=True):
        moved = norm_of(before, masks) - norm_of(after, masks)
        assert moved == pytest.approx(0.1 * cost[f"net/{name}"] / mean, rel=1e-4)


def fit(model, epochs=1):
    x = normal(32, 6)
    model.fit(x, x[:, :3], batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def compiled(make_penalties, optimizer=None, jit_compile=False, **kwargs):
    keras.utils.set_random_seed(3)
    model = two_layers()
    optimizer = Proximal(optimizer or keras.optimizers.Adam(0.01), make_penalties(model), **kwargs)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return model


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize(
    "choose", [lambda channels: channels, lambda c: c.with_readers().weighted("macs")]
)
@pytest.mark.filterwarnings("ignore:Every weight of:UserWarning")
def test_saved_model_goes_on_bit_for_bit_without_custom_objects(choose, jit_compile, tmp_path):
    if jit_compile and BACKEND == "torch":
        pytest.skip("PyTorch runs eagerly")
    ramp = schedules.Linear(0.0, 15.0, steps=8)

    def penalties(model):
        channels = choose(kr.channels(model))
        return {channels: GroupLasso(ramp), "out/bias": L1(1e-3)}

    model = compiled(penalties, jit_compile=jit_compile)
    fit(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    fit(model, 2)
    fit(again, 2)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(one.any() for one in dead(again))


def test_paths_that_differ_after_loading_are_found():
    saved = ["net/a/kernel", "net/b/kernel", "c/kernel", "x/d/kernel", "y/d/kernel"]
    loaded = ["a/kernel", "b/kernel", "deep/c/kernel", "d/kernel"]
    assert same_paths(saved, loaded) == dict(zip(saved[:3], loaded[:3], strict=True))


def test_loaded_model_whose_first_layer_is_frozen(tmp_path):
    model = compiled(lambda m: {kr.channels(m): GroupLasso(1e-3)})
    fit(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    again.get_layer("a").trainable = False
    again.compile(again.optimizer.from_config(again.optimizer.get_config()), "mse")
    again.optimizer.strength_scale = 1e6
    with pytest.warns(UserWarning, match="Every weight of .*b/kernel"):
        fit(again)
    kernels = [again.get_layer(name).get_weights()[0] for name in "ab"]
    assert [np.all(kernel == 0) for kernel in kernels] == [False, True]


def test_indices_of_every_kind_are_saved():
    for name in ("lstm", "flattened", "densenet", "group query"):
        model = channel_models.made(name)
        optimizer = Proximal("sgd", {kr.channels(model): L1(0.1)})
        config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
        again = keras.optimizers.deserialize(config)
        (one,), (other,) = optimizer.penalties, again.penalties
        rule = ChannelGroups.of(one)
        for group, loaded in zip(rule.groups, other.groups, strict=True):
            assert (group.name, group.cost) == (loaded.name, loaded.cost)
            for part, same in zip(group.parts, loaded.parts, strict=True):
                assert (part[:2], part.is_maker) == (same[:2], same.is_maker)
                np.testing.assert_array_equal(part.indices, same.indices)


def test_averages_accumulation_and_due_steps_hold_channels():
    inner = keras.optimizers.Adam(0.01, use_ema=True, gradient_accumulation_steps=2)
    model = compiled(lambda m: {kr.channels(m): TopK(0.4, scope="all")}, inner, every=2)
    supports = []
    for _ in range(3):
        fit(model)  # Four batches: two updates, of which the second has a step.
        supports.append(np.concatenate(dead(model)))
        assert supports[-1].sum() == 5
    average = {
        v.path: a
        for v, a in zip(
            model.trainable_variables, inner._model_variables_moving_average, strict=True
        )
    }
    for path, w in arrays(model).items():
        np.testing.assert_array_equal(ops.convert_to_numpy(average[path]) == 0, w == 0)


def test_dead_channels_stay_dead_when_the_support_is_fixed():
    model = compiled(lambda m: {kr.channels(m): TopK(0.4, scope="all")})
    fit(model)
    gone = np.concatenate(dead(model))
    model.optimizer.fix_support()
    model.make_train_function(force=True)
    fit(model, 2)
    np.testing.assert_array_equal(np.concatenate(dead(model)), gone)
    assert gone.sum() == 5


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas_shrink_alike():
    import tensorflow as tf

    devices = ["CPU:0", "CPU:1"]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    penalties = lambda m: {kr.channels(m): TopK(0.4, scope="all")}  # noqa: E731
    with strategy.scope():
        model = compiled(penalties)
        fit(model)
    assert sum(one.sum() for one in dead(model)) == 5
    for weight in model.trainable_weights:
        np.testing.assert_array_equal(*[copy.numpy() for copy in weight.value.values])


def test_frozen_kernels():
    model = two_layers()
    channels = kr.channels(model)
    model.get_layer("a").trainable = False
    optimizer = Proximal("sgd", {channels: GroupLasso(0.1)})
    optimizer.build(model.trainable_variables)
    names = {v.path for _, v in optimizer.resolve(model.trainable_variables)}
    assert names == {"net/b/kernel", "net/b/bias"}
    model.get_layer("b").trainable = False
    optimizer = Proximal("sgd", {channels: GroupLasso(0.1)})
    with pytest.raises(ValueError, match="Expected channels made by kernels that the optimizer"):
        optimizer.build(model.trainable_variables)


def test_channels_of_which_some_kernels_are_frozen_are_left_as_they_are():
    x = keras.Input((3,))
    joined = layers.Add()([layers.Dense(4, name="one")(x), layers.Dense(4, name="two")(x)])
    hidden = layers.Dense(5, name="hidden")(joined)
    model = keras.Model(x, layers.Dense(2, name="out")(hidden))
    channels = kr.channels(model)
    model.get_layer("two").trainable = False
    optimizer = Proximal("sgd", {channels: L1(0.1)})
    with pytest.warns(UserWarning, match="Some are frozen for these channels.*: one"):
        optimizer.build(model.trainable_variables)
    paths = [v.path for _, v in optimizer.resolve(model.trainable_variables)]
    assert paths == ["hidden/kernel", "hidden/bias"]


@pytest.mark.parametrize(
    ("penalties", "kwargs", "expected"),
    [
        (lambda c: {c.matching("out"): L1(0.1)}, {}, "net/out: an output of the model"),
        (lambda c: {c: L1(0.1), "b/kernel": L1(0.1)}, {}, "both name net/b/kernel"),
        (lambda c: {c: L1(0.1), c.matching("b"): L1(0.1)}, {}, "two on those of net/b"),
        (lambda c: {c: regularizers.NM(2, 4)}, {}, "acts on the norms of groups"),
        (lambda c: {c: regularizers.SLOPE(0.1)}, {}, "acts on the norms of groups"),
        (lambda c: {c: GroupLasso(0.1, group_axis="inputs")}, {}, "no `group_axis`"),
        (lambda c: {c: GroupLasso(0.1, weights=[1.0])}, {}, "no `group_axis` and no `weights`"),
        (lambda c: {c: TopK(0.1, group_axis=0)}, {}, "no `group_axis`"),
        (lambda c: {c: TopK(0.1, score="fan_in")}, {}, "fan-ins"),
        (lambda c: {c: L1(0.1)}, {"metric": "adaptive"}, "euclidean"),
        (lambda c: {c.weighted("size"): L1(0.1)}, {}, "by='size'"),
    ],
)
def test_what_does_not_suit_channels_is_refused(penalties, kwargs, expected):
    model = two_layers()
    optimizer = "adam" if kwargs else "sgd"
    with pytest.raises(ValueError, match=expected):
        Proximal(optimizer, penalties(kr.channels(model)), **kwargs).build(
            model.trainable_variables
        )


def test_regularizer_in_a_layer_beside_a_penalty_on_channels_is_refused():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, kernel_regularizer=regularizers.L2(0.1), name="a"),
            layers.Dense(2),
        ]
    )
    with pytest.raises(ValueError, match=r"Expected one penalty on .*a/kernel"):
        Proximal("sgd", {kr.channels(model): L1(0.1)}).build(model.trainable_variables)


def test_report_and_repr_of_penalties_on_channels():
    model = compiled(lambda m: {kr.channels(m): GroupLasso(0.5)})
    fit(model)
    assert "Channels(net: 3 groups" in repr(model.optimizer)
    assert "a" in str(kr.sparsity(model))
    assert not model.optimizer.left_out(model.trainable_variables[:6])


@pytest.mark.parametrize(
    ("penalty", "phi"),
    [
        (GroupLasso(0.5), lambda w: np.sqrt(w.size) * np.sqrt(np.sum(w**2))),
        (
            SparseGroupLasso(0.5, l1_ratio=0.3),
            lambda w: 0.3 * np.abs(w).sum() + 0.7 * np.sqrt(w.size) * np.sqrt(np.sum(w**2)),
        ),
    ],
)
def test_reports_have_the_value_of_a_penalty_on_channels(penalty, phi):
    model = compiled(lambda m: {kr.channels(m).matching("a"): penalty, "out/bias": L1(2.0)})
    model.get_layer("out").bias.assign([1.0, -2.0, 0.0])
    model.optimizer.build(model.trainable_variables)
    model.optimizer.strength_scale = 3.0
    values = arrays(model)
    (masks,) = [channels for channels in members(model) if "net/a/kernel" in channels[0]]
    rows = [np.concatenate([values[p][m].ravel() for p, m in one.items()]) for one in masks]
    expected = 3.0 * (0.5 * sum(map(phi, rows)) + 2.0 * 3.0)
    assert kr.sparsity(model).penalty == pytest.approx(expected, rel=1e-5)
    again = Meter(model, reader=CompiledReader).measure()
    assert again.penalty == pytest.approx(expected, rel=1e-5)
