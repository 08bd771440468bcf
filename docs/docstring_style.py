"""The docstrings of this package for mkdocstrings: what is particular to this project, as Markdown.

The google style reads `Args:` and blocks of `Raises:` by itself. Here formulas are typeset,
the one-line sections get their names in bold, and a star stays a star.
"""

import inspect
import pathlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import griffe

# What is typeset: for each class its value and, if it has one, its proximal operator.
FORMULAS = tomllib.loads(pathlib.Path(__file__).with_name("formulas.toml").read_text())
FORMULA = re.compile(r"(value|prox):")
LINE_SECTION = re.compile(r"(Shapes|Returns|Raises|Reference): (.*)")
SECTION = re.compile(r"\w+:$")
STARRED_NAME = re.compile(r"\s+\*+\w+: ")


class DocstringStyle(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_package(self, *, pkg: griffe.Module, loader: Any, **kwargs: Any) -> None:
        # Not `on_object`: it would not reach files whose name `ShadowedNames` gives to a function.
        for obj in objects_in(pkg):
            if obj.docstring:
                text = rewritten(obj.docstring.value, **FORMULAS.get(obj.name, {}))
                # Griffe knows the fields of a NamedTuple as its attributes.
                if obj.is_class and "NamedTuple" in map(str, obj.bases):
                    text = text.replace("\nArgs:", "\nAttributes:")
                obj.docstring.value = text


def objects_in(obj: griffe.Object) -> Iterator[griffe.Object]:
    """An object and all that is defined in it."""
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from objects_in(member)


def rewritten(docstring: str, **formulas: str) -> str:
    """A docstring in the template of this package, as google-style Markdown."""
    lines = []
    for block in blocks(docstring):
        if formulas and block[-1] and any(map(FORMULA.match, block)):
            lines += typeset([line for line in block if line], **formulas)
        else:
            lines += markdown(block)
    return "\n".join(lines).strip()


def typeset(text: list[str], value: str, prox: str = "") -> list[str]:
    """Formulas as mathematics, and under them, folded, as the docstring has them."""
    formulas = [rf"\Omega(w) = {value}"]
    if prox:
        formulas += rf"\operatorname{{prox}}(w, \text{{step}}) = {prox}".split("\n\n")
    shown = [line for formula in formulas for line in ("", rf"\[ {formula} \]")]
    folded = [f"    {line}" for line in ("```text", *text, "```")]
    return [*shown, "", '??? quote "As text"', "", *folded]


def blocks(docstring: str) -> Iterator[list[str]]:
    """Paragraphs and sections: a section starts at its name, blank line before it or not."""
    block: list[str] = []
    for line in inspect.cleandoc(docstring).splitlines():
        if block and (not line or LINE_SECTION.match(line) or SECTION.match(line)):
            yield block
            block = []
        block.append(line)
    yield block


def markdown(block: list[str]) -> list[str]:
    """The lines of one block, after a blank one."""
    lines = block if block[0] else block[1:]
    if not lines or lines[0].startswith(" "):  # More of a section that has blank lines.
        return block
    section = LINE_SECTION.match(lines[0])
    if FORMULA.match(lines[0]):
        lines = ["```text", *lines, "```"]
    elif section:
        name, first = section.groups()
        lines = [f"**{name}:** {first}", *(line.strip() for line in lines[1:])]
        lines = [stars_kept(line) if at else line for at, line in enumerate(lines)]
    elif lines[0] == "Example:":
        lines = ["Examples:", *lines[1:]]
    else:
        lines = [stars_kept(line) for line in lines]
    return ["", *lines]


def stars_kept(line: str) -> str:
    """A line whose stars are stars, outside of code: Markdown takes two of them for emphasis."""
    name = STARRED_NAME.match(line)
    lead = name[0] if name else ""
    pieces = line[len(lead) :].split("`")
    kept = (p.replace("*", r"\*") if at % 2 == 0 else p for at, p in enumerate(pieces))
    return lead + "`".join(kept)
