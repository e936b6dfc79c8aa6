"""The methods of gsi_theory.methods that decoding on language models plays; `method_step` plays one step of any.

A user's own record is named FILE.py:NAME. What no decoder can play is refused by name, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from gsi_theory import methods
from gsi_theory.errors import InputError, nearest
from gsi_theory.methods import ALIASES, Method
from gsi_theory.runs.user_file import load_member, names_file

__all__ = ["METHODS", "REFUSED", "SETS", "Method", "methods_of", "named_method", "policies_used"]

# gate -> why no decoder plays it
REFUSED = {
    "budget": "its acceptance comes from the exact law of rewards under the draft, which no language model gives"
}

METHODS: dict[str, Method] = {key: method for key, method in methods.METHODS.items() if method.gate not in REFUSED}

# Several methods by one name. paper: what arXiv 2506.04118 compares; its RSD selects one of n drafts before the gate,
# ours (M21) judges one draft, as arXiv 2501.19324 has it.
SETS = {"paper": ("gsi", "rsd", "soft_bon_draft", "soft_bon_base", "draft", "base")}

_load = cache(load_member)


def methods_of(names: Iterable[str]) -> list[str]:
    """`names` with those of `SETS` replaced by their methods, each method once where a set brings it in again."""
    named: list[str] = []
    for name in names:
        named += [member for member in SETS[name] if member not in named] if name in SETS else [name]
    return named


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
