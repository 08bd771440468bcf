"""Tables in files: what is not one, or no longer one, is refused with its place."""

import json

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import layers

from keras_reg.callbacks import SparsityReport
from keras_reg.report import SparsityTable, read_lines, sparsity


def table():
    return sparsity(keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.Dense(3)]))


FOREIGN = ["", "t.json", "[1, 2]", "3", "null", '{"a": 1}', '{"rows": 3}', '{"rows": [{}]}']


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign_json_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match=r"Expected .*Received: the text"):
        SparsityTable.from_json(text)
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(ValueError, match=r"Expected .*Received: .*t\.json"):
        SparsityTable.from_json(tmp_path / "t.json")


def test_altered_json_is_refused_with_its_place():
    values = table().to_dict()
    for name, value in {"zeros": "three", "shape": 4, "zero_inputs": None, "more": 1}.items():
        altered = json.loads(json.dumps(values))
        altered["rows"][1][name] = value
        with pytest.raises(ValueError, match=rf"rows\[1\].*{value}|{name}"):
            SparsityTable.from_json(json.dumps(altered))


@hypothesis.given(st.floats(0, 1))
def test_truncated_json_is_refused(share):
    text = table().to_json()
    with pytest.raises(ValueError, match=r"Expected the JSON .* from line \d+ on"):
        SparsityTable.from_json(text[: int(share * (len(text) - 1))])


def test_a_csv_says_the_line():
    text = table().to_csv()
    lines = text.splitlines()
    with pytest.raises(ValueError, match=r"the text, line 3"):
        SparsityTable.from_csv("\n".join([*lines[:2], lines[2][:30]]))
    with pytest.raises(ValueError, match=r"the text, line 2"):
        SparsityTable.from_csv("\n".join([lines[0], lines[1].replace("[4, 2]", "[4, x]")]))
    with pytest.raises(ValueError, match=r"the text, line 1, where .*path.* are missing"):
        SparsityTable.from_csv("a,b\n1,2\n")
    with pytest.raises(TypeError, match="Expected a text"):
        SparsityTable.from_csv(3)


def fit(path, epochs=2):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    report = SparsityReport(verbose=0, path=path)
    return model.fit(np.ones((2, 4)), np.ones((2, 3)), epochs=epochs, verbose=0, callbacks=[report])


def test_a_log_says_which_line_is_something_else(tmp_path):
    path = tmp_path / "log.jsonl"
    fit(path, 3)
    lines = path.read_text().splitlines()
    for altered in (lines[1][:40], "hello", "[1]", '{"epoch": 1}', lines[1].replace("zeros", "z")):
        path.write_text("\n".join([lines[0], altered, lines[2], ""]))
        with pytest.raises(ValueError, match=r"Expected .*log\.jsonl, line 2"):
            read_lines(path)
    path.write_text("\n".join([*lines[:2], lines[2][:40]]))
    assert read_lines(path)["epoch"] == [0, 1]
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"log\.jsonl, line 1: hello"):
        read_lines(path)


def test_a_log_that_cannot_be_written_stops_before_training(tmp_path):
    (tmp_path / "file").write_text("text")
    for path in (tmp_path, tmp_path / "file" / "log.jsonl"):
        with pytest.raises(ValueError, match="Expected a `path` that can be written to"):
            fit(path)
    with pytest.raises(ValueError, match="which starts with 'text'"):
        fit(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "text"
    with pytest.raises(TypeError, match="Expected `path`"):
        SparsityReport(path=3)


def test_weights_are_in_the_logs_if_asked_for(tmp_path):
    assert set(fit(tmp_path / "log.jsonl").history) == {
        *("loss", "sparsity", "group_sparsity", "penalty", "parameters_left", "macs_left")
    }
    assert any(name.startswith("sparsity/") for name in read_lines(tmp_path / "log.jsonl"))
