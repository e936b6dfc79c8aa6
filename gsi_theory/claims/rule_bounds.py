"""Claims on what no rule can beat: the least total variation to π with n drafts (M19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gsi_theory.arrays.logscale import log1mexp
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import COVERED
from gsi_theory.claims.claim import proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import LARGEST_LOG, Sides
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.selection_law import EPS
from gsi_theory.limits import best_tv
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "best_tv_of", "hockey_limit", "rule_limit", "spare_of"]


def best_tv_of(f: Facts) -> Array:
    return best_tv(f.log_pi, f.log_draft, Counts(f.n, f.xp.zeros_like(detached(f.n))))


def rule_limit(f: Facts, rule: str | None = None) -> Sides:
    """(M19): no rule is closer to π than best_tv; the witness is `rule`, or the scheme's own."""
    value, law = f.tv(rule)
    return Sides(best_tv_of(f), value, law.error + 4.0 * f.weight_error + f.rounding)


def spare_of(f: Facts) -> tuple[Array, Array]:
    """(E_n(π‖μ) = Σ (π - nμ)_+ (...), its error)."""
    xp = f.xp
    apart = xp.log(f.n)[..., None] - xp.where(f.held & f.covered, f.log_w, 0.0)
    some = f.held & f.covered & (apart < 0)
    terms = xp.where(some, f.pi * -xp.expm1(xp.where(some, apart, -1.0)), xp.where(f.held & ~f.covered, f.pi, 0.0))
    return xp.sum(terms, axis=-1), 8.0 * f.weight_error + (f.outcomes + 8.0) * EPS


def hockey_limit(f: Facts, form: str) -> Sides:
    """(M19): E_n(π‖μ) ≤ TV(P_n, π) for the scheme's own rule; "attained": the reading that the least TV is E_n.

    The latter compares what can be shared: Σ min(π, nμ) ≤ 1 - min TV.
    """
    spare, error = spare_of(f)
    if form == "bound":
        value, law = f.tv()
        return Sides(spare, value, error + law.error + 4.0 * f.weight_error)
    return Sides(1.0 - spare, 1.0 - best_tv_of(f), error + 4.0 * f.weight_error + f.rounding)


def drawn(f: Facts) -> Sides:
    """(M19) of one outcome, the max over y with π(y) > 0 of log P(y) - log(1 - (1-μ(y))ⁿ) ≤ 0; both sides are logs."""
    xp, law, n = f.xp, f.draft_law(), f.n[..., None]
    log_mass = xp.where(f.held, f.log_draft, -1.0)
    # below, the chance to be drawn is nμ to its last digit, and μ may be lost beside 1
    rare = log_mass + xp.log(n) < -40.0
    log_missed = n * xp.clip(log1mexp(xp.where(rare, -1.0, log_mass)), -LARGEST_LOG, None)
    chance = xp.where(rare, log_mass + xp.log(n), log1mexp(log_missed))
    gap = xp.max(xp.where(f.held, xp.where(f.held, law.log_prob, 0.0) - chance, -np.inf), axis=-1)
    size = xp.max(xp.where(f.held, xp.abs(detached(log_mass)), 0.0), axis=-1)
    return Sides(gap, 0.0, law.log_error + 16.0 * EPS * (1.0 + size) + f.blind(law.log_prob))


def rule_limit_balls(f: BallFacts, rule: str | None = None) -> tuple[arb, arb]:
    """`rule_limit`."""
    return f.best_tv, f.draft_excess(rule).tv()


def hockey_limit_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`hockey_limit`."""
    spare = f.total([(p - f.scheme.n * s).nonnegative_part() for p, s in zip(f.pi, f.draft, strict=True)])
    return (spare, f.draft_excess().tv()) if form == "bound" else (1 - spare, 1 - f.best_tv)


def drawn_balls(f: BallFacts) -> tuple[arb, arb]:
    """`drawn`."""
    n = f.scheme.n
    chance = [f.ball(1) if s == 1 else -(n * (-f.ball(s)).log1p()).expm1() for s in f.instance.draft]
    rows = zip(f.pi, f.draft_law(), chance, strict=True)
    return f.largest([(q / c).log() for p, q, c in rows if not p.is_zero()]), f.zero


_BEST = r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le "

TABLE = (
    proved("M19", _BEST + r"TV(P_n,\pi)\ \text{for every rule}", rule_limit, rule_limit_balls),
    *(
        proved(
            f"M19-{rule}", rf"{_BEST}TV(P_n^{{{rule}}},\pi)", *twins(rule_limit, rule_limit_balls, rule), smooth=smooth
        )
        for rule, smooth in (("softmax", True), ("race", True), ("max", False))
    ),
    proved("M19-drawn", r"P_n(y) \le 1-(1-\mu(y))^n\ \text{for every rule}", drawn, drawn_balls, (COVERED,), logs=True),
    proved(
        "M19-hockey",
        r"\sum(\pi-n\mu)_+ \le TV(P_n,\pi)\ \text{for every rule}",
        *twins(hockey_limit, hockey_limit_balls, "bound"),
    ),
    reading(
        "M19-attained",
        r"\sum\min(\pi,n\mu) \le 1-\min_{rules}TV",
        *twins(hockey_limit, hockey_limit_balls, "attained"),
        source="(M19)'s corollary read as the limit itself",
    ),
)
