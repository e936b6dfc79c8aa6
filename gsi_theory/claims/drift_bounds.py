"""Claims on how far selection moves from the draft: drift of the softmax rule (M15), best-of-n (M16).

Best-of-n ranks by the weights of the draft candidates, β r̃.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.claim import Claim, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides, drawn_apart
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "bon_kl", "bon_win_rate", "drift", "drift_kl"]


def drift_kl(f: Facts, rule: str) -> tuple[Array, Array]:
    """(KL(P_n‖π_S) (...), its error) of a rule."""
    xp, law = f.xp, f.draft_law(rule)
    value = divergence.kl(law.log_prob, f.log_draft)
    _, apart = drawn_apart(f, detached(law.log_prob))
    p = xp.exp(detached(law.log_prob))
    moved = 2.0 * divergence.tv(detached(law.log_prob), detached(f.log_draft)) + xp.vecdot(p, xp.abs(apart), axis=-1)
    return value, law.log_error * (moved + law.log_error) + 16.0 * EPS * (1.0 + detached(value))


def drift(f: Facts, form: str, rule: str = "softmax") -> Sides:
    """(M15): KL(P_n‖π_S) or, form "max", D_∞(P_n‖π_S) ≤ log(n/(1 + (n-1) w_min/w_max)); trivial: log n."""
    xp = f.xp
    if form == "max":
        law = f.draft_law(rule)
        both, apart = drawn_apart(f, law.log_prob)
        value = xp.max(xp.where(both, apart, -np.inf), axis=-1)
        error = law.log_error + 16.0 * EPS
    else:
        value, error = drift_kl(f, rule)
    log_weight = xp.where(f.covered, f.log_w, -np.inf)
    top = xp.max(log_weight, axis=-1)
    low = xp.min(xp.where(f.covered, f.log_w, np.inf), axis=-1)
    some = xp.isfinite(low) & xp.isfinite(top)
    ratio = xp.where(some, xp.exp(xp.where(some, low, 0.0) - xp.where(some, top, 0.0)), 0.0)
    rhs = xp.log(f.n) - xp.log1p((f.n - 1.0) * ratio)
    return Sides(value, rhs, error + 8.0 * f.weight_error + 8.0 * EPS * detached(xp.log(f.n)), detached(xp.log(f.n)))


def bon_kl(f: Facts, form: str) -> Sides:
    """(M16): KL(P_n^max‖π_S) ≤ log n - (n-1)/n; "equality": the other half of the often quoted equality."""
    value, error = drift_kl(f, "max")
    formula, error = f.xp.log(f.n) - (f.n - 1.0) / f.n, error + 16.0 * EPS * (1.0 + detached(f.xp.log(f.n)))
    trivial = detached(f.xp.log(f.n))
    return Sides(value, formula, error, trivial) if form == "bound" else Sides(formula, value, error)


def bon_win_rate(f: Facts, ties: float) -> Sides:
    """(M16): P(w(Y) > w(Y')) + ties·P(w(Y) = w(Y')) ≤ n/(n+1), Y ~ P_n^max, Y' ~ π_S; trivial: 1."""
    xp, law = f.xp, f.draft_law("max")
    weight = f.beta[..., None] * f.reward + f.log_ratio
    one, other = weight[..., :, None], weight[..., None, :]
    wins = xp.astype(one > other, xp.float64) + ties * xp.astype(one == other, xp.float64)
    beaten = xp.squeeze(xp.matmul(wins, xp.exp(f.log_draft)[..., None]), axis=-1)
    rate = xp.vecdot(xp.exp(law.log_prob), beaten, axis=-1)
    return Sides(rate, f.n / (f.n + 1.0), 2.0 * law.error + (2.0 * f.outcomes + 16.0) * EPS, 1.0)


def _drift_bound(f: BallFacts) -> arb:
    low, high, n = f.smallest(f.drawn_w), f.largest(f.drawn_w), f.scheme.n
    ratio = low if low.is_zero() else low / high
    return (n / (1 + (n - 1) * ratio)).log()


def drift_balls(f: BallFacts, form: str, rule: str = "softmax") -> tuple[arb, arb]:
    """`drift`."""
    law = f.draft_law(rule)
    if form == "kl":
        return f.excess(law, f.draft).kl_from(), _drift_bound(f)
    pairs = [(p, s) for p, s in zip(law, f.draft, strict=True) if not (s.is_zero() or p.is_zero())]
    return f.largest([(p / s).log() for p, s in pairs]), _drift_bound(f)


def bon_kl_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`bon_kl`."""
    n, value = f.ball(f.scheme.n), f.excess(f.draft_law("max"), f.draft).kl_from()
    formula = n.log() - (n - 1) / n
    return (value, formula) if form == "bound" else (formula, value)


def win_rate_balls(f: BallFacts, ties: float) -> tuple[arb, arb]:
    """`bon_win_rate`, comparisons of weights decided exactly."""
    from gsi_theory.certified.ball_law import LogWeight, compare

    def sign(a: LogWeight, b: LogWeight) -> int:
        if a.factor and b.factor:
            return compare(a, b)
        return (a.factor > 0) - (b.factor > 0)

    law, weight, n = f.draft_law("max"), f.draft_weight, f.scheme.n
    share = {1: f.ball(1), 0: f.ball(Fraction(ties)), -1: f.zero}
    drawn = [y for y, s in enumerate(f.instance.draft) if s]
    rate = f.total([law[y] * share[sign(weight[y], weight[z])] * f.draft[z] for y in drawn for z in drawn])
    return rate, f.ball(n) / (n + 1)


_SMOOTHING, _BEIRAMI = "smoothing lens, arXiv 2507.05913", "Beirami et al., arXiv 2401.01879"
_BOUND = r" \le \log\frac{n}{1+(n-1)w_{\min}/w_{\max}}"
_bon = partial(Claim, source=_BEIRAMI, smooth=False)

TABLE = (
    Claim("M15", r"KL(P_n\|\mu)" + _BOUND, *twins(drift, drift_balls, "kl"), source=_SMOOTHING),
    Claim("M15-max", r"D_\infty(P_n\|\mu)" + _BOUND, *twins(drift, drift_balls, "max"), source=_SMOOTHING),
    reading(
        "M15-race",
        r"D_\infty(P_n^{race}\|\mu)" + _BOUND,
        *twins(drift, drift_balls, "max", "race"),
        source=_SMOOTHING + ", read for the race rule",
    ),
    _bon("M16", r"KL(P_n^{max}\|\mu) \le \log n-(n-1)/n", *twins(bon_kl, bon_kl_balls, "bound")),
    reading(
        "M16-equality",
        r"KL(P_n^{max}\|\mu) \ge \log n-(n-1)/n",
        *twins(bon_kl, bon_kl_balls, "equality"),
        source="the equality widely cited, without 'continuous rewards'",
        smooth=False,
    ),
    _bon("M16-win", r"P(w(Y)>w(Y'))+\tfrac12P(w(Y)=w(Y')) \le n/(n+1)", *twins(bon_win_rate, win_rate_balls, 0.5)),
    reading(
        "M16-win-ties",
        r"P(w(Y)\ge w(Y')) \le n/(n+1)",
        *twins(bon_win_rate, win_rate_balls, 1.0),
        source=_BEIRAMI + ", read with ties as wins",
        smooth=False,
    ),
)
