"""Plots of reports: what they draw, read from their figures. matplotlib is an extra."""

import keras
import numpy as np
import pytest
from keras import layers

pytest.importorskip("matplotlib")

from keras_reg.report import plots

HISTORY = {
    "sparsity": [0.0, 0.25, 0.5],
    "sparsity/m/a/kernel": [0.0, 0.5, 1.0],
    "sparsity/m/b/kernel": [0.0, 0.0, 0.0],
    "val_accuracy": [0.9, 0.8, 0.7],
}


def model_with_zeros():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="a"), layers.Dense(2)])
    model.layers[0].kernel.assign(np.diag([1.0, 2.0, 3.0, 0.0, 0.0])[:4])
    return model


def saved(figure, tmp_path):
    """Draws all of it, and gives the texts in it."""
    figure.savefig(tmp_path / "figure.png")
    texts = [text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text"))]
    return " ".join(texts)


def test_sparsity_over_epochs_has_a_line_for_each_weight_and_all(tmp_path):
    figure = plots.sparsity_over_epochs(HISTORY)
    lines = figure.axes[0].get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[0, 50, 100], [0, 0, 0], [0, 25, 50]]
    text = saved(figure, tmp_path)
    assert "all weights" in text
    assert "kernel" not in text


def test_of_many_weights_the_sparsest_are_named(tmp_path):
    many = {f"sparsity/m/l{i}/kernel": [0.0, i / 100] for i in range(30)}
    figure = plots.sparsity_over_epochs({"sparsity": [0.0, 0.1], **many})
    text = saved(figure, tmp_path)
    assert "sparsest 8 of 30" in text
    assert "l29" in text
    assert "l3 " not in text
    assert len(figure.axes[0].get_lines()) == 31


def test_channels_mask_those_that_every_kernel_makes_zero(tmp_path):
    x = keras.Input((4,))
    first = layers.Dense(5, name="a")
    second = layers.Dense(5, name="b")
    y = layers.Add()([first(x), second(x)])
    model = keras.Model(x, layers.Dense(2, name="out")(y))
    first.kernel.assign(np.ones((4, 5)) * [0, 0, 1, 1, 2])
    second.kernel.assign(np.ones((4, 5)) * [0, 3, 0, 1, 1])
    figure = plots.channels(model)
    image = figure.axes[0].get_images()[0].get_array()
    assert np.ma.getmaskarray(image)[0].mean() == pytest.approx(1 / 5)
    # Over both kernels, four rows each: the squares are 0, 9, 1, 2 and 5 times four.
    assert np.unique(image[0].compressed()) == pytest.approx(np.sqrt([1 / 9, 2 / 9, 5 / 9, 1]))
    text = saved(figure, tmp_path)
    assert "a  1/5 zero" in text
    assert "out (stays)  0/2 zero" in text


@pytest.mark.parametrize(("side", "zero"), [("outputs", "2/5"), ("inputs", "1/4")])
def test_group_norms_mask_zero_groups(side, zero, tmp_path):
    figure = plots.group_norms(model_with_zeros(), side)
    image = figure.axes[0].get_images()[0].get_array()
    share = int(zero[0]) / int(zero[-1])
    assert np.ma.getmaskarray(image)[0].mean() == pytest.approx(share)
    assert not np.ma.getmaskarray(image)[1].any()
    assert f"{zero} zero" in saved(figure, tmp_path)


def test_a_model_of_zeros_can_be_drawn(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, kernel_initializer="zeros")])
    saved(plots.group_norms(model), tmp_path)
    assert "100.0%" in saved(plots.weights(model), tmp_path)


def test_histogram_counts_every_weight_and_zeros_apart(tmp_path):
    figure = plots.weights(model_with_zeros())
    *bars, zeros = [patch.get_height() for patch in figure.axes[0].patches]
    assert zeros == 17
    assert sum(bars) == 3 + 10
    text = saved(figure, tmp_path)
    assert "56.7%" in text
    assert "30 weights" in text


def test_metric_against_sparsity(tmp_path):
    figure = plots.metric_against_sparsity(HISTORY, "val_accuracy")
    points = figure.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, [[0, 0.9], [25, 0.8], [50, 0.7]])
    assert "val_accuracy" in saved(figure, tmp_path)
    several = plots.metric_against_sparsity({"one": HISTORY, "two": HISTORY}, "val_accuracy")
    assert len(several.axes[0].collections) == 2
    assert "one" in saved(several, tmp_path)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match=r"Expected a history with \['val_f1'\]"):
        plots.metric_against_sparsity(HISTORY, "val_f1")
    with pytest.raises(ValueError, match="train with a SparsityReport"):
        plots.sparsity_over_epochs({"loss": [1.0]})
    with pytest.raises(ValueError, match="Expected `group_axis`"):
        plots.group_norms(model_with_zeros(), "rows")


def legend_and_title_are_apart(figure):
    figure.draw_without_rendering()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    axes = figure.axes[0]
    text = axes.get_title(loc="left")
    [title] = axes.findobj(lambda one: getattr(one, "get_text", str)() == text)
    assert boxes
    return not any(box.overlaps(title.get_window_extent()) for box in boxes)


def test_no_legend_covers_the_title_of_a_deep_model():
    inner = [layers.Dense(4, name=f"block_{at}_project") for at in range(53)]
    model = keras.Sequential([keras.Input((4,)), *inner])
    assert legend_and_title_are_apart(plots.group_norms(model))
    many = {f"sparsity/m/l{at}/kernel": [0.0, at / 100] for at in range(53)}
    history = {"sparsity": [0.0, 0.1], **many}
    assert legend_and_title_are_apart(plots.sparsity_over_epochs(history))


def test_a_history_without_weights_has_the_curve_of_all(tmp_path):
    figure = plots.sparsity_over_epochs({"sparsity": [0.0, 0.5]})
    [line] = figure.axes[0].get_lines()
    assert line.get_ydata().tolist() == [0, 50]
    saved(figure, tmp_path)
