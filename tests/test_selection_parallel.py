"""Members trained in other processes, through joblib, are those trained in this one."""

import os

import joblib
import keras
import numpy as np
import pytest
from selection_models import data, network
from sklearn.model_selection import KFold

from keras_reg.regularizers import L1, GroupLasso
from keras_reg.selection import PathResult, path, paths, stability

INPUTS = {"hidden/kernel": GroupLasso(0.1, group_axis="inputs")}


def run(units=8, method=path, **kwargs):
    def build():  # Not a name in a file: it has to be sent as code.
        assert keras.config.floatx() == "float32"
        model = keras.Sequential([keras.Input((6,))])
        model.add(keras.layers.Dense(units, "relu", name="hidden"))
        model.add(keras.layers.Dropout(0.1))
        model.add(keras.layers.Dense(1))
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
        return model

    settings = {"epochs": 2, "further_epochs": 1, "strengths": [0.1, 0.5], "verbose": 0}
    return method(build, *data(), INPUTS, **settings | kwargs)


def assert_same(one, other):
    for name in ("scores", "training_scores", "zeros", "norms", "done"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-6)
    for mine, others in zip(one.weights, other.weights, strict=True):
        for w, expected in zip(mine, others, strict=True):
            np.testing.assert_allclose(w, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.once  # Each process imports Keras, which takes seconds.
def test_two_processes_train_what_one_does(tmp_path):
    kwargs = {"folds": 2, "score": "neg_mean_absolute_error"}
    alone, both = run(**kwargs), run(**kwargs, n_jobs=2, folder=tmp_path)
    assert_same(alone, both)
    assert both.refit("best").built
    # What other processes kept is not trained again.
    assert_same(both, run(**kwargs, folder=tmp_path))
    assert len(list(tmp_path.glob("states-*.npz"))) == 3
    halves = [run(method=stability, pairs=1, n_jobs=n_jobs) for n_jobs in (1, 2)]
    np.testing.assert_array_equal(halves[0].entry, halves[1].entry)


@pytest.mark.once  # Each process imports Keras, which takes seconds.
def test_ctrl_c_ends_the_processes_and_returns_what_is_done(monkeypatch):
    add = PathResult.add

    def interrupted(self, visit, members):
        add(self, visit, members)
        if visit.place == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(PathResult, "add", interrupted)
    with pytest.warns(UserWarning, match="Interrupted after 2 of 6"):
        result = run(folds=2, n_jobs=2, chunk=1)
    assert result.done.sum() == 2
    monkeypatch.undo()
    assert run(folds=2, n_jobs=2).done.all()


@pytest.mark.once  # Each process imports Keras, which takes seconds.
def test_a_cluster_of_dask_trains_what_one_process_does():
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(**settings), joblib.parallel_config("dask"):
        assert joblib.effective_n_jobs(-1) == 2
        both = run(folds=2, n_jobs=-1)
    assert_same(run(folds=2), both)


def test_paths_are_those_of_each_alone_on_the_same_folds(tmp_path):
    x, y = data()
    builds = {"narrow": (lambda: network(dropout=0.0), INPUTS), "L1": (network, L1(0.1))}
    settings = {"epochs": 2, "further_epochs": 1, "strengths": [0.1, 0.5], "verbose": 0}
    splits = []

    class Once(KFold):
        def split(self, *args):
            assert not splits, "split twice"
            splits.extend(super().split(*args))
            return splits

    both = paths(builds, x, y, folds=Once(2, shuffle=True), folder=tmp_path, **settings)
    for name, (build, penalty) in builds.items():
        assert_same(both[name], path(build, x, y, penalty, folds=splits, **settings))
    best = {name: result.best.score for name, result in both.items()}
    assert both.best == (min(best, key=best.get), both[min(best, key=best.get)].best)
    assert str(both).count("one_se") == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["L1", "narrow"]
    pytest.importorskip("matplotlib")
    assert both.plot()._repr_png_()[1:4] == b"PNG"


@pytest.mark.once
def test_threads_train_the_paths_of_one():
    builds = {"narrow": (lambda: network(dropout=0.0), INPUTS), "L1": (network, L1(0.1))}
    settings = {"epochs": 2, "further_epochs": 1, "strengths": [0.1, 0.5], "verbose": 0}
    alone = paths(builds, *data(), folds=2, **settings)
    with joblib.parallel_config("threading"):
        threads = paths(builds, *data(), folds=2, n_jobs=2, **settings)
    for name, result in alone.items():
        assert_same(result, threads[name])


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({}, "from names to pairs"),
        ([network], "from names to pairs"),
        ({"one": network}, "pairs of a build and a penalty"),
        ({"../one": (network, L1(0.1))}, "names that a folder can have"),
    ],
    ids=["none", "no dict", "no pair", "no folder"],
)
def test_bad_networks_are_errors(networks, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        paths(networks, *data(), folder=tmp_path, epochs=1)


def test_threads_take_turns():
    with joblib.parallel_config("threading"):
        assert_same(run(seeds=2), run(seeds=2, n_jobs=2))


def test_members_are_divided_among_processes():
    with joblib.parallel_config("threading"):
        chunk = run(folds=4, n_jobs=2).notes["chunk"]
    assert chunk == (3 if keras.backend.backend() == "jax" else 1)


def test_what_cannot_be_sent_is_an_error(tmp_path):
    with open(tmp_path / "open", "w") as file, pytest.raises(TypeError, match="can be pickled"):
        run(n_jobs=2, score=lambda y, out: file and 0.0, mode="min", validation_split=0.5)


@pytest.mark.parametrize("n_jobs", [0, 1.5, "2", True])
def test_a_number_of_processes_is_checked(n_jobs):
    with pytest.raises(ValueError, match="n_jobs"):
        run(n_jobs=n_jobs)


def test_a_process_with_another_backend_is_refused(monkeypatch):
    from keras_reg.selection.parallel import _remote

    call = _remote()
    monkeypatch.setenv("KERAS_BACKEND", os.environ["KERAS_BACKEND"])
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    with pytest.raises(RuntimeError, match="Start them with KERAS_BACKEND"):
        call()
