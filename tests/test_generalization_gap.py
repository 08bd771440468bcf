"""GeneralizationGap: training minus validation, in the logs and in a plot."""

import sys

import keras
import numpy as np
import pytest

from keras_reg.callbacks import GeneralizationGap

X = np.random.default_rng(0).standard_normal((32, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


def fit(*callbacks, **kwargs):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    options = {"validation_data": (X[:8], Y[:8]), "epochs": 4, "verbose": 0, **kwargs}
    return model.fit(X, Y, callbacks=list(callbacks), **options).history


def test_gap_is_training_less_validation_for_the_loss_and_every_metric():
    history = fit(GeneralizationGap())
    for name in ("loss", "mae"):
        expected = np.subtract(history[name], history[f"val_{name}"])
        np.testing.assert_array_equal(history[f"gap/{name}"], expected)
        assert np.any(expected != 0)


def test_callbacks_after_it_see_the_gap(tmp_path):
    fit(GeneralizationGap(), keras.callbacks.CSVLogger(tmp_path / "log.csv"))
    assert "gap/loss" in (tmp_path / "log.csv").read_text().splitlines()[0]


def test_epochs_without_validation_have_no_gap():
    gap = GeneralizationGap()
    fit(gap, validation_freq=2)
    assert [row["epoch"] for row in gap.history] == [1, 3]
    fit(gap)
    assert len(gap.history) == 4


def test_a_training_without_validation_is_an_error():
    with pytest.raises(ValueError, match="validation data"):
        fit(GeneralizationGap(), validation_data=None)


def test_plot_shades_what_is_between_training_and_validation():
    gap = GeneralizationGap()
    history = fit(gap)
    axes = gap.plot("mae").axes[0]
    drawn = [line.get_ydata() for line in axes.get_lines()]
    np.testing.assert_allclose(drawn, [history["mae"], history["val_mae"]])
    [shade] = axes.collections
    bounds = shade.get_paths()[0].get_extents()
    assert bounds.y0 == pytest.approx(np.min(drawn), rel=1e-6)
    assert axes.get_xlabel() == "epoch"
    with pytest.raises(ValueError, match=r"among .*'mae'"):
        gap.plot("accuracy")
    with pytest.raises(ValueError, match="among"):
        GeneralizationGap().plot()


def test_a_notebook_shows_pictures_by_themselves_and_misses_matplotlib_in_words(monkeypatch):
    gap = GeneralizationGap()
    fit(gap)
    assert gap.plot()._repr_png_().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"keras-reg\[plot\]"):
        gap.plot()
