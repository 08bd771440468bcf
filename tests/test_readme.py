"""The README's example runs as it is written, for fewer epochs."""

import pathlib
import re

import keras

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text(encoding="utf8")


def examples():
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_example_runs(capsys):
    (example,) = examples()
    names = {}
    exec(example.replace("epochs=100", "epochs=3"), names)
    assert "compact" in capsys.readouterr().out
    assert isinstance(names["small"], keras.Model)


def test_it_is_short():
    assert len(README.split()) <= 1000


def test_links_are_absolute():
    """The page is read on PyPI too."""
    links = re.findall(r"\]\((\S+?)\)", README)
    assert links
    assert [link for link in links if not link.startswith("https://")] == []


def test_links_to_the_site_lead_to_its_pages():
    root = pathlib.Path(__file__).parent.parent
    pages = re.findall(r"keras-reg\.github\.io/keras-reg/(\w+)\.html", README)
    made = {"results", "contributing", "changelog", "index", "sources"}
    assert pages
    assert [p for p in pages if p not in made and not (root / f"docs/{p}.md").exists()] == []
