"""Every public name is on a page of docs/, and what the README repeats is what the code says."""

import ast
import inspect
import pathlib
import re

import pytest

import keras_reg
from keras_reg import layers, optimizers, regularizers, schedules

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")
PAGES = sorted((ROOT / "docs").rglob("*.md"))
ROOMS = [regularizers, layers, schedules, optimizers]
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf8")


def public_names(module=keras_reg):
    """The dotted name of everything a room exports, and of what the rooms in it do."""
    names = getattr(module, "__all__", None) or [
        name
        for name, found in vars(module).items()
        if inspect.isfunction(found) and found.__module__ == module.__name__ and name[0] != "_"
    ]
    for name in names:
        found = getattr(module, name)
        if inspect.ismodule(found):
            yield from public_names(found)
        else:
            yield f"{module.__name__}.{name}"


def directives(pages=PAGES):
    """What the pages ask mkdocstrings for. A room stands for all that it exports."""
    texts = [page.read_text(encoding="utf8") for page in pages]
    return {name for text in texts for name in re.findall(r"^::: (\S+)$", text, re.M)}


def missing(shown):
    """The public names of which neither itself nor its room is among those shown."""
    return {name for name in public_names() if not {name, name.rpartition(".")[0]} & shown}


def test_every_public_name_is_in_the_reference():
    assert len(set(public_names())) > 80
    assert missing(directives()) == set()


@pytest.mark.parametrize("name", sorted(directives() - {"keras_reg.attach.Attached"}))
def test_a_name_without_its_directive_would_be_missed(name):
    assert missing(directives() - {name})


def test_every_page_is_in_the_menu():
    listed = set(re.findall(r"[\w/]+\.md(?=\n)", SITE))
    assert {page.relative_to(ROOT / "docs").as_posix() for page in PAGES} <= listed


def test_pages_show_rooms_whole():
    texts = {page.name: page.read_text(encoding="utf8") for page in PAGES}
    assert [
        name for name, text in texts.items() if re.search(r"^ +(members|filters):", text, re.M)
    ] == []


def code_without_docstrings(source):
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.unparse(tree)


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.M)[1]


def test_penalty_of_the_readme_is_the_one_of_the_package():
    (shown,) = re.findall(r"```python\n(.*?)```", section("Add a penalty"), re.DOTALL)
    file = pathlib.Path(inspect.getfile(regularizers.L1))
    assert code_without_docstrings(shown) == code_without_docstrings(file.read_text())


def reference_of(public):
    """The text of a docstring's `Reference:`, which ends at the next blank line."""
    _, _, rest = (inspect.getdoc(public) or "").partition("\nReference: ")
    return " ".join(rest.split("\n\n")[0].split())


def sources(room):
    """A line for each paper, or papers, that docstrings of a room name."""
    named = {}
    for name in room.__all__:
        if reference := reference_of(getattr(room, name)):
            named.setdefault(reference, []).append(f"`{name}`")
    return [f"- {', '.join(names)}: {reference}" for reference, names in named.items()]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_sources_of_the_readme_are_those_of_the_docstrings(room):
    lines = section("Sources").splitlines()
    assert [line for line in sources(room) if line not in lines] == []


def test_every_penalty_has_a_source():
    bases = {"RadialPenalty"}
    names = set(regularizers.__all__) - bases
    assert [name for name in names if not reference_of(getattr(regularizers, name))] == []


def test_every_penalty_is_in_the_table_of_the_readme():
    bases = {"Penalty", "Projection", "RadialPenalty"}
    table = section("One penalty, two places")
    names = set(regularizers.__all__) - bases
    assert [name for name in names if not re.search(rf"^\|.*`{name}\b.*\|", table, re.M)] == []
