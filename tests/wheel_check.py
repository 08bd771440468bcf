"""The built wheel in an empty environment: it imports, and the README's example runs.

Run with `python wheel_check.py dist`. Not collected as a test: it downloads the dependencies.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

IMPORT = """
import keras_reg as kr
assert kr.__file__.startswith({root!r}), kr.__file__
assert float(kr.regularizers.L1(0.5)([1.0, -2.0])) == 1.5
print("keras_reg", kr.__version__, "works from its wheel")
"""


def assert_only_the_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "keras_reg/py.typed" in names
    folders = {name.split("/")[0] for name in names}
    extra = {f for f in folders if f != "keras_reg" and not f.endswith(".dist-info")}
    assert not extra, f"the wheel holds more than keras_reg: {extra}"


def example():
    """The README's example, which loads its data from scikit-learn."""
    text = pathlib.Path(__file__).parents[1].joinpath("README.md").read_text()
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def assert_installs_and_runs(wheel):
    with tempfile.TemporaryDirectory() as folder:
        root = str(pathlib.Path(folder).resolve())
        subprocess.run([sys.executable, "-m", "venv", root], check=True)
        python = f"{root}/bin/python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, str(wheel)], check=True)
        subprocess.run([python, "-c", IMPORT.format(root=root)], check=True, cwd=root)
        subprocess.run([*pip, "scikit-learn"], check=True)
        subprocess.run([python, "-c", example()], check=True, cwd=root)


if __name__ == "__main__":
    (built,) = pathlib.Path(sys.argv[1]).resolve().glob("*.whl")
    assert_only_the_package(built)
    assert_installs_and_runs(built)
