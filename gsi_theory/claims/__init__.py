"""Published guarantees as data: the table of claims.

To add one, append an entry to the table of its topic: statement, assumptions (assumptions.py), both sides in floats
(sides.py says how) and in balls; everything that goes over the claims takes it up.
"""

from __future__ import annotations

from gsi_theory.claims import (
    backtracking_bounds,
    drafter_bounds,
    drift_bounds,
    gate_bounds,
    gate_limits,
    importance_bounds,
    limit_bounds,
    noise_bounds,
    particle_bounds,
    poisson_bounds,
    race_bounds,
    regularized_bounds,
    rejection_bounds,
    rule_bounds,
    smoothing_bounds,
    softmax_bounds,
    softmax_rates,
    step_bounds,
    stopping_bounds,
    tournament_bounds,
)
from gsi_theory.claims.claim import OUTCOMES, Assumption, Claim, Judgement, Outcome, Verdict
from gsi_theory.errors import Named

__all__ = ["CLAIMS", "OUTCOMES", "Assumption", "Claim", "Judgement", "Outcome", "Verdict"]

# the order in which claims are listed and audited
_TOPICS = (
    gate_limits,
    gate_bounds,
    softmax_bounds,
    drift_bounds,
    softmax_rates,
    poisson_bounds,
    importance_bounds,
    race_bounds,
    noise_bounds,
    rule_bounds,
    limit_bounds,
    regularized_bounds,
    drafter_bounds,
    rejection_bounds,
    tournament_bounds,
    step_bounds,
    stopping_bounds,
    smoothing_bounds,
    backtracking_bounds,
    particle_bounds,
)
_TABLE = [claim for topic in _TOPICS for claim in topic.TABLE]

CLAIMS: dict[str, Claim] = Named("claim", {claim.id: claim for claim in _TABLE})
assert len(CLAIMS) == len(_TABLE), "two claims share an id"
