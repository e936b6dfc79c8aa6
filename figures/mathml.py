"""Formulas on the page: LaTeX as MathML, which browsers set without fonts, scripts or network.

A browser breaks no line within a formula, so a formula is set as several: a new one begins at each relation and
sum outside round brackets, and in long ones at Σ, Π, ∫ too. LaTeX that cannot be read is shown as its source, never
dropped.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html import escape

from latex2mathml.converter import convert

__all__ = ["formula", "upright"]

# Words that stand for one thing each; any other run of letters is a product.
_WORDS = (
    "BoPoisson|Poisson|softmax|reject|accept|score|rules|race|fail|tilt|step|RSD|alg|Cov|mix|osc|seq|Var|max|CV|KL|TV"
)
_WORD = re.compile(rf"(\\text\{{[^}}]*\}}|\\[A-Za-z]+)|({_WORDS})(?![a-z])")
_FUNCTIONS = frozenset({"log", "exp", "sinh"})
_LIMITS = frozenset({"lim", "max", "min", "inf", "sup"})
_SCRIPTED = frozenset({"msub", "msup", "msubsup", "munder", "mover", "munderover"})
_LARGE, LONG = frozenset("∑∏∫"), 4  # before one of them a line may end after more items than that
_RELATIONS, _SUMS = frozenset("=≤≥<>⇒"), frozenset("+−")
_LETTERS = frozenset({"mi", "msub", "msup", "msubsup", "mover"})
# Square brackets only group the terms of a sum.
_OPENING, _CLOSING = frozenset("({⌈"), frozenset(")}⌉")


def upright(latex: str) -> str:
    """LaTeX in which KL, TV, osc and the like, written bare, are words."""
    return _WORD.sub(lambda match: match[1] or rf"\mathrm{{{match[2]}}}", latex)


def _row(latex: str) -> ElementTree.Element:
    """The formula's row of items, limits under their operators. Raises ValueError on LaTeX that is not understood."""
    bare = re.sub(r"\\.", "", latex)
    text = convert(upright(latex), display="block")
    row = ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", text))[0]
    if "\\" in text or bare.count("{") != bare.count("}") or any(len(part) != 2 for part in row.iter("mfrac")):
        raise ValueError(f"{latex!r} is not understood")
    for item in row.iter():
        _set_words(item)
        if item.text == "~":
            item.tag, item.text = "mo", "∼"
        elif item.text in _FUNCTIONS | _LIMITS:
            item.tag = "mo"
            item.attrib |= {"lspace": "0.1em", "rspace": "0.17em"}
        elif item.tag == "msub" and item[0].text in _LIMITS:
            item.tag = "munder"
    return row


def _set_words(row: ElementTree.Element) -> None:
    """Words of several letters as one identifier each, which browsers set upright, apart from letters beside them."""
    for word in row:
        if word.tag == "mrow" and len(word) > 1 and all(letter.get("mathvariant") == "normal" for letter in word):
            word.text, word.tag = "".join(word.itertext()), "mi"
            del word[:]
    for place in range(len(row) - 1, 0, -1):
        pair = row[place - 1], row[place]
        if any(_is_word(item) for item in pair) and all(item.tag in _LETTERS for item in pair) and row.tag == "mrow":
            row.insert(place, ElementTree.Element("mspace", {"width": "0.17em"}))


def _is_word(item: ElementTree.Element) -> bool:
    base = item[0] if item.tag in ("msub", "msup", "msubsup") and len(item) else item
    return base.tag in ("mi", "mrow") and len("".join(base.itertext())) > 1


def _pieces(row: ElementTree.Element) -> list[list[ElementTree.Element]]:
    """The items of the row, parted where a line may end."""
    pieces: list[list[ElementTree.Element]] = [[]]
    depth = 0
    for item in row:
        base = item[0] if item.tag in _SCRIPTED and len(item) else item  # the bracket of (w − 1)₊, the sum of Σ_y
        sign = base.text or "" if base.tag == "mo" else ""
        depth += (sign in _OPENING) - (sign in _CLOSING)
        size = len(pieces[-1])
        if depth == 0 and ((size and sign in _RELATIONS) or (size > 1 and sign in _SUMS)):
            item.set("form", "infix")  # first of its piece it would be set as a sign
            pieces.append([])
        elif depth == 0 and ((sign in _LARGE and size > LONG) or (sign == "/" and size > 2 * LONG)):
            pieces.append([])
        elif depth == 1 and size > 2 * LONG and (sign in _SUMS or pieces[-1][-1].text == ","):
            item.attrib |= {"form": "infix"} if sign else {}
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
