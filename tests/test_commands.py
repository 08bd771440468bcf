"""Every link and command that README, CONTRIBUTING and the pages show leads to something."""

import configparser
import pathlib
import re

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf8") for page in PAGES}
EXTRAS = configparser.ConfigParser()
EXTRAS.read(ROOT / "setup.cfg")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf8"), re.M))
# Pages that docs/site_pages.py makes.
MADE = {"index.md", "results.md", "contributing.md", "changelog.md", "sources.md"}

every_page = pytest.mark.parametrize("name", TEXTS)


def shown(name):
    """All that stands in code of a page: its blocks and the words between backticks."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", TEXTS[name], re.DOTALL | re.M)
    return "\n".join(blocks + re.findall(r"`([^`\n]+)`", TEXTS[name]))


def slug(heading):
    """The anchor that Markdown's table of contents makes of a heading."""
    words = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"[-\s]+", "-", words)


def anchors(page):
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.M)}


@every_page
def test_targets_of_make_exist(name):
    found = re.findall(r"(?:^|`|&& )make ((?:[a-z]+ ?)+)", shown(name), re.M)
    assert {target for targets in found for target in targets.split()} <= TARGETS


@every_page
def test_extras_exist(name):
    extras = re.findall(r"(?:keras-reg|-e \"?\.)\[([\w,]+)\]", shown(name))
    known = EXTRAS["options.extras_require"]
    assert [extra for each in extras for extra in each.split(",") if extra not in known] == []


@every_page
def test_scripts_exist(name):
    scripts = re.findall(r"(?:python|bash) ((?:\w+/)+\w+\.\w+)", shown(name))
    scripts += re.findall(
        r"^((?:benchmarks|docs|examples|tests|keras_reg)/[\w/]+\.py)$", shown(name), re.M
    )
    scripts = [script for script in scripts if "NAME" not in script]
    assert [script for script in scripts if not (ROOT / script).exists()] == []


@every_page
def test_links_between_pages_lead_to_a_page_and_a_heading(name):
    page = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        target, _, anchor = link.partition("#")
        if re.match(r"https?:", link) or target in MADE:
            continue
        path = page.parent / target if target else page
        assert path.exists(), f"{name} links to {link}"
        if anchor and path.suffix == ".md" and path.parent.name != "api":
            assert anchor in anchors(path), f"{name} links to {link}"


def test_links_to_the_repository_lead_to_a_file():
    pattern = r"keras-reg/(?:blob/)?main/([\w/.]+)"
    linked = {path for text in TEXTS.values() for path in re.findall(pattern, text)}
    assert "CONTRIBUTING.md" in linked
    assert [path for path in linked if not (ROOT / path).exists()] == []


def test_every_example_is_in_the_gallery():
    scripts = {path.stem for path in (ROOT / "examples").glob("*.py")}
    scripts -= {"reporting", "scenes", "texts"}  # What the scripts import.
    assert {stem for stem in scripts if f"`{stem}`" not in TEXTS["docs/gallery.md"]} == set()


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [("A smaller model", "a-smaller-model"), ("`load_model` fails", "load_model-fails")],
)
def test_anchors_are_those_of_the_site(heading, anchor):
    """Against the anchors that mkdocs printed for two headings of these pages."""
    assert slug(heading) == anchor
