"""The methods of gsi_theory.methods that decoding on language models plays; `method_step` plays one step of any.

A user's own record is named FILE.py:NAME. What no decoder can play is refused by name, with the reason.
"""

from __future__ import annotations

from functools import cache

from gsi_theory import methods
from gsi_theory.errors import InputError, nearest
from gsi_theory.methods import ALIASES, Method
from gsi_theory.runs.user_file import load_member, names_file

__all__ = ["METHODS", "REFUSED", "Method", "named_method", "policies_used"]

# gate -> why no decoder plays it
REFUSED = {
    "budget": "its acceptance comes from the exact law of rewards under the draft, which no language model gives"
}

METHODS: dict[str, Method] = {key: method for key, method in methods.METHODS.items() if method.gate not in REFUSED}

_load = cache(load_member)


def named_method(name: str) -> Method:
    """The method called `name`, by an old key, or FILE.py:NAME. InputError with those there are, or why not."""
    known = ALIASES.get(name, name)
    if names_file(name):
        method = _load(name, Method)
    elif known in methods.METHODS:
        method = methods.METHODS[known]
    else:
        raise InputError(f"method {name!r}{nearest(name, METHODS)}: use one of {', '.join(METHODS)}")
    if method.gate in REFUSED:
        raise InputError(f"method {name!r} cannot be decoded: {REFUSED[method.gate]}; use one of {', '.join(METHODS)}")
    return method


def policies_used(method: Method, drafters: int = 0) -> tuple[str, ...]:
    """Names of the policies whose prefixes a step may need: "draft", "base", "drafter1", ... (`drafters` further)."""
    if method.switch is not None:
        return ("draft", "base")
    names: tuple[str, ...] = ("base",) if method.proposal == "base" else ("draft",)
    if method.proposal.startswith("drafters"):
        names += tuple(f"drafter{j}" for j in range(1, drafters + 1))
    return (*names, "base") if methods.WEIGHTS[method.weight].ratio or method.gate is not None else names
