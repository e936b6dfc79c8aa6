"""Tables of ball twins that release 0.1.0 kept beside the claims, made from the claims; they go with 0.3.0."""

from __future__ import annotations

from collections.abc import Callable

from flint import arb

from gsi_theory.certified.ball_facts import BallFacts
from gsi_theory.claims import CLAIMS
from gsi_theory.claims.assumptions import HIGH_SCORE
from gsi_theory.claims.rejection_bounds import HIGH_STEP

__all__ = ["PREMISES", "SIDES", "Sides", "excess_share", "high_score", "high_step", "largest", "pinsker"]

Sides = Callable[[BallFacts], tuple[arb, arb]]
SIDES = {key: claim.balls for key, claim in CLAIMS.items() if claim.balls is not None}
PREMISES = {a.name: a.balls for claim in CLAIMS.values() for a in claim.assumptions}
high_score, high_step = HIGH_SCORE.balls, HIGH_STEP.balls
excess_share, largest, pinsker = BallFacts.excess_share, BallFacts.largest, BallFacts.pinsker
