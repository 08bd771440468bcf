"""Every public name is on a page of docs/, every penalty in the guide, each with its source."""

import inspect
import pathlib
import re
import tomllib

import pytest

import keras_reg
from keras_reg import regularizers

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf8")


def public_names(module=keras_reg):
    """The dotted name of everything a subpackage exports, and of what the subpackages in it do."""
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
    """What the pages ask mkdocstrings for. A subpackage stands for all that it exports."""
    texts = [page.read_text(encoding="utf8") for page in pages]
    return {name for text in texts for name in re.findall(r"^::: (\S+)$", text, re.M)}


def missing(shown):
    """The public names of which neither itself nor its subpackage is among those shown."""
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


def reference_of(public):
    """The text of a docstring's `Reference:`, which ends at the next blank line."""
    _, _, rest = (inspect.getdoc(public) or "").partition("\nReference: ")
    return " ".join(rest.split("\n\n")[0].split())


def test_every_penalty_has_a_source():
    bases = {"RadialPenalty"}
    names = set(regularizers.__all__) - bases
    assert [name for name in names if not reference_of(getattr(regularizers, name))] == []


def test_every_penalty_is_in_the_catalogue_of_the_guide():
    bases = {"Penalty", "Projection", "RadialPenalty"}
    table = (ROOT / "docs/which_regularizer.md").read_text(encoding="utf8")
    names = set(regularizers.__all__) - bases
    assert [name for name in names if not re.search(rf"^\|.*`{name}\b.*\|", table, re.M)] == []


def test_each_penalty_is_typeset():
    formulas = tomllib.loads((ROOT / "docs/formulas.toml").read_text(encoding="utf8"))
    bases = {"Penalty", "Projection", "RadialPenalty"}
    assert set(formulas) == set(regularizers.__all__) - bases
    classes = {name: getattr(regularizers, name) for name in formulas}
    assert {name for name, found in classes.items() if "prox:   none" in found.__doc__} == {
        name for name, formula in formulas.items() if "prox" not in formula
    }
