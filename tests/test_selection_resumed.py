"""A path that was killed goes on from its folder; nothing is trained twice."""

import re

import numpy as np
import pytest
from selection_models import data, network

from keras_reg.regularizers import GroupLasso
from keras_reg.selection import path
from keras_reg.selection.keeping import Kept, fingerprint
from keras_reg.selection.network import State
from keras_reg.selection.one_by_one import OneByOne
from keras_reg.selection.visits import Visit

INPUTS = {"hidden/kernel": GroupLasso(0.1, group_axis="inputs")}


class KilledError(Exception):
    """What ends a run in the middle."""


def run(folder, x=None, build=network, **kwargs):
    found, y = data()
    settings = {"epochs": 2, "further_epochs": 1, "strengths": [0.1, 0.2], "folds": 2}
    return path(build, found if x is None else x, y, INPUTS, **settings | kwargs,
                folder=folder, stack=False, verbose=0)  # fmt: skip


@pytest.fixture
def trained(monkeypatch):
    """The members and visits that are trained; `trained.limit` is how many, before it is killed."""

    class Trained(list):
        limit = 99

    calls, fit = Trained(), OneByOne._fit

    def counted(self, member, epochs, visit):
        if len(calls) >= calls.limit:
            raise KilledError
        calls.append((str(member), visit))
        fit(self, member, epochs, visit)

    monkeypatch.setattr(OneByOne, "_fit", counted)
    return calls


def test_a_killed_path_goes_on_and_ends_as_if_it_had_not_been(trained, tmp_path):
    whole = run(None)
    trained.clear()
    trained.limit = 3
    with pytest.raises(KilledError):
        run(tmp_path / "kept")
    trained.limit = 99
    again = run(tmp_path / "kept")
    assert len(trained) == len(set(trained)) == 6
    for name in ("scores", "training_scores", "zeros", "norms"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    for weights, expected in zip(again.weights, whole.weights, strict=True):
        for w, other in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(w, other)
    trained.clear()
    assert run(tmp_path / "kept").best == whole.best
    assert trained == []
    with pytest.raises(ValueError, match="which holds another"):
        run(tmp_path / "kept", epochs=3)
    with pytest.raises(ValueError, match="which holds another"):
        run(tmp_path / "kept", build=lambda: network(loss="mae"))


def kept(folder):
    """A folder with what two members did at two strengths."""
    found = Kept(folder, "run")
    found.begin(np.array([0.1, 0.2]))
    states = [State([np.ones(3)], [], [np.zeros(2)])] * 2
    for place in range(2):
        seen = Visit(place, *np.zeros((4, 2)), np.ones((2, 5)), 4.0, 9.0, [np.full(3, place)])
        found.write(0, seen, states)
    return found


def test_what_is_kept_is_read_back(tmp_path):
    kept(tmp_path)
    again = Kept(tmp_path, "run")
    assert again.strengths.tolist() == [0.1, 0.2]
    visits, states = again.read(0)
    assert [visit.place for visit in visits] == [0, 1]
    assert visits[1].weights[0].tolist() == [1, 1, 1]
    assert [len(part) for part in states[1]] == [1, 0, 1]
    assert again.read(1) == ([], None)


@pytest.mark.parametrize("name", ["run.json", "states-0.npz", "seen-0-0.npz", "seen-0-1.npz"])
def test_a_damaged_file_is_named(name, tmp_path):
    kept(tmp_path)
    file = tmp_path / name
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"{}"):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=re.escape(str(file))):
            Kept(tmp_path, "run").read(0)


def test_another_run_is_refused(tmp_path):
    kept(tmp_path)
    with pytest.raises(ValueError, match="which holds another"):
        Kept(tmp_path, "another")
    x = np.arange(4.0)
    runs = [fingerprint(x), fingerprint(x[::-1]), fingerprint(x[:, None]), fingerprint(x, 1)]
    assert len({*runs, fingerprint(x.astype("float32"))}) == 5
