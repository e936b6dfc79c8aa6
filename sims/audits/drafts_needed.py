"""What number of drafts does each guarantee ask for, and how many are needed?

For a claim of the form D(law_n, π) ≤ bound(n) with D = KL (nats) or TV: the n asked is the smallest at which the bound
is ≤ ε, the n needed the smallest at which the exact distance is, both of the claim's own sides. For TV the n of the
best rule (M19) goes with them. Searched by doubling and bisection, for which both must not increase in n.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gsi_theory.claims import CLAIMS, Claim
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.softmax_bounds import asked_drafts
from gsi_theory.errors import InputError, nearest
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.efficiency import best_n
from gsi_theory.types import Json
from sims.instance_families import FAMILIES

__all__ = ["ASKED_COLUMNS", "BETAS_ASKED", "EPSILON", "GUARANTEES", "asked"]

BETAS_ASKED = (1.0, 5.0, 20.0)
EPSILON = 0.1
LARGEST_N = 2**53
# claim -> (its distance, how its bound is solved for n: a reading of `asked_drafts`, or None for a search)
GUARANTEES: dict[str, tuple[str, str | None]] = {
    "M11-mean": ("kl", None),
    "M11-chi2": ("kl", "instance"),
    "M12b": ("kl", "b"),
    "M12-osc": ("kl", "osc"),
    "M13-cv": ("kl", None),
    "M13-sinh": ("kl", None),
    "M17-tv": ("tv", None),
    "M17-tail": ("tv", None),
}
ASKED_COLUMNS = ("id", "distance", "epsilon", "family", "beta", "log10_asked", "log10_needed", "log10_best")


def _smallest(small: Callable[[float], bool]) -> float | None:
    """log10 of the smallest n with small(n), which must stay true once it is; None above LARGEST_N."""
    low, high = 0, 1
    while not small(float(high)):
        if high >= LARGEST_N:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if small(float(middle)) else (middle, high)
    return float(np.log10(high))


def _side(claim: Claim, instance: Instance, beta: float, name: str, n: float) -> bool:
    facts = Facts.of(instance, Scheme(beta, int(n)))
    return bool(getattr(claim.sides(facts), name) <= EPSILON)


def _asked_by(claim: Claim, reading: str | None, instance: Instance, beta: float) -> float | None:
    if reading is None:
        return _smallest(partial(_side, claim, instance, beta, "rhs"))
    log_n = float(asked_drafts(Facts.of(instance, Scheme(beta, 1)), reading, EPSILON))
    # a whole number of drafts, as far as a float tells one from the next
    return float(np.log10(np.ceil(np.exp(log_n) * (1.0 - 1e-12)))) if log_n < 30.0 else log_n / float(np.log(10.0))


def asked(seed: int, family: str, beta: float) -> list[list[Json]]:
    """Rows ASKED_COLUMNS of one family (unsigned rewards) at one beta; None: more than 2^53 draws."""
    if family not in FAMILIES:
        raise InputError(f"family {family!r}{nearest(family, FAMILIES)}: give one of {', '.join(FAMILIES)}")
    instance = FAMILIES[family].build(seed)
    facts = Facts.of(instance, Scheme(beta, 1))
    best = best_n(facts.log_pi, facts.log_draft, EPSILON)
    rows: list[list[Json]] = []
    for key, (distance, reading) in GUARANTEES.items():
        if key not in CLAIMS:
            continue
        needed = _smallest(partial(_side, CLAIMS[key], instance, beta, "lhs"))
        limit = float(np.log10(best)) if distance == "tv" and np.isfinite(best) else None
        given = _asked_by(CLAIMS[key], reading, instance, beta)
        rows.append([key, distance, EPSILON, family, beta, given, needed, limit])
    return rows
