"""The examples in the pages of docs/ run, each page from top to bottom."""

import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parent.parent / "docs"


def examples(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf8"), re.DOTALL | re.M)


PAGES = [page for page in sorted(DOCS.glob("*.md")) if examples(page)]
# One backend: the code they show runs on each in the tests of what it calls. PyTorch exports no
# SavedModel.
ONCE = {"deploying": pytest.mark.once("jax")}


@pytest.mark.parametrize(
    "page",
    [pytest.param(one, marks=ONCE.get(one.stem, pytest.mark.once), id=one.stem) for one in PAGES],
)
def test_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for example in examples(page):
        exec(compile(example, page.name, "exec"), names)


def test_pages_with_examples_are_found():
    assert len(PAGES) > 8
