"""compare: scores are scikit-learn's, costs those of the models; one table in several forms."""

import csv
import io

import keras
import numpy as np
import pytest
from sklearn import metrics

import keras_reg as kr
from keras_reg.evaluation import scores
from keras_reg.evaluation.cost import file_size

X = np.random.default_rng(0).standard_normal((40, 6)).astype("float32")
CLASSES = np.arange(40) % 3


def network(outputs=3, activation=None):
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, name="hidden"), keras.layers.Dense(outputs)]
    )
    return keras.Sequential([model, keras.layers.Activation(activation)]) if activation else model


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("one_hot", [True, False])
def test_scores_of_three_classes_are_those_of_scikit_learn(activation, one_hot):
    model = network(activation=activation)
    targets = keras.utils.to_categorical(CLASSES) if one_hot else CLASSES
    names = list(scores.CLASSIFICATION)
    found = kr.compare({"net": model}, X, targets, metrics=names)["net"].scores
    outputs = model.predict(X, verbose=0).astype("float64")
    chosen = np.argmax(outputs, axis=1)
    chances = outputs if activation else keras.ops.softmax(outputs.astype("float32"))
    chances = keras.ops.convert_to_numpy(chances).astype("float64")
    chances /= chances.sum(axis=1, keepdims=True)
    expected = [
        metrics.accuracy_score(CLASSES, chosen),
        metrics.precision_score(CLASSES, chosen, average="macro", zero_division=0),
        metrics.recall_score(CLASSES, chosen, average="macro", zero_division=0),
        metrics.f1_score(CLASSES, chosen, average="macro", zero_division=0),
        metrics.roc_auc_score(CLASSES, chances, multi_class="ovr"),
    ]
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-4)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_scores_of_one_output_are_those_of_the_second_class(activation):
    model, targets = network(1, activation), CLASSES == 1
    found = kr.compare({"net": model}, X, targets, metrics=["accuracy", "f1", "roc_auc"])["net"]
    outputs = model.predict(X, verbose=0)[:, 0]
    chosen = outputs > (0.5 if activation else 0)
    expected = [
        metrics.accuracy_score(targets, chosen),
        metrics.f1_score(targets, chosen),
        metrics.roc_auc_score(targets, outputs),
    ]
    np.testing.assert_allclose(list(found.scores.values()), expected, rtol=1e-6)


def test_scores_of_values_and_functions():
    model, targets = network(2), X[:, :2]

    def worst(targets, outputs):
        return np.max(np.abs(targets - outputs))

    found = kr.compare({"net": model}, X, targets, metrics=["mse", "mae", "r2", worst])["net"]
    outputs = model.predict(X, verbose=0)
    expected = {
        "mse": np.mean((targets - outputs) ** 2),
        "mae": np.mean(np.abs(targets - outputs)),
        "r2": metrics.r2_score(targets, outputs),
        "worst": np.max(np.abs(targets - outputs)),
    }
    assert list(found.scores) == list(expected)
    np.testing.assert_allclose(list(found.scores.values()), list(expected.values()), rtol=1e-5)


def test_gap_is_training_less_the_rest():
    model, (more, classes) = network(), (X[:9], CLASSES[:9])
    row = kr.compare({"net": model}, X, CLASSES, ["accuracy"], training=(more, classes))["net"]
    trained = kr.compare({"net": model}, more, classes, ["accuracy"])["net"].scores["accuracy"]
    assert row.gaps == {"accuracy": trained - row.scores["accuracy"]}


def test_costs_are_those_of_the_model(tmp_path):
    plain, sparse = network(), network()
    kernel = np.zeros((6, 5), "float32")
    kernel[:, 0] = 1.0
    sparse.layers[0].kernel.assign(kernel)
    table = kr.compare({"plain": plain, "sparse": sparse}, X, CLASSES, ["accuracy"])
    assert [row.parameters for row in table.rows] == [plain.count_params()] * 2 == [53, 53]
    assert [row.zeros for row in table.rows] == [0, 24]
    assert table["plain"].macs == table["sparse"].macs == 6 * 5 + 5 * 3
    assert table["sparse"].macs_left < table["plain"].macs_left
    sparse.save(tmp_path / "model.keras")
    assert 1000 < table["sparse"].file_size < (tmp_path / "model.keras").stat().st_size
    assert table["sparse"].latency > 0


def test_zeros_make_the_file_smaller():
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100)])
    before = kr.compare({"net": model}, np.ones((4, 100)), np.zeros(4), ["accuracy"])["net"]
    model.layers[0].kernel.assign(np.zeros((100, 100)))
    after = kr.compare({"net": model}, np.ones((4, 100)), np.zeros(4), ["accuracy"])["net"]
    assert after.file_size < before.file_size - 20_000


@pytest.mark.parametrize("zeros", [0.5, 0.9, 0.98])
def test_the_file_is_near_the_entropy_of_its_weights(zeros):
    """The places of the zeros, and sign and mantissa of each other weight, cannot be less."""
    model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(500, use_bias=False)])
    empty = file_size(keras.Sequential([keras.Input((2,)), keras.layers.Dense(5, use_bias=False)]))
    kernel = np.random.default_rng(0).standard_normal((200, 500)).astype("float32")
    kernel[np.random.default_rng(1).random(kernel.shape) < zeros] = 0.0
    model.set_weights([kernel])
    kept = np.mean(kernel != 0)
    places = -kept * np.log2(kept) - (1 - kept) * np.log2(1 - kept)
    least = kernel.size * (places + 24 * kept) / 8
    assert least < file_size(model) - empty < 1.8 * least


def test_the_state_of_the_optimizer_is_not_counted():
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100)])
    x, y = np.random.default_rng(0).standard_normal((2, 400, 100))
    before = file_size(model)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    assert abs(file_size(model) - before) < 5_000


def test_the_same_table_in_every_form(tmp_path):
    models = {"<plain>": network(), "other": network()}
    table = kr.compare(models, X, CLASSES, ["accuracy", "f1"], training=(X, CLASSES))
    assert "&lt;plain&gt;" in table._repr_html_()
    for heading in ("accuracy", "f1 gap", "parameters", "multiply-adds", "latency"):
        assert heading in table._repr_html_()
    assert "other" in str(table)
    assert all(len(line) <= 120 for line in str(table).splitlines())
    table.to_csv(tmp_path / "table.csv")
    text = (tmp_path / "table.csv").read_text()
    assert text == table.to_csv()
    first = next(csv.DictReader(io.StringIO(text)))
    assert float(first["accuracy"]) == table["<plain>"].scores["accuracy"]
    assert int(first["file_size"]) == table.to_dict()[0]["file_size"]


def test_what_is_refused():
    model = network()
    with pytest.raises(ValueError, match="names to models"):
        kr.compare({}, X, CLASSES, ["accuracy"])
    with pytest.raises(ValueError, match="'acuracy'"):
        kr.compare({"net": model}, X, CLASSES, ["acuracy"])
    with pytest.raises(ValueError, match="built"):
        kr.compare({"net": keras.Sequential([keras.layers.Dense(3)])}, X, CLASSES, ["accuracy"])
    with pytest.raises(ValueError, match="class numbers"):
        kr.compare({"net": model}, X, CLASSES + 0.5, ["accuracy"])
    with pytest.raises(KeyError, match="the models are"):
        kr.compare({"net": model}, X, CLASSES, ["accuracy"])["other"]


@pytest.mark.parametrize("bad", ["model", None, [1]])
def test_what_is_no_model_is_refused(bad):
    with pytest.raises(TypeError, match=r"Expected a keras\.Model"):
        kr.compare({"bad": bad}, np.ones((4, 3)), np.zeros(4), metrics=["accuracy"])
