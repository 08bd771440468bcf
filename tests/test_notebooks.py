"""The notebooks run from top to bottom without an error, offline."""

import pathlib

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")
def test_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    assert any("image/png" in out.get("data", {}) for out in outputs), "no picture was drawn"
    assert not any(out.output_type == "error" for out in outputs)


@pytest.mark.once
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_ready_for_colab(path):
    text = path.read_text(encoding="utf8")
    assert "colab-badge.svg)](https://colab.research.google.com/github/" in text
    assert f"/blob/main/notebooks/{path.name}" in text
    assert "pip" in text
    assert "find_spec" in text


@pytest.mark.once
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_small_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    pictures = [out.data["image/png"] for out in outputs if "image/png" in out.get("data", {})]
    assert pictures, "run it and keep its outputs"
    assert max(len(picture) for picture in pictures) * 3 / 4 < 64_000
    assert path.stat().st_size < 300_000
    assert not any(out.get("name") == "stderr" for out in outputs)
