"""What penalties refuse, and how Keras's layers take them."""

import keras
import numpy as np
import pytest
from catalogue import penalty_classes
from gradients import value_and_gradient
from keras import ops

from keras_reg import regularizers, schedules
from keras_reg.regularizers import penalty


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("cls", penalty_classes())
@pytest.mark.parametrize("strength", [-0.1, np.nan, np.inf, "strong", None, True])
def test_bad_strength_is_refused(cls, strength):
    with pytest.raises(ValueError, match="strength"):
        cls(strength)


@pytest.mark.parametrize("cls", penalty_classes())
def test_strength_cannot_change(cls):
    with pytest.raises(AttributeError):
        cls(0.1).strength = 0.2


@pytest.mark.parametrize("cls", penalty_classes())
def test_representation_names_the_arguments(cls):
    assert repr(cls(0.25)).startswith(f"{cls.__name__}(strength=0.25")


@pytest.mark.parametrize("cls", penalty_classes())
def test_integer_weights_are_refused(cls):
    with pytest.raises(ValueError, match="float dtype"):
        cls(0.1).value(np.ones((2, 2), "int32"))


@pytest.mark.parametrize("group_axis", [1.5, "in", (), True, (0, "x"), ("outputs",)])
def test_bad_group_axis_is_refused(group_axis):
    with pytest.raises(ValueError, match="group_axis"):
        regularizers.GroupLasso(0.1, group_axis=group_axis)


@pytest.mark.parametrize("group_axis", [2, -3, (0, -2)])
def test_group_axis_out_of_range_names_the_variable(group_axis):
    dense = keras.layers.Dense(3, name="hidden")
    dense.build((None, 4))
    with pytest.raises(ValueError, match=r"hidden/kernel of shape \(4, 3\)"):
        regularizers.GroupLasso(0.1, group_axis=group_axis)(dense.kernel)


def test_bad_l1_ratio_is_refused():
    with pytest.raises(ValueError, match="l1_ratio"):
        regularizers.ElasticNet(0.1, l1_ratio=1.5)


@pytest.mark.parametrize("cls", penalty_classes())
def test_usable_by_class_and_by_instance(cls):
    for given_as in (cls, cls()):
        dense = keras.layers.Dense(3, kernel_regularizer=given_as)
        dense.build((None, 4))
        if not cls.differentiable:
            with pytest.raises(ValueError, match="useful gradient"):
                _ = dense.losses
            continue
        assert len(dense.losses) == 1
        expected = numpy(cls()(dense.get_weights()[0]))
        np.testing.assert_allclose(numpy(dense.losses[0]), expected, rtol=1e-5)


def test_keras_regularizers_agree():
    w = np.random.default_rng(0).standard_normal((6, 5)).astype("float32")
    for ours, theirs in [
        (regularizers.L1(0.1), keras.regularizers.L1(0.1)),
        (regularizers.L2(0.1), keras.regularizers.L2(0.1)),
        (regularizers.ElasticNet(0.4, l1_ratio=0.25), keras.regularizers.L1L2(0.1, 0.3)),
    ]:
        tensor = ops.convert_to_tensor(w)
        np.testing.assert_allclose(numpy(ours(w)), numpy(theirs(tensor)), rtol=1e-5)


def test_schedule_in_a_layer_is_refused():
    penalty = regularizers.L1(schedules.Linear(0.0, 0.1, steps=10))
    dense = keras.layers.Dense(3, kernel_regularizer=penalty)
    dense.build((None, 4))
    with pytest.raises(ValueError, match=r"Expected a float `strength` outside of Proximal"):
        _ = dense.losses


def test_a_schedule_is_shown_as_the_call_that_makes_it():
    penalty = regularizers.TopK(schedules.Linear(0.0, 0.5, steps=10))
    assert "sparsity=Linear(initial=0.0, final=0.5, steps=10, delay=0)" in repr(penalty)

    def wave(step):
        return 0.1

    assert "L1(strength=wave, group_axis=None" in repr(regularizers.L1(wave))
    with pytest.raises(ValueError, match=r"Received: strength=Linear\(initial=0.0, final=0.2"):
        regularizers.L1(schedules.Linear(0.0, 0.2, steps=10)).value(np.ones(3, "float32"))


def test_what_a_penalty_does_not_keep_is_not_shown():
    class Own(regularizers.L1):
        def __init__(self, strength=0.1, **kwargs):
            super().__init__(strength, **kwargs)

    assert repr(Own(0.2)) == "Own(strength=0.2)"
    wave = schedules.Linear(0.0, 0.2, steps=10)
    assert "strength=Linear(initial=0.0" in repr(regularizers.L2SP(wave))


def test_flags_follow_from_what_a_class_defines():
    named = {cls.__name__: cls for cls in penalty_classes()}
    assert {n for n, cls in named.items() if not cls.proximable} == {"HoyerSquare", "Orthogonal"}
    assert {n for n, cls in named.items() if not cls.differentiable} == {"L0"}
    assert not regularizers.TopK.differentiable
    assert regularizers.TopK.proximable

    class Mean(regularizers.Penalty):
        def _omega(self, w):
            return ops.mean(w)

    w = np.ones((2, 3), "float32")
    assert (Mean.proximable, Mean.differentiable) == (False, True)
    assert float(Mean(2.0)(w)) == 2.0
    with pytest.raises(ValueError, match="proximal operator"):
        Mean().prox(w, 0.1)
    with pytest.raises(NotImplementedError, match="max_strength is not defined for Mean"):
        Mean().max_strength(w)
    with pytest.raises(NotImplementedError, match="stationarity is not defined for Mean"):
        Mean().stationarity(w, w)


def test_only_the_xla_of_tensorflow_is_bad_at_matrices():
    slow = {cls.__name__ for cls in penalty_classes() if not cls.compilable}
    of_matrices = {"NuclearNorm", "Orthogonal", "SpectralNorm"}
    assert slow == (of_matrices if keras.backend.backend() == "tensorflow" else set())


def test_a_penalty_that_xla_handles_badly_is_not_compiled(monkeypatch):
    class Own(regularizers.L1):
        compilable = False

    def refuse(*arguments):
        raise AssertionError("this was to be compiled")

    monkeypatch.setattr(penalty, "_compiled", (refuse, refuse))
    value, slope = value_and_gradient(Own(0.5), np.array([1.0, -2.0], "float32"))
    assert (float(value), numpy(slope).tolist()) == (1.5, [0.5, -0.5])
