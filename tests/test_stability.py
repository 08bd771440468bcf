"""stability: inputs that are selected on halves of the rows, and the bound on mistakes."""

import keras
import numpy as np
import pytest

from keras_reg.regularizers import L1
from keras_reg.selection import StabilityResult, stability
from keras_reg.selection.subsampling import _halves

SUPPORT = [2, 5, 11]


def linear():
    model = keras.Sequential([keras.Input((15,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.15), "mse")
    return model


def simulated():
    random = np.random.default_rng(3)
    x = random.standard_normal((120, 15)).astype("float32")
    return x, x[:, SUPPORT] @ [1.0, -1.0, 0.8] + 0.7 * random.standard_normal(120)


SETTINGS = {"epochs": 20, "further_epochs": 10, "batch_size": 60, "verbose": 0}


@pytest.mark.once("jax")
def test_the_known_support_is_selected():
    x, y = simulated()
    result = stability(linear, x, y, L1(), pairs=4, strengths=8, **SETTINGS)
    assert result.selected(threshold=0.75, errors=2.0).tolist() == SUPPORT
    shares = np.stack([result.probabilities(place) for place in range(8)])
    assert (np.diff(shares, axis=0) <= 0).all()
    assert result.pairs == 4
    again = StabilityResult.from_json(result.to_json())
    np.testing.assert_array_equal(again.entry, result.entry)
    pytest.importorskip("matplotlib")
    assert result.plot(errors=2.0)._repr_png_()[1:4] == b"PNG"


@pytest.mark.parametrize("classes", [None, np.arange(41) % 3 == 0])
def test_halves_are_complementary_and_as_large(classes):
    members = _halves(41, classes, pairs=6, seed=0)
    assert len(members) == 12
    for one, other in zip(members[::2], members[1::2], strict=True):
        assert len(one.train) == len(other.train) == 20
        assert not set(one.train) & set(other.train)
        if classes is not None:
            assert abs(int(classes[one.train].sum()) - int(classes[other.train].sum())) <= 1
    assert len({member.train.tobytes() for member in members}) == 12


def guesses(random, inputs, count, pairs):
    """A selector that takes as many inputs at random, on each half."""
    order = np.stack([random.permutation(inputs) for _ in range(2 * pairs)])
    return StabilityResult([0.1, 1.0], np.where(order < count, 1, 0))


@pytest.mark.parametrize("unimodal", [False, True])
@pytest.mark.parametrize("threshold", [0.55, 0.6, 0.7, 0.9])
def test_mistakes_of_a_guess_are_within_the_bound(threshold, unimodal):
    random = np.random.default_rng(0)
    results = [guesses(random, 60, 12, pairs=10) for _ in range(100)]
    mistakes = [int((one.probabilities(1) >= threshold).sum()) for one in results]
    bound = results[0].error_bound(threshold, 1, unimodal)
    assert np.mean(mistakes) <= bound
    # q**2 / ((2 * threshold - 1) * inputs) is Meinshausen and Buehlmann's.
    if not unimodal:
        assert bound == pytest.approx(144 / ((2 * threshold - 1) * 60))
    else:
        assert bound <= results[0].error_bound(threshold, 1)


def test_strengths_count_down_to_the_bound():
    entry = np.array([[2, 0, 1, -1], [2, 1, 0, -1]])
    result = StabilityResult([0.1, 0.2, 0.4], entry)
    assert [result.selected_on_average(place) for place in range(3)] == [3.0, 2.0, 1.0]
    # q**2 / ((2 * 0.75 - 1) * 4) = q**2 / 2
    assert [result.error_bound(0.75, place) for place in range(3)] == [4.5, 2.0, 0.5]
    assert (result.place(0.75, 0.5), result.place(0.75, 2.0), result.place(0.75, 9)) == (2, 1, 0)
    assert result.selected(0.75, 0.5).tolist() == [0]
    assert result.selected(0.75, 9).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"`errors` of at least 0\.5"):
        result.selected(0.75, 0.4)
    with pytest.raises(ValueError, match="`threshold` > 0"):
        result.selected(0.5)


BAD = [
    ({"pairs": 0}, "pairs"),
    ({"strengths": 1}, "two strengths"),
    ({"x": np.ones((3, 15)), "y": np.arange(3)}, "4 rows or more"),
    ({"seed": -1}, "seed"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_an_error(wrong, message):
    x, y = simulated()
    with pytest.raises(ValueError, match=message):
        stability(linear, **{"x": x, "y": y, "penalty": L1()} | SETTINGS | wrong)


def test_damaged_json_is_an_error():
    with pytest.raises(ValueError, match=r"what StabilityResult\.to_json wrote"):
        StabilityResult.from_json("{}")
