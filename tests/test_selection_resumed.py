"""A path that was killed goes on from its folder; nothing is trained twice."""

import re

import numpy as np
import pytest
from selection_models import data, network

from keras_reg.regularizers import GroupLasso
from keras_reg.selection import path
from keras_reg.selection.one_by_one import OneByOne

INPUTS = {"hidden/kernel": GroupLasso(0.1, group_axis="inputs")}


class KilledError(Exception):
    """What ends a run in the middle."""


def run(folder, x=None, **kwargs):
    found, y = data()
    settings = {"epochs": 2, "further_epochs": 1, "strengths": [0.1, 0.2, 0.4], "folds": 2}
    return path(network, found if x is None else x, y, INPUTS, **settings | kwargs,
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
    trained.limit = 5
    with pytest.raises(KilledError):
        run(tmp_path / "kept")
    trained.limit = 99
    again = run(tmp_path / "kept")
    assert len(trained) == len(set(trained)) == 9
    for name in ("scores", "training_scores", "zeros", "norms"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    for weights, expected in zip(again.weights, whole.weights, strict=True):
        for w, other in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(w, other)
    trained.clear()
    assert run(tmp_path / "kept").best == whole.best
    assert trained == []
    files = sorted(tmp_path.glob("kept/*"))
    for file in files:
        kept = file.read_bytes()
        for damaged in (kept[: len(kept) // 2], b""):
            file.write_bytes(damaged)
            with pytest.raises(ValueError, match=re.escape(str(file))):
                run(tmp_path / "kept")
        file.write_bytes(kept)
    assert {file.name.split("-")[0].split(".")[0] for file in files} == {"run", "seen", "states"}
    assert trained == []
    for other in ({"epochs": 3}, {"x": data(seed=1)[0]}, {"folds": 3}):
        with pytest.raises(ValueError, match="which holds another"):
            run(tmp_path / "kept", **other)
