"""The look of figures and page: one color, marker and line for each method, and how numbers are written.

Colors are Okabe and Ito's, told apart under every common color vision deficiency, with two of Tol's where eight do
not suffice; marker and line style repeat the information for print in gray. Text in figures is at least 8 points at
the width they are saved at. SVG bytes depend on the data alone: no date, ids salted with a constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes

__all__ = [
    "LOOKS",
    "WIDTH",
    "Look",
    "drafts",
    "house_style",
    "log_ticks",
    "look",
    "number",
    "power_of_ten",
    "superscript",
]

WIDTH = 7.0  # inches: the text width of a printed page

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "gsi-theory",
    "mathtext.fontset": "dejavusans",
}


@dataclass(frozen=True)
class Look:
    """How one method or rule is drawn wherever it appears."""

    label: str
    color: str
    marker: str
    line: Any


LOOKS: dict[str, Look] = {
    "draft": Look("draft alone", "#7f7f7f", "v", ":"),
    "base": Look("base alone", "#000000", "s", ":"),
    "soft_bon_draft": Look("soft best-of-n, draft", "#56b4e9", "<", (0, (5, 1.5))),
    "soft_bon_base": Look("soft best-of-n, base", "#009e73", "D", (0, (5, 1.5))),
    "best_of_n_draft": Look("best-of-n, draft", "#cc79a7", "P", (0, (3, 1, 1, 1))),
    "gsi": Look("GSI", "#0072b2", "o", "-"),
    "gsi_race": Look("GSI, race rule", "#d55e00", "^", "-"),
    "gsi_ungated": Look("GSI without gate", "#882255", ">", "--"),
    "gsi_score_gate": Look("GSI, score gate", "#e69f00", "X", "-."),
    "rsd": Look("RSD, step", "#999933", "p", (0, (1, 1))),
    "specs": Look("switching base/draft", "#aa4499", "d", (0, (3, 1, 1, 1))),
    "tilted": Look("tilted policy π", "#000000", "*", (0, (1, 1))),
}
LOOKS["gsi_race_score"] = LOOKS["gsi_score_gate"]
_RULES = {"softmax": ("gsi", "softmax"), "race": ("gsi_race", "race"), "max": ("best_of_n_draft", "max")}
LOOKS |= {
    rule: Look(label, LOOKS[method].color, LOOKS[method].marker, LOOKS[method].line)
    for rule, (method, label) in _RULES.items()
}


def look(key: str) -> Look:
    """The look of a method or rule; one not in the table is drawn in brown under its own name."""
    return LOOKS.get(key, Look(key.replace("_", " "), "#8c564b", "h", (0, (4, 1, 1, 1, 1, 1))))


@contextmanager
def house_style() -> Iterator[None]:
    """matplotlib's settings for every figure of the project, restored on leaving."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams
        settings.update(_RC)
        yield


def log_ticks(axes: Axes, values: list[int]) -> None:
    """A log axis of n: its ticks are the values drawn where they are few and small, else powers of ten."""
    axes.set_xscale("log")
    if len(values) > 8 or max(values) > 10_000:
        top = math.floor(math.log10(max(values)))
        powers = range(0, top + 1, 1 + top // 4)
        axes.set_xticks([10**k for k in powers], [f"$10^{{{k}}}$" if k > 1 else f"{10**k}" for k in powers])
    else:
        axes.set_xticks(values, [f"{v}" for v in values])
    axes.set_xticks([], minor=True)


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def superscript(exponent: int) -> str:
    """The exponent as raised digits."""
    return str(exponent).translate(_SUPERSCRIPT)


def power_of_ten(exponent: float, digits: int = 2) -> str:
    """10^exponent as text, "3.1 × 10¹⁷", whatever the exponent; plain below 100 000."""
    if math.isinf(exponent):
        return "∞" if exponent > 0 else "0"
    if -3 <= exponent < 5:
        return number(10.0**exponent, digits)
    whole = math.floor(exponent)
    mantissa = f"{10.0 ** (exponent - whole):.{digits - 1}f}"
    if float(mantissa) >= 10.0:
        mantissa, whole = f"{1.0:.{digits - 1}f}", whole + 1
    return f"{mantissa} × 10{superscript(whole)}"


def number(value: Any, digits: int = 3) -> str:
    """A number as text with `digits` significant digits; integers in full, None as a dash, strings unchanged."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f").replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 1e5:
        decimals = max(0, digits - 1 - math.floor(math.log10(size)))
        text = f"{size:,.{decimals}f}".replace(",", "\u202f")
    else:
        text = power_of_ten(math.log10(size), digits)
    return ("−" if value < 0 else "") + text


def drafts(log10_n: float | None) -> str:
    """A number of drafts given by its log10: in full below 100 000, else as a power of ten."""
    if log10_n is None:
        return "–"
    return number(math.ceil(10.0**log10_n - 1e-6)) if log10_n < 5 else power_of_ten(log10_n)
