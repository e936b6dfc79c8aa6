"""Exact laws of draft-guided sampling on finite sets; formulas are numbered in THEORY.md."""

from gsi_theory import divergence, limits, moved
from gsi_theory.errors import InputError
from gsi_theory.instance import Candidates, Instance, Scheme, tilted_policy, tilted_reward
from gsi_theory.laws.gate import GsiLaw, gsi_law
from gsi_theory.laws.selection_law import Law, selection_law

__all__ = [
    "Candidates",
    "GsiLaw",
    "InputError",
    "Instance",
    "Law",
    "Scheme",
    "divergence",
    "gsi_law",
    "limits",
    "moved",
    "selection_law",
    "tilted_policy",
    "tilted_reward",
]
