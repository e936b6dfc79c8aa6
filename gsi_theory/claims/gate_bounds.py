"""Claims on the gate at finite n: reward (M8), the gate on the score (M9), GSI's guarantee for the gated law (M12).

A = {r̃ ≥ u}, a = π(A); Q, B, G are the laws of the draft winner, of the base winner and of the scheme at its own n and
n_base. M9 judges the race rule with M = e^{βu}/Z in units of the normalized weight, whatever rule and gate the
scheme has.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import detached, is_numpy
from gsi_theory.claims.assumptions import COVERED, FINITE_SCORE, GATED, GSI, HIGH_SCORE, RACE, SOFTMAX
from gsi_theory.claims.claim import IDENTITY, proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.gate_limits import covariance, covariance_balls, split_balls, split_weights
from gsi_theory.claims.sides import Sides, excess_share, log_of_positive, mean_change, pinsker
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.selection_law import EPS, Law, score_gated_race
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "gate_reward", "score_gate_law", "score_gate_tv"]

SMALLEST = -600.0  # log of an accepted mass below which the law of the race loses digits


def _base_tv(f: Facts) -> tuple[Array, Law]:
    law = f.base_law()
    return f.once("tv of the base law", lambda: divergence.tv(f.log_pi, law.log_prob)), law


def _gated_error(f: Facts) -> Array:
    """Error of E_G r - E_π r (...): both laws' TV errors times osc(r)."""
    return detached(f.osc) * (2.0 * f.gated().error + 8.0 * f.weight_error + (2.0 * f.outcomes + 32.0) * EPS)


def gate_reward(f: Facts, form: str) -> Sides:
    """(M8) |E_G r - E_π r - Cov_π(1_A, r)| against its three bounds; trivial: osc(r).

    "tv": osc(r) [TV(Q,π) + b TV(B,π)]. "values": osc(g) TV(Q,π) + b osc(r) TV(B,π), g = (r - E_B r) 1_A. "rate": the
    same with the total variations replaced by their bounds E_π[(w-1)_+/(n-1+w)] of (M10), softmax only.
    """
    xp, (_, b) = f.xp, split_weights(f)
    lhs = xp.abs(mean_change(f, f.gated().log_prob) - covariance(f))
    error = _gated_error(f)
    (draft, q), (base, p) = f.tv(), _base_tv(f)
    error = error + detached(f.osc) * (q.error + p.error + 8.0 * f.weight_error)
    osc = f.osc
    if form != "tv":
        mean = xp.vecdot(xp.exp(p.log_prob), f.centered, axis=-1)
        g = xp.where(f.accepted, f.centered - mean[..., None], 0.0)
        # Off A g is zero, also where A is everything: then Aᶜ is never seen and the bound may only be larger.
        off = xp.where(f.real, g, 0.0)
        osc = xp.max(off, axis=-1) - xp.min(off, axis=-1)
    if form == "rate":
        draft, base = excess_share(f, f.log_draft, f.n), excess_share(f, f.log_base, f.n_base)
    return Sides(lhs, osc * draft + b * f.osc * base, error, detached(f.osc))


def gated_reward_without_bias(f: Facts) -> Sides:
    """The reading that (M8) refutes: E_π r - E_G r ≤ osc(r) [TV(Q,π) + b TV(B,π)], without the covariance."""
    (draft, q), (base, p), (_, b) = f.tv(), _base_tv(f), split_weights(f)
    error = _gated_error(f) + detached(f.osc) * (q.error + p.error + 8.0 * f.weight_error)
    return Sides(-mean_change(f, f.gated().log_prob), f.osc * (draft + b * base), error, _most_lost(f))


def _most_lost(f: Facts) -> Array:
    """E_π r - min r, which no law can lose more than."""
    return detached(f.xp.vecdot(f.pi, f.centered, axis=-1))


def gated_reward_pinsker(f: Facts) -> Sides:
    """GSI's guarantee read for the gated law: E_π r - E_G r ≤ osc(r) [√(½ log(1+χ²/n)) + b √(½ log(1+CV²/n_B))]."""
    _, b = split_weights(f)
    draft, base = pinsker(f, f.chi2, f.n), pinsker(f, divergence.chi2(f.log_pi, f.log_base), f.n_base)
    # The square root of log(1 + χ²/n) inherits its relative error, a few weight errors, as long as it is not tiny.
    rough = 64.0 * f.weight_error * detached(f.osc) + detached(f.osc) * 1e-7 * (detached(draft + base) < 1e-6)
    return Sides(
        -mean_change(f, f.gated().log_prob), f.osc * (draft + b * base), _gated_error(f) + rough, _most_lost(f)
    )


def gate_law_kl(f: Facts) -> Sides:
    """GSI Theorem 1 read for the gated law: KL(π‖G) ≤ log(1 + χ²/n) + log(1 + CV²/n_B)."""
    value, error = f.once("KL of the gated law", lambda: f.kl_to(f.gated()))
    base = divergence.chi2(f.log_pi, f.log_base)
    rhs = f.xp.log1p(f.chi2 / f.n) + f.xp.log1p(base / f.n_base)
    return Sides(value, rhs, error + 32.0 * f.weight_error + 32.0 * EPS * detached(rhs))


def _scored(f: Facts) -> Law:
    """(log P(y, accepted), error, log P(reject)) in the fields of a Law, at the batch's own n."""
    weight = f.beta[..., None] * f.reward + f.log_ratio
    log_score = f.log_score + f.log_z
    counts = Counts(f.n, f.xp.zeros_like(detached(f.n)))
    accepted, log_reject = score_gated_race(f.log_draft, weight, counts, log_score)
    race = f.draft_law("race")
    size = 1.0 + f.xp.abs(detached(f.log_score)) + f.xp.abs(detached(f.log_z))
    if is_numpy(accepted):
        log_reject = np.asarray(log_reject)
    return Law(accepted, 4.0 * race.log_error + 16.0 * f.weight_error + 16.0 * EPS * size, log_reject)


def score_gate_law(f: Facts) -> Law:
    """`_scored`, once for the batch: log_prob log P(y, accepted), error its error in nats, log_error log P(reject)."""
    return f.shared("score gate", _scored)


def _outside(f: Facts) -> Array:
    """E_M = E_μ(w - M)_+ = E_π(1 - M/w)_+ (...)."""
    xp = f.xp
    apart = f.log_score[..., None] - xp.where(f.held, f.log_w, 0.0)
    above = f.held & (apart < 0)
    return xp.sum(xp.where(above, f.pi * -xp.expm1(xp.where(above, apart, -1.0)), 0.0), axis=-1)


def _accepted_tv(f: Facts) -> tuple[Array, Array]:
    """(TV of the law given acceptance to π, its error) (...); nothing is known where acceptance underflows."""
    xp, law = f.xp, score_gate_law(f)
    seen = xp.max(detached(law.log_prob), axis=-1) > SMALLEST
    given = normalize(xp.where(seen[..., None], law.log_prob, f.log_draft))
    error = 2.0 * law.error + 4.0 * f.weight_error + 16.0 * EPS
    return divergence.tv(f.log_pi, xp.clip(given, None, 0.0)), xp.where(seen, error, np.inf)


def score_gate_tv(f: Facts, form: str) -> Sides:
    """(M9): "accepted" TV(P(·|accepted), π) ≤ E_M; "whole" TV((1-δ) accepted + δ B, π) ≤ (1-δ) E_M + δ TV(B, π);
    "exact", for M ≥ C, and "unbiased", for every M: TV(P(·|accepted), π) = 0."""
    xp, law = f.xp, score_gate_law(f)
    if form == "whole":
        base = f.base_law()
        rest = law.log_error[..., None] + base.log_prob
        none = (law.log_prob == -np.inf) & (rest == -np.inf)
        log_prob = xp.logaddexp(xp.where(none, 0.0, law.log_prob), xp.where(none, 0.0, rest))
        delta = xp.exp(law.log_error)
        lhs = divergence.tv(f.log_pi, xp.clip(xp.where(none, -np.inf, log_prob), None, 0.0))
        rhs = (1.0 - delta) * _outside(f) + delta * divergence.tv(f.log_pi, base.log_prob)
        return Sides(lhs, rhs, 4.0 * law.error + 2.0 * base.error + 16.0 * f.weight_error + 64.0 * EPS, 1.0)
    lhs, error = _accepted_tv(f)
    if form == "accepted":
        return Sides(lhs, _outside(f), error + 8.0 * f.weight_error, 1.0)
    return Sides(lhs, 0.0, error, scale=1.0)


def score_gate_reject(f: Facts) -> Sides:
    """(M9): P(reject) = (1 - A_M/M)ⁿ with A_M = 1 - E_M."""
    xp = f.xp
    least = xp.exp(xp.clip(-f.log_score, None, 690.0))
    kept = 1.0 - (1.0 - _outside(f)) * least
    some = kept > 0
    n = detached(f.n)
    rhs = xp.exp(xp.clip(f.n * log_of_positive(kept), -745.0, 0.0))
    with np.errstate(over="ignore"):
        rounding = (8.0 * f.weight_error + 16.0 * EPS) * (1.0 + detached(least)) / xp.where(some, detached(kept), 1.0)
        moved = xp.clip(n * xp.clip(rounding, None, 1.0), None, 1.0)
        # Where 1 - A_M/M cancels to nothing, only its absolute error is known.
        error = xp.clip(4.0 * moved, None, 1.0) + (8.0 * f.weight_error + 32.0 * EPS) * (1.0 + detached(least))
    return Sides(xp.exp(score_gate_law(f).log_error), rhs, error, scale=1.0)


def _mean_change_balls(f: BallFacts) -> arb:
    """E_G r - E_π r."""
    return f.total([(q - p) * v for q, p, v in zip(f.gated.law, f.pi, f.centered, strict=True)])


def gate_reward_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`gate_reward`."""
    values, (_, b) = f.centered, split_balls(f)
    lhs = abs(_mean_change_balls(f) - covariance_balls(f))
    if form == "tv":
        return lhs, f.osc * (f.draft_excess().tv() + b * f.base_excess.tv())
    mean = f.total([p * v for p, v in zip(f.base_law, values, strict=True)])
    real = [s or p for s, p in zip(f.instance.draft, f.instance.base, strict=True)]
    g = [v - mean if kept and y else f.zero for v, kept, y in zip(values, f.accepted, real, strict=True)]
    spread = f.largest(g) - f.smallest(g)
    if form == "values":
        return lhs, spread * f.draft_excess().tv() + b * f.osc * f.base_excess.tv()
    share = f.excess_share(f.draft, f.scheme.n), f.excess_share(f.base, f.scheme.base_draws)
    return lhs, spread * share[0] + b * f.osc * share[1]


def unbiased_balls(f: BallFacts) -> tuple[arb, arb]:
    """`gated_reward_without_bias`."""
    _, b = split_balls(f)
    return -_mean_change_balls(f), f.osc * (f.draft_excess().tv() + b * f.base_excess.tv())


def gated_kl_balls(f: BallFacts) -> tuple[arb, arb]:
    """`gate_law_kl`."""
    rhs = (f.chi2 / f.scheme.n).log1p() + (f.chi2_base / f.scheme.base_draws).log1p()
    return f.excess(f.gated.law, f.pi).kl_to(), rhs


def gated_pinsker_balls(f: BallFacts) -> tuple[arb, arb]:
    """`gated_reward_pinsker`."""
    _, b = split_balls(f)
    base = f.pinsker(f.chi2_base, f.scheme.base_draws)
    return -_mean_change_balls(f), f.osc * (f.pinsker(f.chi2, f.scheme.n) + b * base)


def score_gate_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`score_gate_tv`."""
    accepted, reject = f.scored
    pairs = zip(f.instance.base, f.instance.reward, strict=True)
    z = f.total([f.ball(b) * f.ball(f.scheme.beta * r).exp() for b, r in pairs if b])
    score = f.ball(f.score.exponent).exp() / z
    outside = f.total([(p - score * s).nonnegative_part() for p, s in zip(f.pi, f.draft, strict=True)])
    if form == "whole":
        law = [x + reject * q for x, q in zip(accepted, f.base_law, strict=True)]
        return f.excess(law, f.pi).tv(), (1 - reject) * outside + reject * f.base_excess.tv()
    whole = f.total(accepted)
    lhs = f.excess([x / whole for x in accepted], f.pi).tv()
    return lhs, outside if form == "accepted" else f.zero


_BIAS = r"|E_Gr-E_\pi r-Cov_\pi(1_A,r)| \le "
_GIVEN = r"P_n^{race}(\cdot\,|\,score\ge M)"
_SCORED, _SOFTMAX = (COVERED, FINITE_SCORE), (COVERED, GATED, SOFTMAX)
_scored_claim = partial(proved, assumptions=_SCORED, smooth=False)

TABLE = (
    proved(
        "M8",
        _BIAS + r"osc(r)\,[TV(Q,\pi)+\pi(A^c)\,TV(B,\pi)]",
        *twins(gate_reward, gate_reward_balls, "tv"),
        (GATED,),
        most_outcomes=512,
    ),
    proved(
        "M8-values",
        _BIAS + r"osc((r-E_Br)1_A)\,TV(Q,\pi)+\pi(A^c)\,osc(r)\,TV(B,\pi)",
        *twins(gate_reward, gate_reward_balls, "values"),
        (GATED,),
    ),
    proved(
        "M8-rate",
        _BIAS + r"osc((r-E_Br)1_A)\,E_\pi\tfrac{(w-1)_+}{n-1+w}"
        r"+\pi(A^c)\,osc(r)\,E_\pi\tfrac{(w_B-1)_+}{n_B-1+w_B}",
        *twins(gate_reward, gate_reward_balls, "rate"),
        _SOFTMAX,
    ),
    reading(
        "M8-unbiased",
        r"E_\pi r-E_Gr \le osc(r)\,[TV(Q,\pi)+\pi(A^c)\,TV(B,\pi)]",
        gated_reward_without_bias,
        unbiased_balls,
        (GATED,),
        source="the natural reading of gated GSI's reward bound",
    ),
    _scored_claim("M9-accepted", rf"TV({_GIVEN},\pi) \le E_M", *twins(score_gate_tv, score_gate_balls, "accepted")),
    _scored_claim(
        "M9-exact",
        rf"M\ge C\Rightarrow {_GIVEN}=\pi",
        partial(score_gate_tv, form="exact"),
        assumptions=(*_SCORED, HIGH_SCORE),
        relation="=",
        uncertified=IDENTITY,
    ),
    _scored_claim("M9-reject", r"P(reject) = (1-A_M/M)^n", score_gate_reject, relation="=", uncertified=IDENTITY),
    _scored_claim(
        "M9-whole",
        r"TV((1-\delta)P(\cdot\,|\,score\ge M)+\delta B,\pi) \le (1-\delta)E_M+\delta\,TV(B,\pi)",
        *twins(score_gate_tv, score_gate_balls, "whole"),
    ),
    reading(
        "M9-unbiased",
        rf"{_GIVEN}=\pi\ \text{{for every}}\ M",
        *twins(score_gate_tv, score_gate_balls, "unbiased"),
        _SCORED,
        source="the score gate read without its condition M ≥ C; " + RACE,
        smooth=False,
    ),
    reading(
        "M12-gated-kl",
        r"KL(\pi\|G) \le \log(1+\chi^2/n)+\log(1+CV^2/n_B)",
        gate_law_kl,
        gated_kl_balls,
        _SOFTMAX,
        source=GSI + ", read for the gated law",
    ),
    reading(
        "M12-gated-reward",
        r"E_\pi r-E_Gr \le osc(r)\,[\sqrt{\tfrac12\log(1+\chi^2/n)}+\pi(A^c)\sqrt{\tfrac12\log(1+CV^2/n_B)}]",
        gated_reward_pinsker,
        gated_pinsker_balls,
        _SOFTMAX,
        source=GSI + " with Pinsker, read for the gated law",
    ),
)
