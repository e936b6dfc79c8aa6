"""The theory as text: chapters in the order of THEORY.md, and the statements that they make.

A statement opens a paragraph with its number in bold, and its title if it has one; what sharpens it, or reads it
differently, has a word after the number.
"""

from __future__ import annotations

import re
from importlib import resources

__all__ = ["CHAPTERS", "FORMULA", "NUMBER", "STATEMENT"]

_ROOT = resources.files("gsi_theory")
# name -> text
CHAPTERS = {
    name: _ROOT.joinpath("theory", f"{name}.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\(theory/(\w+)\.md\)", _ROOT.joinpath("THEORY.md").read_text(encoding="utf-8"))
}
# a number, as docstrings cite it
NUMBER = r"M\d+b?"
# its number, what kind of sharpening or reading it is if any, its title
STATEMENT = re.compile(rf"^\*\*\(({NUMBER})(?:–{NUMBER})?(?:, ([a-z]+))?\)[ .]*((?:[^*\\]|\\.)*)\*\*", re.MULTILINE)
# LaTeX, displayed or within a line
FORMULA = re.compile(r"\$\$\s*(.*?)\s*\$\$|\$([^$]+)\$", re.DOTALL)
