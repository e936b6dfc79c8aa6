"""The look of figures and page: one colour, marker and line for each method, and how numbers and formulas are written.

Colours are Okabe and Ito's, told apart under every common colour vision deficiency, with two of Tol's where eight do
not suffice; marker and line style repeat the information for print in grey. Text in figures is at least 8 points at
the width they are saved at. SVG bytes depend on the data alone: no date, ids salted with a constant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes

__all__ = ["LOOKS", "WIDTH", "Look", "drafts", "formula", "house_style", "log_ticks", "look", "number", "power_of_ten"]

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
    return f"{mantissa} × 10{str(whole).translate(_SUPERSCRIPT)}"


def number(value: Any, digits: int = 3) -> str:
    """A number as text with `digits` significant digits; integers in full, None as a dash, strings unchanged."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u2009").replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 1e5:
        decimals = max(0, digits - 1 - math.floor(math.log10(size)))
        text = f"{size:,.{decimals}f}".replace(",", "\u2009")
    else:
        text = power_of_ten(math.log10(size), digits)
    return ("−" if value < 0 else "") + text


def drafts(log10_n: float | None) -> str:
    """A number of drafts given by its log10: in full below 100 000, else as a power of ten."""
    if log10_n is None:
        return "–"
    return number(math.ceil(10.0**log10_n - 1e-6)) if log10_n < 5 else power_of_ten(log10_n)


# Formulas: the LaTeX of the claims as MathML, which browsers set without fonts, scripts or network.
_SYMBOLS = {
    "pi": "π", "mu": "μ", "beta": "β", "chi": "χ", "varepsilon": "ε", "epsilon": "ε", "delta": "δ", "omega": "ω",
    "lambda": "λ", "infty": "∞", "alpha": "α", "rho": "ρ", "sigma": "σ", "gamma": "γ", "ell": "ℓ",
}  # fmt: skip
_OPERATORS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "Rightarrow": "⇒", "to": "→", "cdot": "·", "times": "×", "sum": "∑",
    "in": "∈", "ne": "≠", "approx": "≈", "|": "‖", "{": "{", "}": "}", "mid": "∣", "equiv": "≡",
    "forall": "∀",
}  # fmt: skip
_SPACES = {",": "0.17em", " ": "0.5em", ";": "0.28em", "quad": "1em"}
_UNDER = frozenset({"lim", "max", "min", "inf", "sup"})
_NAMES = frozenset({"log", "exp", "sinh", "Pr"})
_UPRIGHT = re.compile(r"TV|KL|CV|Cov|Var|osc|race|softmax|max|BoN")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[0-9]+(?:\.[0-9]+)?|TV|KL|CV|Cov|Var|osc|race|softmax|max|BoN|\S|\s+")
_FENCES = frozenset("()[]{}|‖")


class _Latex:
    """A reader of the LaTeX subset that claims use; `fault` is set when something outside it is met."""

    def __init__(self, source: str) -> None:
        self.tokens = _TOKEN.findall(source)
        self.at = 0
        self.fault = False

    def _next(self, spaces: bool = False) -> str | None:
        while self.at < len(self.tokens):
            token: str = self.tokens[self.at]
            self.at += 1
            if spaces or not token.isspace():
                return token
        return None

    def row(self, closing: str | None) -> str:
        """Items up to `closing`, with their sub- and superscripts attached."""
        made: list[str] = []
        while (token := self._next()) != closing:
            if token is None or token in ("}", "_", "^"):
                self.fault = True
                break
            made.append(self._scripted(token))
        return f"<mrow>{''.join(made)}</mrow>"

    def _scripted(self, token: str) -> str:
        body, scripts = self._atom(token), {}
        while self.at < len(self.tokens) and (mark := self.tokens[self.at]) in "_^" and mark not in scripts:
            self.at += 1
            scripts[mark] = self._argument()
        low, high = scripts.get("_"), scripts.get("^")
        kind = "under" if token[1:] in _UNDER and token[0] == "\\" else "sub"
        if low is not None and high is not None:
            tag = "munderover" if kind == "under" else "msubsup"
            return f"<{tag}>{body}{low}{high}</{tag}>"
        if low is not None:
            return f"<m{kind}>{body}{low}</m{kind}>"
        return body if high is None else f"<msup>{body}{high}</msup>"

    def _argument(self) -> str:
        token = self._next()
        if token is None:
            self.fault = True
            return "<mrow></mrow>"
        if token[0].isdigit() and len(token) > 1:
            # \tfrac12 means the digits 1 and 2: an argument without braces is one character
            self.at -= 1
            self.tokens[self.at] = token[1:]
            token = token[0]
        return self._atom(token)

    def _text(self) -> str:
        if self._next() != "{":
            self.fault = True
            return ""
        words = ""
        while (token := self._next(spaces=True)) not in ("}", None):
            words += token or ""
        return f"<mtext>{escape(words).replace(' ', chr(0xA0))}</mtext>"

    def _atom(self, token: str) -> str:
        if token == "{":
            return self.row("}")
        if not token.startswith("\\"):
            return _plain_atom(token)
        name = token[1:]
        if name in ("frac", "tfrac"):
            parts = self._argument() + self._argument()
            return f"<mstyle displaystyle='{str(name == 'frac').lower()}'><mfrac>{parts}</mfrac></mstyle>"
        if name == "text":
            return self._text()
        if name in _SPACES:
            return f"<mspace width='{_SPACES[name]}'></mspace>"
        if name in _SYMBOLS:
            return f"<mi>{_SYMBOLS[name]}</mi>"
        if name in _UNDER or name in _NAMES:
            space = " lspace='0.1em' rspace='0.17em'"
            return f"<mo movablelimits='false'{space}>{name}</mo>"
        if name in _OPERATORS:
            return _plain_atom(_OPERATORS[name])
        self.fault = True
        return ""


def _plain_atom(token: str) -> str:
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if _UPRIGHT.fullmatch(token):
        return f"<mi mathvariant='normal'>{token}</mi>"
    if token.isalpha():
        return f"<mi>{token}</mi>"
    if token in _FENCES:
        # TeX does not stretch plain fences, and a bar between arguments is a separator of fixed height
        spacing = " lspace='0.12em' rspace='0.12em'" if token in "|‖" else ""
        return f"<mo stretchy='false'{spacing}>{token}</mo>"
    return f"<mo>{escape({'-': '−'}.get(token, token))}</mo>"


def formula(latex: str) -> str:
    """LaTeX as MathML; what lies outside the subset is shown as its own source rather than wrongly set."""
    parts = latex.split(r"\Rightarrow")
    # a line can break between two formulas but not within one, so an implication is set as its parts
    sources = [parts[0], *(r"\Rightarrow" + part for part in parts[1:])]
    made = []
    for source in sources:
        reader = _Latex(source)
        made.append(f'<math displaystyle="true">{reader.row(None)}</math>')
        if reader.fault:
            return f"<code>{escape(latex)}</code>"
    return " ".join(made)
