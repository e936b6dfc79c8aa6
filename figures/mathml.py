"""Formulas on the page: LaTeX as MathML, which browsers set without fonts, scripts or network.

A browser breaks no line within a formula, so a formula is set as several: a new one begins at each relation and
sum outside round brackets. LaTeX that cannot be read is shown as its source, never dropped.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html import escape

from latex2mathml.converter import convert

__all__ = ["formula"]

# Words that stand for one thing each; any other run of letters is a product.
_WORDS = (
    "BoPoisson|Poisson|softmax|reject|accept|score|rules|race|fail|tilt|step|RSD|alg|Cov|mix|osc|seq|Var|max|CV|KL|TV"
)
_WORD = re.compile(rf"(\\text\{{[^}}]*\}}|\\[A-Za-z]+)|({_WORDS})(?![a-z])")
_FUNCTIONS = frozenset({"log", "exp", "sinh"})
_LIMITS = frozenset({"lim", "max", "min", "inf", "sup"})
_RELATIONS, _SUMS = frozenset("=≤≥<>⇒"), frozenset("+−")
# Square brackets only group the terms of a sum.
_OPENING, _CLOSING = frozenset("({⌈"), frozenset(")}⌉")


def _row(latex: str) -> ElementTree.Element:
    """The formula's row of items, limits under their operators. Raises ValueError on LaTeX that is not understood."""
    bare = re.sub(r"\\.", "", latex)
    upright = _WORD.sub(lambda match: match[1] or rf"\mathrm{{{match[2]}}}", latex)
    text = convert(upright, display="block")
    row = ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", text))[0]
    if "\\" in text or bare.count("{") != bare.count("}") or any(len(part) != 2 for part in row.iter("mfrac")):
        raise ValueError(f"{latex!r} is not understood")
    for item in row.iter():
        if item.text in _FUNCTIONS | _LIMITS:
            item.tag = "mo"
            item.attrib |= {"lspace": "0.1em", "rspace": "0.17em"}
        elif item.tag == "msub" and item[0].text in _LIMITS:
            item.tag = "munder"
    return row


def _pieces(row: ElementTree.Element) -> list[list[ElementTree.Element]]:
    """The items of the row, parted where a line may end."""
    pieces: list[list[ElementTree.Element]] = [[]]
    depth = 0
    for item in row:
        sign = item.text or "" if item.tag == "mo" else ""
        depth += (sign in _OPENING) - (sign in _CLOSING)
        size = len(pieces[-1])
        if depth == 0 and ((size and sign in _RELATIONS) or (size > 1 and sign in _SUMS)):
            item.set("form", "infix")  # first of its piece it would be set as a sign
            pieces.append([])
        pieces[-1].append(item)
    return pieces


def formula(latex: str, *, display: bool = True, strict: bool = False) -> str:
    """LaTeX as MathML, in pieces between which a line may end; `display`: with large sums and fractions.

    What cannot be read is shown as its own source; with `strict` it raises ValueError.
    """
    try:
        pieces = _pieces(_row(latex))
    except Exception as error:  # the library's errors have no common class, and no statement may vanish for one of them
        if strict:
            raise ValueError(f"LaTeX {latex!r} is not understood") from error
        return f"<code>{escape(latex)}</code>"
    style = ' displaystyle="true"' if display else ""
    texts = ("".join(ElementTree.tostring(item, encoding="unicode") for item in piece) for piece in pieces)
    return "<wbr>".join(f"<math{style}><mrow>{text}</mrow></math>" for text in texts)
