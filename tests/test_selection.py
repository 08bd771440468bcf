"""path: members, folds, scores, choices, and both ways to train."""

import json
import warnings

import keras
import numpy as np
import pytest
from selection_models import classes, data, network
from sklearn.metrics import make_scorer, mean_absolute_error, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit

from keras_reg import compact
from keras_reg.ops.backend import xla_on_cpu
from keras_reg.optimizers import Proximal
from keras_reg.regularizers import L1, L2, GroupLasso, TopK
from keras_reg.selection import PathResult, path
from keras_reg.selection.examples import Examples, examples_of
from keras_reg.selection.members import split
from keras_reg.selection.path import _state
from keras_reg.selection.scoring import Score, check_score
from keras_reg.selection.visits import Visit

INPUTS = {"hidden/kernel": GroupLasso(0.01, group_axis="inputs")}
STRENGTHS = [0.02, 0.3, 3.0]
QUICK = {"epochs": 2, "further_epochs": 1, "strengths": STRENGTHS, "verbose": 0}


def compiled(*layers):
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    return model


def walked(x=None, y=None, build=network, penalty=INPUTS, **kwargs):
    if x is None:
        x, y = data()
    return path(build, x, y, penalty, **QUICK | kwargs)


def test_a_path_goes_from_dense_to_sparse_and_finds_the_inputs_that_matter():
    x, y = data(120)
    result = path(network, x, y, INPUTS, epochs=40, further_epochs=10, strengths=6, folds=2,
                  verbose=0, batch_size=40, smallest=0.02)  # fmt: skip
    zeros = [row.zeros for row in result.rows]
    assert zeros[0] == 0.0
    assert zeros[-1] > 0.5
    assert result.best.score < result.rows[-1].score
    assert set(np.flatnonzero(result.norms[result.one_se.place, 0])) >= {0, 1}
    assert result.at(zeros=0.5).zeros >= 0.5
    assert result.one_se.strength >= result.best.strength


def normalized():
    """A model with all that changes in training besides weights, and a loss in a layer."""
    hidden = keras.layers.Dense(8, "tanh", bias_regularizer="l2", name="hidden")
    layers = [keras.Input((6,)), hidden, keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
    model.compile(keras.optimizers.RMSprop(rate, momentum=0.5), "mse", metrics=["mae"])
    return model


def measured():
    # Only JAX vectorizes dropout.
    rate = 0.1 if keras.backend.backend() == "jax" else 0.0
    return network(metrics=["mae"], dropout=rate)


@pytest.mark.parametrize(
    ("build", "kwargs"),
    [
        (measured, {"folds": 2, "seeds": 2, "chunk": 3}),
        (measured, {"folds": 3, "batch_size": 60, "sample_weight": np.linspace(0.5, 2, 61)}),
        (normalized, {"folds": 2}),
    ],
    ids=["folds and seeds, in chunks", "all rows of uneven folds, weighted", "much state"],
)
def test_stacked_members_are_those_trained_one_by_one(build, kwargs):
    x, y = data(61)
    results = [walked(x, y, build, stack=stack, score="mae", **kwargs) for stack in (True, False)]
    assert [result.notes["trained"] for result in results] == ["stacked", "one by one"]
    one, other = results
    for name in ("scores", "training_scores", "zeros", "norms"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-3, atol=1e-5)
    for mine, others in zip(one.weights, other.weights, strict=True):
        for w, expected in zip(mine, others, strict=True):
            np.testing.assert_allclose(w, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("warm", [True, False])
def test_a_member_is_what_fit_makes_of_its_rows(warm):
    x, y = data(64)
    train = np.arange(48)
    folds = [(train, np.arange(48, 64))]
    build = lambda: network(optimizer=keras.optimizers.SGD(0.1), dropout=0.0)  # noqa: E731
    further = 1 if warm else None
    result = walked(x, y, build, folds=folds, batch_size=64, epochs=5, strengths=[0.01, 0.02],
                    warm=warm, further_epochs=further)  # fmt: skip
    for scale, epochs in ((1.0, 5), (2.0, further or 5)):
        if epochs == 5:
            keras.utils.set_random_seed(0)
            model = network(dropout=0.0)
            model.compile(Proximal(keras.optimizers.SGD(0.1), INPUTS), "mse")
        model.optimizer.strength_scale = scale
        # The longest training set sets the number of updates: all rows at once, one an epoch.
        model.fit(x[train], y[train], batch_size=48, epochs=epochs, shuffle=False, verbose=0)
        place = int(scale) - 1
        expected = model.evaluate(x[48:], y[48:], verbose=0)
        assert result.scores[place, 1] == pytest.approx(expected, rel=1e-4)
    trained = model.evaluate(x[train], y[train], verbose=0)
    assert result.training_scores[1, 1] == pytest.approx(trained, rel=1e-4)


@pytest.mark.parametrize(
    ("folds", "kwargs"),
    [
        (KFold(3), {}),
        (TimeSeriesSplit(3), {}),
        (GroupKFold(3), {"groups": np.arange(60) // 10}),
        ([(np.arange(50), np.arange(50, 60)), (np.arange(10, 60), np.arange(10))], {}),
    ],
    ids=["KFold", "TimeSeriesSplit", "GroupKFold", "pairs"],
)
def test_folds_are_those_of_any_splitter(folds, kwargs):
    x, y = data()
    expected = folds if isinstance(folds, list) else list(folds.split(x, y, **kwargs))
    for found, pair in zip(split(Examples(x, y), folds, **kwargs), expected, strict=True):
        for rows, others in zip(found, pair, strict=True):
            np.testing.assert_array_equal(rows, others)


def test_folds_are_stratified_and_keep_groups_together():
    x, y = classes()
    groups = np.arange(60) % 12
    for _, test in split(Examples(x, y), 3):
        assert abs(y[test].mean() - y.mean()) < 0.05
    for train, test in split(Examples(x, np.eye(2)[y]), 3, groups):
        assert not set(groups[train]) & set(groups[test])
    number = split(Examples(x, data()[1]), 4, stratify=None)
    assert sorted(np.concatenate([test for _, test in number]).tolist()) == list(range(60))


def test_scores_are_those_of_scikit_learn():
    x, y = classes()
    chance = np.random.default_rng(0).uniform(0.01, 0.99, (60, 1)).astype("float32")
    weights = np.linspace(1, 2, 60)
    area = check_score("roc_auc", None, ["loss"])
    assert area.function(y, chance, weights) == roc_auc_score(y, chance, sample_weight=weights)
    three, logits = y + (x[:, 1] > 0), np.random.default_rng(1).standard_normal((60, 3))
    right = check_score("accuracy", None, ["loss"]).function(three, logits, None)
    assert right == np.mean(logits.argmax(axis=1) == three)
    targets = data()[1]
    error = np.abs(targets - chance[:, 0]).mean()
    own = make_scorer(mean_absolute_error, greater_is_better=False)
    for score in ("neg_mean_absolute_error", own):
        found = check_score(score, None, ["loss"])
        assert (found.mode, found.function(targets, chance, None)) == (
            "max",
            pytest.approx(-error, rel=1e-5),
        )
    assert check_score("accuracy", None, ["loss", "accuracy"]) == Score("accuracy", "max")
    assert check_score("mse", None, ["loss", "mse"]) == Score("mse", "min")


def test_a_score_of_scikit_learn_is_that_of_the_model():
    x, y = classes()
    build = lambda: network("binary_crossentropy")  # noqa: E731
    result = walked(x, y, build, score="roc_auc", validation_data=(x, y))
    outputs = result.model(STRENGTHS[0]).predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(result.scores[0, 0], roc_auc_score(y, outputs), atol=1e-6)


def test_class_weights_multiply_those_of_the_rows():
    x, y = classes()
    found = examples_of(x, y, np.full(60, 2.0), {0: 1.0, 1: 3.0})
    np.testing.assert_array_equal(found.weights, np.where(y, 6.0, 2.0))
    one_hot = examples_of(x, np.eye(2)[y], None, {0: 1.0, 1: 3.0})
    np.testing.assert_array_equal(one_hot.weights, np.where(y, 3.0, 1.0))


def test_a_dataset_is_trained_on_as_it_comes():
    class Rows(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, number):
            x, y = data()
            return x[20 * number :][:20], y[20 * number :][:20]

    result = walked(Rows(), None, validation_data=data(30, seed=1), seeds=2)
    assert result.notes["trained"] == "one by one"
    assert np.isfinite(result.scores).all()
    assert result.one_se.place >= result.best.place
    with pytest.raises(ValueError, match="arrays where rows are held out"):
        walked(Rows(), None, folds=3)
    with pytest.raises(ValueError, match="arrays to score on by 'r2'"):
        walked(Rows(), None, validation_data=Rows(), score="r2")


@pytest.mark.once("jax")
def test_a_loader_of_pytorch_is_a_dataset_on_other_backends():
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(*(torch.tensor(part) for part in data()))
    loader = torch.utils.data.DataLoader(rows, 20, shuffle=True)
    unbuilt = lambda: compiled(keras.layers.Dense(1, name="hidden"))  # noqa: E731
    result = walked(loader, None, unbuilt, validation_data=loader, strengths=[0.1, 0.2])
    assert np.isfinite(result.scores).all()


def test_the_bar_says_where_the_path_is(capsys):
    result = walked(folds=2, strengths=[0.1, 0.2])
    visit = Visit(1, *np.full((3, 3), 0.25), np.zeros(3, bool), np.ones((3, 6)), 8.0, 9.0, [])
    assert capsys.readouterr().out == ""  # verbose=0
    assert _state(result, visit) == "strength 0.2, zeros 25%, loss 0.25"


@pytest.fixture(scope="module")
def small():
    """A path that several tests look at."""
    return walked(folds=2)


def test_a_result_round_trips_through_json_without_its_weights(small):
    result = small
    text = result.to_json()
    again = PathResult.from_json(text)
    assert again.to_json() == text
    assert "NaN" not in text
    assert json.loads(text)["score"] == "loss"
    assert (again.best, again.one_se) == (result.best, result.one_se)
    assert str(again) == str(result)
    with pytest.raises(ValueError, match="without them: it was read from JSON"):
        again.model()
    for damaged in ("", "{}", text[:-9], "[]"):
        with pytest.raises(ValueError, match=r"what PathResult\.to_json wrote"):
            PathResult.from_json(damaged)


def test_channels_and_multiply_adds_are_those_of_the_compact_model():
    units = {"hidden/kernel": GroupLasso(0.01, group_axis="outputs")}
    build = lambda: network(dropout=0.0, outputs=2)  # noqa: E731
    x, y = data()
    result = walked(x, np.stack([y, y], 1), build, units, epochs=20, further_epochs=5,
                    strengths=[0.01, 2.0, 4.0])  # fmt: skip
    counts = []
    for row in result.rows:
        model = compact(result.model(row.strength))
        kernels = [w.shape for w in model.weights if len(w.shape) == 2]
        assert row.macs_left == sum(np.prod(shape) for shape in kernels)
        assert row.channels_left == np.any(result.weights[row.place][0] != 0, axis=0).sum()
        counts.append(row.channels_left)
    assert counts[0] == 8 > counts[-1]


def test_a_refit_keeps_the_zeros_and_fits_better():
    x, y = data(120)
    result = path(network, x, y, INPUTS, epochs=40, further_epochs=20, strengths=[0.2, 0.8, 1.0],
                  validation_split=0.25, verbose=0)  # fmt: skip
    row = result.choose(0.8)
    plain, relaxed = result.model(row), result.refit(row, epochs=40)
    zeros = [np.asarray(model.get_weights()[0]) == 0 for model in (plain, relaxed)]
    assert zeros[0].any()
    np.testing.assert_array_equal(*zeros)
    assert relaxed.evaluate(x, y, verbose=0) < plain.evaluate(x, y, verbose=0)
    assert type(relaxed.optimizer).__name__ == "Adam"


def test_a_member_that_diverges_is_marked_and_kills_no_other():
    x, y = data()
    x = np.where(np.arange(60)[:, None] == 7, 1e30, x)
    folds = [(np.arange(30, 60), np.arange(20)), (np.arange(30), np.arange(30, 60))]
    result = walked(x, y, lambda: network(optimizer=keras.optimizers.SGD(0.01)), folds=folds)
    assert result.diverged[:, [0, 2]].all()
    assert not result.diverged[:, 1].any()
    assert "diverged" in str(result)


def test_a_fold_without_a_score_is_marked_and_no_choice_rests_on_it():
    result = PathResult([0.1, 0.2], [None, 0, 1], [0, 0, 0], "auc", "max")
    result.done[:], result.scores[:, 1:] = True, [[0.8, 0.8], [0.9, np.nan]]
    assert result.rows[1].score == 0.9
    assert result.best.place == 0
    assert "1 without a score" in str(result)


def test_an_interrupted_path_returns_what_is_done(monkeypatch):
    from keras_reg.selection import one_by_one

    calls, fit = [], one_by_one.OneByOne._fit

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(self, *args)

    monkeypatch.setattr(one_by_one.OneByOne, "_fit", interrupted)
    with pytest.warns(UserWarning, match="Interrupted after 2 of 9"):
        result = walked(folds=2, stack=False)
    assert int(result.done.sum()) == 2
    assert "0 of 3 done" in str(result)
    assert result.model(STRENGTHS[1]).built


def test_scaled_losses_and_several_penalties():
    optimizer = lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01))  # noqa: E731
    penalty = {"hidden/kernel": L1(0.1), "out/kernel": L1(0.05)}
    result = walked(build=lambda: network(optimizer=optimizer()), penalty=lambda model: penalty)
    assert np.isfinite(result.norms).all()
    assert result.strengths.tolist() == STRENGTHS


def test_warnings_of_weights_that_are_all_zero_are_not_shown():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Every weight of")
        assert walked(strengths=[50.0, 100.0], epochs=4).rows[-1].zeros == 1.0


def test_pictures_are_drawn(small):
    pytest.importorskip("matplotlib")
    for kind in ("scores", "inputs"):
        assert small.plot(kind)._repr_png_()[1:4] == b"PNG"
    with pytest.raises(ValueError, match='"scores" or "inputs"'):
        small.plot("zeros")


def wider():
    """A function that makes a wider network each time."""
    widths = iter(range(3, 99))

    def build():
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(next(widths))])
        model.add(keras.layers.Dense(1))
        model.compile("sgd", "mse")
        return model

    return build


class Endless(keras.utils.PyDataset):
    """A dataset without an end."""

    num_batches = None

    def __getitem__(self, number):
        return data()


X, Y = data()
SAME = network()
BAD = [
    ({"y": np.ones(60)}, "targets that differ"),
    ({"x": np.where(X > 2, np.nan, X)}, r"x has \d+ NaN or infinite, the first x\["),
    ({"y": Y[:-1]}, "one row for each example"),
    ({"y": None}, "`y` beside arrays"),
    ({"folds": 61}, "`folds` from 2 to 60"),
    ({"folds": 3, "y": np.arange(60) // 58}, "every class to have at least folds=3.*class 1 has 2"),
    ({"folds": 3, "validation_split": 0.1}, "one way to hold rows out"),
    ({"folds": [(np.arange(5), np.arange(4, 9))]}, "no row on both sides"),
    ({"folds": [(np.arange(5), np.arange(60, 69))]}, "row numbers from 0 to 59"),
    ({"groups": np.arange(60)}, "`folds` beside `groups`"),
    ({"groups": np.arange(60), "folds": [(X, X)]}, "pairs of row numbers alone"),
    ({"x": iter([(X, Y)]), "y": None}, "begins anew in each epoch.*Received: list_iterator"),
    ({"x": Endless(), "y": None}, "a dataset that ends.*Received: Endless"),
    ({"validation_data": iter([(X, Y)])}, "begins anew in each epoch"),
    ({"strengths": 1}, "two strengths or more"),
    ({"strengths": [0.1]}, "two different strengths"),
    ({"strengths": [0.0, 0.1]}, "strengths > 0"),
    ({"strengths": 5, "penalty": L2(0.1)}, "penalties that make zeros"),
    ({"penalty": TopK(0.5)}, "a float strength > 0"),
    ({"penalty": L1(0.0)}, "a float strength > 0"),
    ({"penalty": {"nothing": L1(0.1)}}, "'nothing'"),
    ({"score": "acuracy"}, "`score` to be one of the model's metrics, \\['loss'\\]"),
    ({"score": lambda y, out: 0.0}, '`mode` to be "min" or "max"'),
    ({"mode": "up"}, '`mode` to be "min"'),
    ({"seeds": [1, 1]}, "different seeds"),
    ({"epochs": 0}, "epochs"),
    ({"build": SAME}, "`build` to be a function without arguments"),
    ({"y": np.array(["a", "b"] * 30)}, "numbers as targets.*dtype <U1"),
    ({"validation_data": (X, Y, Y, Y)}, "`validation_data` to be .*Received: 4 parts"),
    ({"strengths": "auto"}, "an int or numbers as strengths"),
    ({"stack": "no"}, "`stack` to be a bool or None"),
    ({"warm": False}, "`further_epochs` beside warm=True alone"),
    ({"warm": "no"}, "`warm` to be a bool"),
    ({"class_weight": {0: 1.0}}, "a number for each class"),
    ({"sample_weight": -np.ones(60)}, "`sample_weight` of 60 numbers >= 0"),
    ({"build": lambda: SAME, "seeds": 2}, "a new model"),
    ({"build": lambda: network(optimizer=Proximal("sgd", L1(0.1)))}, "a plain optimizer"),
    ({"build": lambda: keras.Sequential([keras.layers.Dense(1)])}, "a compiled model"),
    ({"build": lambda: None}, "to return a keras.Model"),
    ({"build": wider(), "penalty": L1(0.1), "seeds": 2}, "the same architecture each time"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_an_error_that_says_what_was_expected(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        walked(**{"x": X, "y": Y} | wrong)


class Own(keras.Sequential):
    """A model with a training step of its own."""

    def train_step(self, *args):
        return super().train_step(*args)


def own_step():
    model = Own(network().layers)
    model.compile("adam", "mse")
    return model


def held():
    model = network()
    model.layers[0].kernel.constraint = keras.constraints.NonNeg()
    return model


def with_optimizer(kind, **kwargs):
    return lambda: network(optimizer=getattr(keras.optimizers, kind)(0.1, **kwargs))


NOT_STACKED = [
    ({"build": with_optimizer("SGD", use_ema=True)}, "use_ema", True),
    ({"build": with_optimizer("Adam", global_clipnorm=1.0)}, "without global_clipnorm", False),
    ({"build": with_optimizer("AdamW")}, "without weight_decay", False),
    ({"build": with_optimizer("Adafactor")}, "one of Keras's SGD, Adam", False),
    ({"build": own_step}, "Keras's own train_step", False),
    ({"build": held}, "without a constraint", False),
    ({"metric": "adaptive", "penalty": L1(0.1)}, "metric", False),
]


@pytest.mark.parametrize(
    ("kwargs", "reason", "on_jax"), NOT_STACKED, ids=[reason for _, reason, _ in NOT_STACKED]
)
def test_stacking_says_why_it_cannot(kwargs, reason, on_jax):
    if keras.backend.backend() == "jax" and not on_jax:
        assert walked(**kwargs, stack=True).notes["trained"] == "stacked"
        return
    with pytest.raises(ValueError, match=reason):
        walked(**kwargs, stack=True)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's dropout")
def test_what_cannot_be_vectorized_is_trained_one_by_one():
    with pytest.raises(ValueError, match=r"torch cannot vectorize the network.*Dropout.call.*vmap"):
        walked(stack=True)
    result = walked()
    assert result.notes["trained"] == "one by one"


def small_convolution():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Reshape((6, 1))])
    model.add(keras.layers.Conv1D(2, 3, name="conv"))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def test_convolutions_on_a_cpu_are_stacked_on_demand():
    run = {"build": small_convolution, "penalty": L1(0.1)}
    result, stacked = walked(**run), walked(**run, stack=True)
    expected = "one by one" if xla_on_cpu() else "stacked"
    assert (result.notes["trained"], stacked.notes["trained"]) == (expected, "stacked")
    np.testing.assert_allclose(
        *([row.score for row in one.rows] for one in (result, stacked)), 1e-4
    )
