"""Claims on what no rule can beat: the least total variation to π with n drafts (M19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.claim import proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.selection_law import EPS
from gsi_theory.limits import best_tv
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "hockey_limit", "rule_limit"]


def _best_tv(f: Facts) -> Array:
    return best_tv(f.log_pi, f.log_draft, Counts(f.n, f.xp.zeros_like(detached(f.n))))


def rule_limit(f: Facts, rule: str | None = None) -> Sides:
    """(M19): no rule is closer to π than best_tv; the witness is `rule`, or the scheme's own."""
    value, law = f.tv(rule)
    return Sides(_best_tv(f), value, law.error + 4.0 * f.weight_error + f.rounding)


def _spare(f: Facts) -> tuple[Array, Array]:
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
    spare, error = _spare(f)
    if form == "bound":
        value, law = f.tv()
        return Sides(spare, value, error + law.error + 4.0 * f.weight_error)
    return Sides(1.0 - spare, 1.0 - _best_tv(f), error + 4.0 * f.weight_error + f.rounding)


def rule_limit_balls(f: BallFacts, rule: str | None = None) -> tuple[arb, arb]:
    """`rule_limit`."""
    return f.best_tv, f.draft_excess(rule).tv()


def hockey_limit_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`hockey_limit`."""
    spare = f.total([(p - f.scheme.n * s).nonnegative_part() for p, s in zip(f.pi, f.draft, strict=True)])
    return (spare, f.draft_excess().tv()) if form == "bound" else (1 - spare, 1 - f.best_tv)


_BEST = r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le "

TABLE = (
    proved("M19", _BEST + r"TV(P_n,\pi)\ \text{for every rule}", rule_limit, rule_limit_balls),
    *(
        proved(
            f"M19-{rule}", rf"{_BEST}TV(P_n^{{{rule}}},\pi)", *twins(rule_limit, rule_limit_balls, rule), smooth=smooth
        )
        for rule, smooth in (("softmax", True), ("race", True), ("max", False))
    ),
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
