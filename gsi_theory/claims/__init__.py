"""Published guarantees as data: the table of claims.

To add one, write its side function (see sides.py) and append an entry to the table of its topic (gate.py,
selection.py, race.py, methods.py); what it assumes is a predicate on `Facts` with one boolean a
row (assumptions.py). Premises of the form "n ≥ N(ε) implies D ≤ ε" are judged at the smallest ε that the given n
allows, which is equivalent because N decreases in ε.
"""

from __future__ import annotations

from gsi_theory.claims import gate as claims_gate
from gsi_theory.claims import methods as claims_methods
from gsi_theory.claims import race as claims_race
from gsi_theory.claims import selection as claims_selection
from gsi_theory.claims.claim import OUTCOMES, Assumption, Claim, Judgement, Outcome, Verdict
from gsi_theory.errors import Named

__all__ = ["CLAIMS", "OUTCOMES", "Assumption", "Claim", "Judgement", "Outcome", "Verdict"]

_TABLE = (*claims_gate.TABLE, *claims_selection.TABLE, *claims_race.TABLE, *claims_methods.TABLE)

CLAIMS: dict[str, Claim] = Named("claim", {claim.id: claim for claim in _TABLE})
assert len(CLAIMS) == len(_TABLE), "two claims share an id"
