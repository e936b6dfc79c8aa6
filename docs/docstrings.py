"""Docstrings of this project as reStructuredText: they are plain text with `names`, *stress*, and indented blocks.

A formula's number becomes a link to its statement.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_NAME = re.compile(r"``?([^`]+)``?")
_STRESS = re.compile(r"\*\*\S(?:[^*]*\S)?\*\*|(?<!\w)\*\w(?:[^*]*\w)?\*(?!\w)")
_MARKS = re.compile(r"[\\*_|`]")
_NUMBER = re.compile(r"\bM(\d+b?)\b(?![-.]\w)")


def _plain(text: str) -> str:
    """Text outside names: no mark of reStructuredText but stress, formulas as links."""
    parts, end = [], 0
    for stress in _STRESS.finditer(text):
        parts += [_MARKS.sub(r"\\\g<0>", text[end : stress.start()]), stress[0]]
        end = stress.end()
    return _NUMBER.sub(r":ref:`M\1 <m\1>`", "".join([*parts, _MARKS.sub(r"\\\g<0>", text[end:])]))


def _line(text: str) -> str:
    parts, end = [], 0
    for name in _NAME.finditer(text):
        parts += [_plain(text[end : name.start()]), f"``{name[1]}``"]
        end = name.end()
    return "".join([*parts, _plain(text[end:])])


def as_rst(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText: paragraphs, `- ` lists, indented blocks as they stand."""
    out: list[str] = []
    for paragraph in re.split(r"\n[ \t]*\n", "\n".join(lines).strip("\n")):
        block = paragraph.split("\n")
        if all(line.startswith((" ", "\t")) for line in block):
            out += ["::", "", *("    " + line for line in block), ""]
            continue
        # an indented tail of a paragraph is a block of its own
        head = next((i for i, line in enumerate(block) if line.startswith(" ") and i and block[0][:2] != "- "), None)
        text, tail = block[:head], block[head:] if head else []
        joined = _line("\n".join(text)).split("\n")
        if not text[0].startswith("- "):
            joined = [
                "\\" + line if re.match(r"(?:[-+•–] |\w+[.)] |\(\w+\) |[=~#]{2,}|\.\. )", line) else line
                for line in joined
            ]
        out += [*joined, ""]
        if tail:
            out += ["::", "", *("    " + line for line in tail), ""]
    return out


def _process(app: Sphinx, what: str, name: str, subject: object, options: object, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads this file."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
