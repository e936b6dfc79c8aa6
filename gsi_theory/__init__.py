"""Exact laws of draft-guided sampling on finite sets; formulas are numbered in THEORY.md.

Each name is imported when it is first asked for, so that a command starts before NumPy is there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gsi_theory import moved

if TYPE_CHECKING:
    from gsi_theory import divergence, limits
    from gsi_theory.errors import InputError
    from gsi_theory.instance import Candidates, Instance, Scheme, tilted_policy, tilted_reward
    from gsi_theory.laws.gate import GsiLaw, gsi_law
    from gsi_theory.laws.selection_law import Law, selection_law
    from gsi_theory.laws.tv_curve import tv_curve
    from gsi_theory.rules.rule import Rule

__all__ = [
    "Candidates",
    "GsiLaw",
    "InputError",
    "Instance",
    "Law",
    "Rule",
    "Scheme",
    "divergence",
    "gsi_law",
    "limits",
    "moved",
    "selection_law",
    "tilted_policy",
    "tilted_reward",
    "tv_curve",
]

# module -> the names that it holds
_HOLDS = {
    "errors": "InputError",
    "instance": "Candidates Instance Scheme tilted_policy tilted_reward",
    "laws.gate": "GsiLaw gsi_law",
    "laws.selection_law": "Law selection_law",
    "laws.tv_curve": "tv_curve",
    "rules.rule": "Rule",
}
_PLACES = {name: f"gsi_theory.{module}" for module, names in _HOLDS.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name in ("divergence", "limits"):
        return importlib.import_module(f"gsi_theory.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
