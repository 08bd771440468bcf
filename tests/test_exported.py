"""check_export: exported files in their own runtimes, with and without this package."""

import csv
import functools
import importlib.util
import io
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

import keras_reg as kr
from keras_reg.evaluation import check_export
from keras_reg.evaluation.exported import _left
from keras_reg.evaluation.runtimes import FORMATS

BACKEND = keras.backend.backend()
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        BACKEND == "torch" and keras.__version__ < "3.15", reason="it does not export to PyTorch"
    ),
]


def can_run(kind):
    is_there = importlib.util.find_spec
    return (
        BACKEND in FORMATS[kind].exporters
        and not FORMATS[kind].missing(BACKEND)
        and any(is_there(package) for package in FORMATS[kind].packages)
    )


every_format = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.skipif(not can_run(kind), reason="not installed"))
        for kind in FORMATS
    ],
)


def model_of(dropout, regularizer=None, optimizer="adam"):
    """A model that was trained for one step."""
    keras.utils.set_random_seed(0)
    parts = [
        layers.Conv2D(4, 3, activation="relu"),
        *dropout,
        layers.Flatten(),
        layers.Dense(3, kernel_regularizer=regularizer),
    ]
    model = keras.Sequential([keras.Input((8, 8, 2)), *parts])
    model.compile(optimizer, "mse")
    model.train_on_batch(np.ones((4, 8, 8, 2)), np.ones((4, 3)))
    return model


@functools.cache
def regularized():
    l1 = {"conv2d.*kernel": kr.regularizers.L1(0.5)}
    dropout = [kr.layers.ScheduledDropout(0.5), kr.layers.ScheduledGaussianDropout(0.5)]
    return model_of(dropout, kr.regularizers.L2(0.1), kr.optimizers.Proximal("adam", l1))


@functools.cache
def plain():
    return model_of([layers.Dropout(0.5), layers.GaussianDropout(0.5)])


@every_format
def test_a_file_has_the_models_outputs_and_nothing_of_the_package(kind):
    ours = check_export(regularized(), kind, calls=2)
    assert ours.difference < 1e-5 < ours.largest
    assert ours.left == ()
    # The same graph as that of a model of Keras's own layers, whatever the format counts.
    assert ours.operations == check_export(plain(), kind, calls=2).operations > 0
    assert 0 < ours.zipped < ours.size + 1000
    assert ours.latency > 0
    assert sum(ours.kinds.values()) == ours.operations
    assert "nothing" in str(ours)


@every_format
def test_several_inputs_of_any_type_in_their_order(kind):
    if (kind, BACKEND) == ("litert", "torch"):
        pytest.skip("litert-torch 0.10 cannot lower an Embedding that reads int32")
    first, second = keras.Input((3,), name="zebra"), keras.Input((4,), dtype="int32", name="ant")
    table = layers.Flatten()(layers.Embedding(5, 2)(second))
    outputs = [layers.Dense(2)(first), layers.Dense(4)(layers.Concatenate()([first, table]))]
    model = keras.Model([first, second], outputs)
    assert check_export(model, kind, calls=1).difference < 1e-5
    x = [np.full((6, 3), 0.5), np.arange(24).reshape(6, 4) % 5]
    check = check_export(model, kind, x, calls=1)
    assert check.difference < 1e-5
    assert check.batch == (1 if BACKEND == "torch" and kind in ("torch", "litert") else 6)


NATIVE = "torch" if BACKEND == "torch" else "tf_saved_model"


def test_a_file_that_computes_something_else_is_told_of():
    model = model_of([])
    export = model.export

    def other(*arguments, **named):
        model.layers[-1].bias.assign_add([0.0, -0.25, 0.0])
        export(*arguments, **named)

    model.export = other
    assert check_export(model, NATIVE, calls=1).difference == pytest.approx(0.25, abs=1e-5)


@pytest.mark.skipif(not can_run("litert"), reason="not installed")
def test_memory_is_that_of_the_tensors_alive_together():
    """By hand: 4 bytes a number; the sum reads the input, which lives until then."""
    x = keras.Input((8,))
    chain = layers.Dense(4)(layers.Dense(16, activation="relu")(x))
    assert check_export(keras.Model(x, chain), "litert", calls=1).memory == 4 * (8 + 16)
    residual = layers.Add()([x, layers.Dense(8)(layers.Dense(16, activation="relu")(x))])
    check = check_export(keras.Model(x, residual), "litert", calls=1)
    assert check.memory == 4 * (8 + 16 + 8)
    assert "128 bytes of tensors" in str(check)


@pytest.mark.parametrize("kind", [NATIVE, "onnx"])
def test_models_are_compared_by_their_files(kind, tmp_path):
    if not can_run(kind):
        pytest.skip("not installed")
    model = model_of([])
    kernel, *others = model.get_weights()
    kernel[..., ::2] = 0.0
    others[0][::2] = 0.0
    model.set_weights([kernel, *others])
    x = np.random.default_rng(0).standard_normal((6, 8, 8, 2)).astype("float32")
    models = {"dense": model, "compact": kr.compact(model)}
    table = kr.compare(models, x, x[:, :3, 0, 0], ["mse"], batch_size=4, formats=kind)
    for name, one in models.items():
        alone, beside = check_export(one, kind, x[:4], calls=1), table[name].exports[kind]
        same = ("difference", "operations", "kinds", "left", "batch", "format")
        assert [getattr(beside, n) for n in same] == [getattr(alone, n) for n in same]
        assert beside.difference < 1e-5
    assert table["compact"].exports[kind].size < table["dense"].exports[kind].size
    headings, dense, _ = table.export_cells(kind)
    assert dict(zip(headings, dense, strict=True))["of keras_reg"] == "nothing"
    assert f"<caption>{kind}, batch" in table._repr_html_()
    assert kind in str(table)
    assert all(len(line) <= 80 for line in str(table).splitlines() if "MACs" not in line)
    first = next(csv.DictReader(io.StringIO(table.to_csv())))
    assert int(first[f"{kind} size"]) == table["dense"].exports[kind].size


def test_what_is_left_is_told_of():
    model = model_of([])
    export = model.export

    def other(target, **named):
        export(target, **named)
        beside = pathlib.Path(target).with_suffix(".more")
        more = pathlib.Path(target, "more") if pathlib.Path(target).is_dir() else beside
        more.write_text("keras_reg>L1")

    model.export = other
    (name,) = check_export(model, NATIVE, calls=1).left
    assert name.endswith("more")


def test_operations_of_random_bits_are_told_of():
    """As a file that was exported in training mode would have them."""
    operations = ("aten.conv2d.default", "aten.bitwise_xor.Tensor", "BitShift", "Relu")
    assert _left(regularized(), [], operations) == ("BitShift", "aten.bitwise_xor.Tensor")
    assert _left(plain(), [], operations) == ()


def test_the_file_stays_where_it_is_asked_to(tmp_path):
    path = tmp_path / f"kept{FORMATS[NATIVE].suffix}"
    # What else is there is not of the export, and does not count.
    other = tmp_path / "kept.keras" if NATIVE == "torch" else path / "notes.txt"
    other.parent.mkdir(exist_ok=True)
    other.write_text("another file")
    check = check_export(plain(), NATIVE, path=path, calls=1)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file != other]
    assert check.size == sum(file.stat().st_size for file in files)


def test_what_cannot_be_checked_is_refused(monkeypatch, tmp_path):
    model = plain()
    with pytest.raises(ValueError, match=r"Expected `format` among .*Received: format='tflite'"):
        check_export(model, "tflite")
    other = {"torch": "tf_saved_model"}.get(BACKEND, "torch")
    with pytest.raises(ValueError, match=r"Expected the backend .*Received: backend="):
        check_export(model, other)
    with pytest.raises(ValueError, match=r"Expected `calls`"):
        check_export(model, NATIVE, calls=0)
    with pytest.raises(ValueError, match=r"Expected `path` to end with '.*Received"):
        check_export(model, NATIVE, path=tmp_path / "model.other", calls=1)
    with pytest.raises(ValueError, match=r"Expected `x` to hold 1 arrays"):
        check_export(model, NATIVE, [np.ones((1, 2))] * 2)
    with pytest.raises(TypeError, match=r"Expected"):
        check_export("model", NATIVE)
    longer = keras.Sequential([keras.Input((None, 2)), layers.Dense(2)])
    with pytest.raises(
        ValueError, match=r"Expected `x` for a model with inputs of unknown lengths"
    ):
        check_export(longer, NATIVE)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"Expected .* to be installed.*pip install"):
        check_export(model, NATIVE)


def test_formats_of_compare_are_refused_before_any_work(monkeypatch):
    models, x, y = {"model": plain()}, np.ones((2, 8, 8, 2)), np.ones(2)
    monkeypatch.setattr(plain(), "predict", None)
    with pytest.raises(ValueError, match=r"Expected `format` among .*Received: format='tflite'"):
        kr.compare(models, x, y, ["mse"], formats=["tflite"])
    if BACKEND == "jax":
        with pytest.raises(ValueError, match=r"on which Keras exports 'litert'.*'jax'"):
            kr.compare(models, x, y, ["mse"], formats="litert")
    find = importlib.util.find_spec
    exporter = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}[BACKEND]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == exporter else find(name)
    )
    with pytest.raises(ImportError, match=rf"which Keras needs to export 'onnx'.*{exporter}"):
        kr.compare(models, x, y, ["mse"], formats="onnx")
