"""The README's example runs as it is written, for fewer epochs."""

import pathlib
import re

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_reg as kr

README = pathlib.Path(__file__).parent.parent / "README.md"


def examples():
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf8"), re.DOTALL)


def test_example_runs(capsys):
    example, *_ = examples()
    assert len([line for line in example.splitlines() if line]) <= 15
    x, y = load_digits(return_X_y=True)
    exec(example.replace("epochs=150", "epochs=2, verbose=0"), {"x": x / 16, "y": y})
    assert "Exact zeros" in capsys.readouterr().out


def test_pruning_example_runs():
    (example,) = [example for example in examples() if "TopK(" in example]
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    x, y = load_digits(return_X_y=True)
    names = {"keras": keras, "kr": kr, "model": model, "x": x / 16, "y": np.eye(10)[y]}
    exec(example.replace("epochs=100", "epochs=1, verbose=0"), names)
    assert np.sum(model.get_weights()[0] == 0) == 320
