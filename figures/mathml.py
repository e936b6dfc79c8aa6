"""Formulas on the page: the subset of LaTeX that claims are written in, as MathML.

LaTeX outside the subset is shown as code, never dropped.
"""

from __future__ import annotations

import re
from html import escape

__all__ = ["formula"]

# Formulas: the LaTeX of the claims as MathML, which browsers set without fonts, scripts or network.
_SYMBOLS = {
    "pi": "π", "mu": "μ", "beta": "β", "chi": "χ", "varepsilon": "ε", "epsilon": "ε", "delta": "δ", "omega": "ω",
    "lambda": "λ", "infty": "∞", "alpha": "α", "rho": "ρ", "sigma": "σ", "gamma": "γ", "ell": "ℓ",
}  # fmt: skip
_OPERATORS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "Rightarrow": "⇒", "to": "→", "cdot": "·", "times": "×", "sum": "∑",
    "in": "∈", "ne": "≠", "approx": "≈", "|": "‖", "{": "{", "}": "}", "mid": "∣", "equiv": "≡",
    "forall": "∀", "Delta": "Δ", "lceil": "⌈", "rceil": "⌉", "prod": "∏",
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
        if name == "sqrt":
            return f"<msqrt>{self._argument()}</msqrt>"
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
