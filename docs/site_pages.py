"""Hooks of the site: pages made from the repository's files, and a check that every name is there.

mkdocs calls `on_files` and `on_post_build`; mkdocs.yml names this file.
"""

import html
import pathlib
import re
import zlib
from collections.abc import Iterator
from typing import Any

import griffe
import latex2mathml.converter
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from shadowed_names import ShadowedNames

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {
    "index.md": "README.md",
    "results.md": "benchmarks/RESULTS.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
# The README's links are absolute, since it is read on PyPI too.
IMAGES = "https://raw.githubusercontent.com/keras-reg/keras-reg/main/docs/"
SITE = "https://keras-reg.github.io/keras-reg"
REPOSITORY = "https://github.com/keras-reg/keras-reg/blob/main"
# What pymdownx.arithmatex makes of a formula.
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
# A page that shows a file among other things.
SHOWN_IN = {"add_penalty.md": "keras_reg/regularizers/log_sum.py"}


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that repeat a file, and the one that collects the sources."""
    for page, name in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf8")
        files.append(File.generated(config, page, content=with_links_of_the_site(text)))
    files.append(File.generated(config, "sources.md", content=sources_page()))
    return files


def on_page_content(content: str, **kwargs: Any) -> str:
    """LaTeX becomes MathML, which browsers typeset by themselves: no script, no fonts to fetch."""
    return FORMULA.sub(mathml, content)


def mathml(found: re.Match) -> str:
    display = "block" if found["tag"] == "div" else "inline"
    return latex2mathml.converter.convert(html.unescape(found["latex"]), display=display)


def with_links_of_the_site(text: str) -> str:
    """Links to files of the repository, and to this site, become links to their pages."""
    text = re.sub(rf"\]\({SITE}/(\w+)\.html", r"](\1.md", text).replace(f"]({SITE})", "](index.md)")
    text = text.replace(f"]({REPOSITORY}/", "](").replace("](docs/", "](").replace(IMAGES, "")
    for page, name in {**PAGES, **SHOWN_IN}.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def sources_page() -> str:
    lines = ["# Sources", "", "The papers that the docstrings of this package name.", ""]
    for path, found in sorted(public_objects().items()):
        if reference := reference_of(found.docstring.value if found.docstring else ""):
            lines.append(f"- [`{path.removeprefix('keras_reg.')}`][{path}]: {reference}")
    return "\n".join(lines)


def reference_of(docstring: str) -> str:
    """The text of a docstring's `Reference:`, which ends at the next blank line."""
    _, _, rest = docstring.partition("\nReference: ")
    return " ".join(line.strip() for line in rest.split("\n\n")[0].splitlines())


def public_objects() -> dict[str, griffe.Object]:
    """All that the subpackages export, nested ones too, by their paths."""
    extensions = griffe.load_extensions(ShadowedNames)
    package = griffe.load(
        "keras_reg", search_paths=[ROOT], extensions=extensions, resolve_aliases=True
    )
    return dict(exported(package))


def exported(module: griffe.Object) -> Iterator[tuple[str, griffe.Object]]:
    names = module.exports
    if names is None:
        names = [name for name, member in module.members.items() if member.is_public]
    for name in names:
        member = module.members[name]
        if member.is_module:
            yield from exported(member)
        else:
            yield f"{module.path}.{name}", member


def on_post_build(config: Any) -> None:
    """Ends the build with an error if a public name has no place on any page."""
    inventory = (pathlib.Path(config.site_dir) / "objects.inv").read_bytes()
    listed = zlib.decompress(inventory.split(b"\n", 4)[4]).decode()
    named = {line.split()[0] for line in listed.splitlines()}
    if missing := sorted(public_objects().keys() - named):
        raise PluginError(f"Expected every public name on a page. Missing: {missing}")
