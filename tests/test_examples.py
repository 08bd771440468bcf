"""Each example runs on a small setting, prints its table, saves its plot and does what it says."""

import os
import subprocess
import sys

import fine_tuning
import gene_expression
import image_classification
import linear_models
import logistic_selection
import numpy as np
import object_detection
import pruning
import pytest
import quickstart
import scenes
import sentiment
import shrink
import stock_forecasting
import translation

pytestmark = pytest.mark.filterwarnings("default")

# One backend each: PyTorch, which compiles nothing and has the quickest suite; JAX where steps are
# many.
on_jax, on_torch = pytest.mark.once("jax"), pytest.mark.once("torch")
on_tensorflow = pytest.mark.once("tensorflow")


@pytest.fixture
def saved(tmp_path, capsys):
    """Asserts, after the test, that a plot was saved and a table printed."""
    yield str(tmp_path)
    (plot,) = tmp_path.glob("*.png")
    assert plot.stat().st_size > 5000
    printed = capsys.readouterr().out
    assert "━━" in printed or "──" in printed


def test_quickstart_removes_weights_that_keras_keeps(capsys):
    results = quickstart.main(epochs=12)
    plain, in_the_loss, proximal = results.values()
    assert plain["sparsity"] == in_the_loss["sparsity"] == 0.0
    assert proximal["sparsity"] > 0.1
    assert proximal["accuracy"] > plain["accuracy"] - 0.03
    printed = capsys.readouterr().out
    assert "units out" in printed
    assert "compact" in printed


@on_jax
def test_linear_models_equal_those_of_scikit_learn(saved):
    results = linear_models.main(saved, epochs=5)
    rows = [row for name, row in results.items() if "," in name]
    assert len(rows) == 6
    assert all(row["kept"] == row["scikit-learn"] for row in rows)
    assert max(row["difference"] for row in rows) < 1e-3
    career = [
        sum(results[kind][name] != 0 for name in linear_models.CAREER)
        for kind in ("lasso", "elastic net")
    ]
    assert career == [1, 3]


@on_torch
def test_logistic_selection_needs_few_factors(saved):
    results = logistic_selection.main(saved, epochs=60, folds=2, seeds=1, pairs=1)
    assert results["L1"]["factors"] < 20
    assert min(results["L1"]["AUC"], results["MCP"]["AUC"]) > 0.97
    chances = [row["probability"] for row in results["factors"].values()]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == 1.0


@on_torch
def test_gene_expression_reads_few_genes(saved):
    results = gene_expression.main(saved, epochs=60, folds=2, seeds=1, genes=300, pairs=1)
    assert results["network, GroupLasso"]["genes"] < 300
    assert results["network, GroupLasso"]["accuracy"] > 0.3


@on_torch
def test_image_classification_removes_filters(saved):
    results = image_classification.main(saved, dataset="digits", epochs=3, strength=5e-3)
    out = {name: int(row["filters out"].split("/")[0]) for name, row in results.items()}
    assert out["digits, plain"] == out["digits, scheduled dropout"] == 0
    assert min(out["digits, group lasso"], out["digits, both"]) > 0
    assert results["digits, plain"]["test accuracy"] > 0.5


@on_torch
def test_sentiment_ends_with_fewer_words(saved):
    results, final = sentiment.main(saved, words=2000, epochs=2, limit=8000)
    words = [row["words"] for row in results.values()]
    assert words[0] == 2000
    assert words == sorted(words, reverse=True)
    assert words[-1] < 1000
    (_, best, smaller), name = final.values(), list(final)[1]
    assert smaller["test AUC"] == pytest.approx(best["test AUC"], abs=1e-6)
    # A row more than the words that are kept, which all the others share.
    assert best["weights"] - smaller["weights"] == 16 * (2000 - 1 - results[name]["words"])


@on_torch
def test_the_smaller_vocabulary_scores_as_the_large_one():
    vocabulary = [f"word{number}" for number in range(6)]
    model = sentiment.network(6)
    x = np.arange(12).reshape(3, 4) % 6
    model.build(x.shape)
    vectors, *others = model.get_weights()
    vectors[[0, 2, 5]] = 0.0
    model.set_weights([vectors, *others])
    small, words, numbers = sentiment.smaller(model, vocabulary, x)
    assert words == ["", "word1", "word3", "word4"]
    np.testing.assert_allclose(
        small.predict(numbers, verbose=0), model.predict(x, verbose=0), atol=1e-6
    )


@on_torch
def test_translation_ends_with_fewer_heads_and_units(saved):
    results = translation.main(saved, count=64, epochs=2, tested=32, l2=1e-5, rate=0.3)
    assert all(0 <= row["exact match"] <= 1 for row in results.values())
    none, _, _, _, half = [row["weights"] for row in results.values()]
    assert half < none - 5000


@on_torch
def test_translation_pads_between_start_and_end():
    ids, words = translation.sentences([1, 21], "en")
    assert ids.tolist() == [[1, 3, 2, 0], [1, 4, 3, 2]]
    assert words == 5


@on_torch
def test_object_detection_ends_with_half_of_the_work(saved):
    results = object_detection.main(saved, epochs=2, count=32, tested=16, l2=1e-3, rate=0.1)
    assert all(0 <= row["mAP, new scenes"] <= 1 for row in results.values())
    none, _, _, _, half = [row["MACs"] for row in results.values()]
    assert 0.4 < half / none < 0.51


@on_torch
def test_average_precision_of_right_half_right_and_doubled_boxes():
    boxes = [[(0, 0, 0, 10, 10)], [(0, 5, 5, 15, 15)]]
    right = [(0.9, 0, 0, 0, 0, 10, 10), (0.8, 1, 0, 5, 5, 15, 15)]
    assert scenes.average_precision(right, boxes, 0) == 1.0
    assert scenes.average_precision(right[:1], boxes, 0) == 0.5
    # A second box on the same shape is false: the precision of the last hit falls to 2 of 3.
    doubled = [right[0], (0.85, 0, 0, 0, 0, 10, 9), right[1]]
    assert scenes.average_precision(doubled, boxes, 0) == pytest.approx((1 + 2 / 3) / 2)
    assert scenes.average_precision([], boxes, 0) == 0.0


@on_torch
def test_detector_reads_its_own_targets():
    images, boxes = scenes.scenes(5, seed=0)

    class Perfect:
        def predict(self, images, *_, **__):
            y = object_detection.targets(boxes)
            y[..., : scenes.CLASSES] = 20 * y[..., : scenes.CLASSES] - 10
            return y

    assert scenes.mean_average_precision(object_detection.detect(Perfect(), images), boxes) > 0.8


@on_torch
def test_stock_forecasting_walks_forward(saved):
    results = stock_forecasting.main(saved, epochs=1, folds=2, strength=0.5)
    x, y, prices = stock_forecasting.load()
    # Today's price as the forecast of tomorrow's, from the prices themselves.
    tested = slice(len(x) - 2 * (len(x) // 3), None)
    expected = np.abs(prices[tested] * (1 - np.exp(y[tested] / 100))).mean()
    assert results["naive"]["MAE"] == pytest.approx(expected, rel=1e-5)
    assert results["L2, GroupLasso on lags"]["lags"] < results["L2"]["lags"] == 10


@on_torch
def test_fine_tuning_with_l2sp_forgets_least(saved):
    results = fine_tuning.main(saved, draws=1, epochs=30)
    old = {name: row["old digits"] for name, row in results.items()}
    assert old["fine-tuned, L2SP"] >= max(old["fine-tuned"], old["fine-tuned, L2"])
    assert old["from scratch"] < 0.6


@on_torch
def test_pruning_meets_its_sparsity(saved):
    results = pruning.main(saved, epochs=3)
    for sparsity in pruning.SPARSITIES:
        for how in ("one cut", "fine-tuned", "all, adaptive"):
            assert results[f"TopK({sparsity}), {how}"]["zeros"] == pytest.approx(sparsity, abs=1e-3)
    assert results["NM(2, 4), fine-tuned"]["zeros"] == 0.5
    assert results["half of the MACs, compact"]["kB"] < 0.7 * results["dense"]["kB"]
    strongest = [results[f"TopK(0.98), {how}"]["accuracy"] for how in ("one cut", "fine-tuned")]
    assert strongest[0] < strongest[1]


@on_tensorflow
def test_shrink_ends_with_less_work(saved):
    table = shrink.main(saved, epochs=8, share=0.2)
    dense, _, compact = table.rows
    assert 0.5 < compact.macs / dense.macs < 0.95
    assert compact.exports["tf_saved_model"].difference < 1e-4
    assert compact.exports["tf_saved_model"].size < dense.exports["tf_saved_model"].size


@on_jax
def test_strength_search_goes_on_where_it_stopped(saved):
    strength_search = pytest.importorskip("strength_search")
    run = {"epochs": 1, "folds": 2, "seeds": 1, "strengths": 2}
    first = strength_search.main(saved, trials=1, **run)
    again = strength_search.main(saved, trials=2, **run)
    assert (first["new"], again["new"]) == (2, 2)
    assert first["grid"]["trials"] == first["random"]["trials"] == 1
    assert again["grid"]["trials"] == again["random"]["trials"] == 2


@on_torch
def test_the_quickstart_and_a_loop_of_pytorch(saved):
    import torch_backend

    results = torch_backend.main(saved, epochs=3)
    assert results["a PyTorch loop, L1's prox"]["accuracy"] > 0.5


@on_jax
def test_eight_devices_of_jax(saved):
    script = os.path.join(os.path.dirname(quickstart.__file__), "jax_distributed.py")
    command = [sys.executable, script, "--output", saved, "--epochs", "2"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(done.stdout)
    assert "8 of 8 devices" in done.stdout
