"""Words and numbers for a terminal: prose wrapped at its width (80 columns in a pipe), numbers never torn."""

from __future__ import annotations

import re
import shutil
import textwrap

from rich.console import Console

__all__ = ["columns", "console", "counted", "formatted", "kept_together", "number", "wrapped"]

_NO_BREAK = "\u00a0"
_NARROWEST = 40
_NARROWEST_TABLE = 60
# A number and what it counts ("95 %", "64 drafts"); an operator and both its sides ("n = 4", "0.02 ± 0.01"); a symbol
# of one or two letters and its number ("β 20", "χ² 3.1", "D₂ 0.4").
_GLUED = re.compile(
    r"(?<=[\d∞]) (?=[A-Za-zα-ωΑ-Ω%])"
    r"| (?=[=≤≥<>±×≈≠∈·] )|(?<= [=≤≥<>±×≈≠∈·]) "
    r"|(?<=\d) (?=[-–−+] \d)|(?<=\d [-–−+]) (?=\d)"
    r"|(?<![^\s(\[])(?:[A-Za-zα-ωΑ-Ω][²₂²]?|k̂) (?=[-−+]?[\d∞])"
)


def columns() -> int:
    """The terminal's width: $COLUMNS, else what the terminal says, else 80; never below 40."""
    return max(_NARROWEST, shutil.get_terminal_size((80, 24)).columns)


def console() -> Console:
    """What prints tables, at least 60 columns wide: in fewer their numbers are torn, in 0 nothing is printed."""
    return Console(width=max(_NARROWEST_TABLE, columns()))


def formatted(value: float | str | None, form: str = ".3g") -> str:
    """`value` in the format `form`: ∞ and -∞ ("inf" and "-inf" too), "–" for None and NaN, 0 without a sign."""
    if value is None or (found := float(value)) != found:
        return "–"
    if abs(found) == float("inf"):
        return "∞" if found > 0 else "-∞"
    text = format(found, form)
    return text.removeprefix("-") if float(text.rstrip("%")) == 0.0 else text


def number(value: float) -> str:
    """A value of a table: four decimals, or three digits where these would show none of it or too many; inf in
    words."""
    if value == float("inf"):
        return "unknown"
    return formatted(value, ".4f" if value == 0 or 5e-5 <= abs(value) < 1e5 else ".2e")


def counted(count: int, noun: str) -> str:
    """`count` and `noun`, with the plural's s where there are several or none: 1 prompt, 2,000 prompts."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def kept_together(text: str) -> str:
    """`text` with no-break spaces where a line must not end: inside an equation, between a number and its unit."""
    return _GLUED.sub(lambda found: found.group().replace(" ", _NO_BREAK), text)


def wrapped(text: str, first: str = "", rest: str | None = None, width: int | None = None) -> str:
    """`text` in lines of at most `width` columns (default: the terminal's), with plain blanks.

    The first line begins with `first`, the others with `rest` (default: blanks as wide as `first`). What is kept
    together and wider than a line breaks at its blanks; only what has none, such as a path, is longer.
    """
    rest = " " * len(first) if rest is None else rest
    width = width or columns()
    room = width - max(len(first), len(rest))
    chunks = kept_together(text).split(" ")
    kept = " ".join(c if len(c) <= room else c.replace(_NO_BREAK, " ") for c in chunks)
    fill = textwrap.TextWrapper(width, first, rest, break_long_words=False, break_on_hyphens=False)
    lines = fill.wrap(kept)
    return "\n".join(lines or [first.rstrip()]).replace(_NO_BREAK, " ")
