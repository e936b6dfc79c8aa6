"""Statements of claims, LaTeX as in THEORY.md, as text that a terminal shows: \\tfrac12 as ½, \\chi^2 as χ²."""

from __future__ import annotations

import re

__all__ = ["plain_text"]

# LaTeX and what it shows, in pairs
_LETTERS = r"""
\pi π  \mu μ  \beta β  \chi χ  \varepsilon ε  \delta δ  \Delta Δ  \alpha α  \rho ρ  \omega ω  \infty ∞
\cdot ·  \prod ∏  \sum Σ  \| ‖  \lceil ⌈  \rceil ⌉  \{ {  \} }
"""
_SPACED = {r"\ge": " ≥ ", r"\le": " ≤ ", r"\Rightarrow": " ⇒ ", r"\,": " ", r"\ ": " "}
_SYMBOLS = dict(re.findall(r"(\S+) (\S+)", _LETTERS)) | _SPACED
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_GROUP = r"(?:\{((?:[^{}]|\{[^{}]*\})*)\}|([0-9A-Za-z]))"
_FRACTION = re.compile(r"\\t?frac" + _GROUP + _GROUP)
_ROOT = re.compile(r"\\sqrt" + _GROUP)
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_HAT = re.compile(r"\\hat ?([a-z])")
_SCRIPT = re.compile(r"([_^])(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\\[A-Za-z]+|[^{}\\]))(?=([A-Za-z0-9\\])?)")
_WORD = re.compile(r"([\w)\]½]?) ?\\(lim|log|min|max|sup|inf|sinh)(?![A-Za-z]) ?(?=([A-Za-z0-9\\])?)")
_SYMBOL = re.compile("|".join(re.escape(name) + ("(?![A-Za-z])" if name[-1].isalpha() else "") for name in _SYMBOLS))
# A numerator or denominator that needs no brackets: one factor.
_FACTOR = re.compile(r"\\?\w+|\(?[\w+-]*\)?_\+|E_\\pi r(?!.)|\\?\w*\([^()]*\)")


def plain_text(latex: str) -> str:
    """`latex` in Unicode: Greek letters and relations as symbols, a/b for fractions, √(a) for roots, digits above the
    line as superscripts, other scripts after _ and ^."""
    text = latex
    while found := _ROOT.search(text):
        text = f"{text[: found.start()]}√({found[1] or found[2]}){text[found.end() :]}"
    while found := _FRACTION.search(text):
        text = text[: found.start()] + _fraction(found) + text[found.end() :]
    text = _HAT.sub("\\1\u0302", _TEXT.sub(r"\1", text))
    text = _SCRIPT.sub(_script, text)
    text = _WORD.sub(lambda word: f"{word[1]}{' ' * bool(word[1])}{word[2]}{' ' * bool(word[3])}", text)
    text = _SYMBOL.sub(lambda symbol: _SYMBOLS[symbol.group()], text)
    text = re.sub(r"(?<![_^<>≥≤])\s*(=|⇒|>)\s*", r" \1 ", text)
    text = re.sub(r" {2,}", " ", text)
    return re.sub(r" (?=[)\],‖}])|(?<=[(\[‖⌈]) |(?<=·) (?=\d)", "", text).strip()


def _fraction(found: re.Match[str]) -> str:
    """a/b, in brackets where a letter, an operator, or another factor stands beside it."""
    above, below = found[1] or found[2], found[3] or found[4]
    if (above, below) == ("1", "2"):
        return "½ "
    text = "/".join(part if _FACTOR.fullmatch(part) else f"({part})" for part in (above, below))
    before, after = found.string[: found.start()], found.string[found.end() :]
    return f"[{text}]" if before[-1:].isalnum() or (before and after[:1] in ("(", "\\")) else text


def _script(found: re.Match[str]) -> str:
    """A subscript or superscript: digits above the line, one letter or word bare, all else in brackets."""
    mark, inner, gap = found[1], found[2] or found[3], " " if found[4] else ""
    if mark == "^" and inner.isdigit():
        return inner.translate(_SUPERSCRIPTS) + gap
    if inner in (r"\min", r"\max"):
        return mark + inner[1:] + gap
    inner = _SCRIPT.sub(_script, inner)
    if len(inner) == 1 or re.fullmatch(r"\\?[A-Za-z]+", inner):
        return mark + inner + gap
    return (f"_{{{inner}}}" if mark == "_" else f"^({inner})") + gap
