"""The look of figures and page: one color, marker and line for each method, and how numbers are written.

Labels and looks of methods are those of gsi_theory.methods: a new entry is drawn without a line here.

Colors are Okabe and Ito's, told apart under every common color vision deficiency, with two of Tol's where eight do
not suffice; marker and line style repeat the information for print in gray. Text in figures is at least 8 points at
the width they are saved at. SVG bytes depend on the data alone: no date, ids salted with a constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from gsi_theory.errors import Named
from gsi_theory.methods import ALIASES, METHODS, Method

__all__ = [
    "LOOKS",
    "WIDTH",
    "Look",
    "drafts",
    "house_style",
    "log_ticks",
    "look",
    "looks_of",
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


Line = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How one method or rule is drawn wherever it appears."""

    label: str
    color: str
    marker: str
    line: Line


# How gsi_theory.methods writes lines
_LINES: dict[str, Line] = {
    "-": "-",
    "--": "--",
    ":": ":",
    "-.": "-.",
    "=": (0, (5, 1.5)),
    "-:": (0, (3, 1, 1, 1)),
    "..": (0, (1, 1)),
}
# For methods that ask for no look of their own; no such marker is used by the others.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#882255", "#56b4e9", "#8c564b")
_MARKERS = ("h", "8", "H", "1", "2", "3", "4", "+", "x", "|", "_")


def looks_of(methods: Iterable[Method]) -> dict[str, Look]:
    """The look of each method: its own, or the next free one."""
    free = ((color, marker, "--") for marker, color in product(_MARKERS, _COLORS))
    looks = {}
    for method in methods:
        color, marker, line = method.look.split() if method.look else next(free)
        looks[method.id] = Look(method.label, color, marker, _LINES[line])
    return looks


LOOKS: dict[str, Look] = Named("look", looks_of(METHODS.values()))
LOOKS["tilted"] = Look("tilted policy π", "#000000", "*", (0, (1, 1)))
LOOKS |= {old: LOOKS[new] for old, new in ALIASES.items()}
_RULES = {"softmax": "gsi", "race": "gsi_race", "max": "best_of_n_draft"}
LOOKS |= {rule: replace(LOOKS[method], label=rule) for rule, method in _RULES.items()}


def look(key: str) -> Look:
    """The look of a method, a rule or the tilted policy; UnknownName with the nearest names for others."""
    return LOOKS[key]


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
