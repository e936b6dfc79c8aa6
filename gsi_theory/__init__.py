"""Exact laws of draft-guided sampling on finite sets; formulas are numbered in THEORY.md."""

from gsi_theory import divergence, limits
from gsi_theory.errors import InputError
from gsi_theory.gate import GsiLaw, gsi_law
from gsi_theory.instance import Candidates, Instance, Scheme, tilted_policy, tilted_reward
from gsi_theory.law import Law, selection_law

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
    "selection_law",
    "tilted_policy",
    "tilted_reward",
]
