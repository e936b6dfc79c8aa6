"""The theory as a page of the report: each statement under its number, so that every page can link to it."""

from __future__ import annotations

import re
from itertools import pairwise

from markdown_it import MarkdownIt

from figures.mathml import formula
from gsi_theory.runs.theory_chapters import CHAPTERS, FORMULA, STATEMENT

__all__ = ["STATED", "theory_body"]

# headings one level lower: the chapters stand on one page
SOURCE = "# Theory\n\n" + "\n".join(re.sub(r"^#", "##", text, flags=re.MULTILINE) for text in CHAPTERS.values())
STATED = frozenset(match[1] for match in STATEMENT.finditer(SOURCE))
# A formula's place while Markdown is read: characters that mean nothing there.
_PLACE = re.compile("\ue000(\\d+)\ue001")


def _anchors() -> list[tuple[str, str, str]]:
    """(anchor, number in words, title) of every statement in the order of the text."""
    return [
        (f"{number}-{kind}" if kind else number, f"{number}, {kind}" if kind else number, _title(title))
        for number, kind, title in (match.groups() for match in STATEMENT.finditer(SOURCE))
    ]


def _title(text: str) -> str:
    return re.sub(r"\$([^$]*)\$", r"\1", text).replace(r"\*", "*").strip(" .")


def theory_body() -> tuple[str, list[tuple[str, str, str]]]:
    """The markup of the theory and the anchors in it, (anchor, number in words, title)."""
    formulas: list[str] = []

    def place(match: re.Match[str]) -> str:
        formulas.append(formula(match[1] or match[2], display=bool(match[1])))
        return f"\ue000{len(formulas) - 1}\ue001"

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(FORMULA.sub(place, SOURCE))
    anchors = _anchors()
    names = iter(anchors)
    for opening, inline in pairwise(tokens):
        if opening.type == "paragraph_open" and STATEMENT.match(inline.content):
            opening.attrSet("id", next(names)[0])
    body = parser.renderer.render(tokens, parser.options, {})
    return _PLACE.sub(lambda match: formulas[int(match[1])], body), anchors
