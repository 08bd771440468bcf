"""The README's example runs as it is written, for fewer epochs."""

import pathlib
import re

from sklearn.datasets import load_digits

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_example_runs(capsys):
    (example, *_) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf8"), re.DOTALL)
    assert len(example.strip().splitlines()) <= 17
    x, y = load_digits(return_X_y=True)
    exec(example.replace("epochs=150", "epochs=2, verbose=0"), {"x": x / 16, "y": y})
    assert "Exact zeros" in capsys.readouterr().out
