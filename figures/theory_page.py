"""The theory as a page of the report: each statement under its number, so that every page can link to it."""

from __future__ import annotations

import re
from html import escape
from importlib import resources
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["STATED", "theory_body"]

SOURCE = resources.files("gsi_theory").joinpath("THEORY.md").read_text(encoding="utf-8")
# A statement begins a paragraph with its number: **(M7) The gate does not vanish.**, **(M7, readings)**
_STATEMENT = re.compile(r"^\*\*\((M\d+)(?:, ([a-z]+))?\)[ .]*([^*]*)", re.MULTILINE)
STATED = frozenset(match[1] for match in _STATEMENT.finditer(SOURCE))
# An underscore is an index here and never emphasis; until the end it stands as a character of its own.
_INDEX = "\ue000"
_SCRIPT = re.compile(rf"([{_INDEX}^])(?:\{{([^{{}}]*)\}}|([^\W\d]+|\d+|[∞+*−]|\([A-Za-z0-9]+\)))")


def _anchors() -> list[tuple[str, str, str]]:
    """(anchor, number in words, title) of every statement in the order of the text.

    The number itself names the first paragraph that bears it alone: what sharpens a statement or reads it differently
    may stand before it.
    """
    anchors: list[tuple[str, str, str]] = []
    for number, kind, title in (match.groups() for match in _STATEMENT.finditer(SOURCE)):
        anchor = f"{number}-{kind}" if kind else number
        repeats = sum(re.sub(r"\.\d+$", "", one) == anchor for one, _, _ in anchors)
        words = f"{number}, {kind}" if kind else number
        anchors.append((f"{anchor}.{repeats + 1}" if repeats else anchor, words, title.strip(" .\\")))
    return anchors


def _scripts(text: str) -> str:
    """Escaped text with indices and exponents set as such, the innermost first."""
    tags = {_INDEX: "sub", "^": "sup"}
    count = 1
    while count:
        text, count = _SCRIPT.subn(lambda m: f"<{tags[m[1]]}>{m[2] or m[3]}</{tags[m[1]]}>", text)
    return text


def _text(tokens: list[Token], index: int, *_: object) -> str:
    return _scripts(escape(tokens[index].content, quote=False))


def theory_body() -> tuple[str, list[tuple[str, str, str]]]:
    """The markup of the theory and the anchors in it, (anchor, number in words, title)."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("text", lambda _, *arguments: _text(*arguments))
    tokens = parser.parse(SOURCE.replace("_", _INDEX))
    anchors = _anchors()
    names = iter(anchors)
    for opening, inline in pairwise(tokens):
        if opening.type == "paragraph_open" and _STATEMENT.match(inline.content):
            opening.attrSet("id", next(names)[0])
    body = parser.renderer.render(tokens, parser.options, {}).replace(_INDEX, "_")
    return body, anchors
