"""Sides of the claims on selection that are neither divergences of M11-M13 nor of the race: total variation and reward
(M10, M12, M14), drift (M15), a Poisson number of drafts (M24), importance sampling (M27). See sides.py.
"""

from __future__ import annotations

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides, chi2_error, least
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.selection_law import EPS, Law, selection_law
from gsi_theory.types import Array

__all__ = [
    "channel",
    "drift",
    "excess_share",
    "importance_bias",
    "mean_change",
    "pinsker",
    "poisson_drafts",
    "reward_pinsker",
    "reward_share",
    "tv_pinsker",
    "tv_pointwise",
]

LARGEST_LOG = 690.0  # e^690 is finite and so is its product with a mass


def excess_share(f: Facts, log_mass: Array, n: Array) -> Array:
    """E_π[(w - 1)_+/(n - 1 + w)] (...) of the proposal log_mass (..., K), what (M10) leaves of TV(P_n, π)."""
    xp = f.xp
    both = f.held & xp.isfinite(log_mass)
    log_w = xp.where(both, f.log_pi, 0.0) - xp.where(both, log_mass, 0.0)
    grown = xp.expm1(xp.clip(log_w, 0.0, LARGEST_LOG))
    share = xp.where(f.held, xp.where(both, grown / (n[..., None] + grown), 1.0), 0.0)
    return xp.vecdot(f.pi, share, axis=-1)


def mean_change(f: Facts, log_q: Array) -> Array:
    """E_q r - E_π r (...) for log-probabilities q (..., K)."""
    xp = f.xp
    return xp.vecdot(xp.exp(log_q) - f.pi, f.centered, axis=-1)


def pinsker(f: Facts, chi2: Array, n: Array) -> Array:
    """√(½ log(1 + χ²/n)) (...), without a gradient where χ² = 0; at most 1e150 where χ² is infinite."""
    xp = f.xp
    some = chi2 > 0
    inside = 0.5 * xp.log1p(xp.where(chi2 < 1e300, xp.where(some, chi2, 1.0), 1e300) / n)
    return xp.where(some, xp.sqrt(inside), 0.0)


def _tv(f: Facts, rule: str) -> tuple[Array, Law]:
    law = f.draft_law(rule)
    return f.once(("tv", rule), lambda: divergence.tv(f.log_pi, law.log_prob)), law


def _pinsker_error(f: Facts, rhs: Array) -> Array:
    """√x moves by half the error of x over √x: χ² is known to a few weight errors of its size and absolutely."""
    rough = chi2_error(f, f.log_draft) / detached(f.n)
    return least(rough / f.xp.clip(detached(rhs), 1e-290, None), f.xp.sqrt(rough)) + 16.0 * EPS * detached(rhs)


def tv_pointwise(f: Facts) -> Sides:
    """(M10) summed: TV(P_n, π) ≤ E_π[(w - 1)_+/(n - 1 + w)], of the order 1/n."""
    value, law = _tv(f, "softmax")
    return Sides(value, excess_share(f, f.log_draft, f.n), law.error + 8.0 * f.weight_error + 16.0 * EPS, 1.0)


def tv_pinsker(f: Facts) -> Sides:
    """(M11) with Pinsker: TV(P_n, π) ≤ √(½ log(1 + χ²/n))."""
    value, law = _tv(f, "softmax")
    rhs = pinsker(f, f.chi2, f.n)
    return Sides(value, rhs, law.error + f.weight_error + _pinsker_error(f, rhs), 1.0)


def reward_pinsker(f: Facts) -> Sides:
    """(M12) for the reward: E_π r - E_Q r ≤ osc(r) √(½ log(1 + χ²/n)), ungated; trivial: E_π r - min r."""
    law, osc = f.draft_law("softmax"), detached(f.osc)
    xp, bound = f.xp, pinsker(f, f.chi2, f.n)
    some = xp.isfinite(detached(bound))
    bound = xp.where(some, bound, 1.0)
    moved = _pinsker_error(f, bound)
    known = some & xp.isfinite(moved)
    error = osc * (2.0 * law.error + 4.0 * f.weight_error + (f.outcomes + 16.0) * EPS + xp.where(known, moved, 0.0))
    most = detached(xp.vecdot(f.pi, f.centered, axis=-1))
    rhs = xp.where(some, f.osc * bound, np.inf)
    return Sides(-mean_change(f, law.log_prob), rhs, xp.where(known, error, np.inf), most)


def reward_share(f: Facts) -> Sides:
    """(M14): (E_π r - E_{P_n} r)/E_π r ≤ (v - 1)/(n + v - 1), v = E_π[r w]/E_π r; trivial: 1, for r ≥ 0."""
    xp, law = f.xp, f.draft_law("softmax")
    mean = xp.vecdot(f.pi, f.reward, axis=-1)
    t = xp.where(f.held, law.log_prob, 0.0) - xp.where(f.held, f.log_pi, 0.0)
    # P - π without cancellation where they are close and without overflow where they are not.
    near = t < 30.0
    gap = xp.where(near, f.pi * xp.expm1(xp.where(near, t, 0.0)), xp.exp(xp.where(near, -1.0, law.log_prob)) - f.pi)
    gap = xp.where(f.held, gap, xp.exp(law.log_prob))
    grown = xp.where(f.held, xp.expm1(xp.clip(xp.where(f.held, f.log_w, 0.0), None, LARGEST_LOG)), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # v may be ∞ − ∞, of which the bound says nothing
        v = xp.vecdot(f.pi, f.reward * grown, axis=-1) / mean
        size = detached(xp.vecdot(f.pi, xp.abs(f.reward) * (1.0 + grown), axis=-1) / mean)
    v = xp.clip(v, None, 1e300)
    absolute = detached(xp.vecdot(xp.exp(law.log_prob) + f.pi, xp.abs(f.reward), axis=-1) / mean)
    stray = detached(xp.sum(xp.where(f.held, 0.0, xp.exp(law.log_prob)), axis=-1))
    n = detached(f.n)
    error = absolute * (law.log_error + 8.0 * f.weight_error + (f.outcomes + 32.0) * EPS) + stray * 4.0 * EPS
    moved = (8.0 * f.weight_error + (f.outcomes + 16.0) * EPS) * (1.0 + absolute)
    # With signed rewards n + v may vanish: then the bound says nothing.
    some = f.n + v > 0
    whole = xp.where(some, n + xp.clip(detached(v), None, 1e150), 1.0)
    steep = xp.clip(size, None, 1e150) * (n / whole) / whole
    rhs = xp.where(some, v / xp.where(some, f.n + v, 1.0), np.inf)
    return Sides(-xp.vecdot(gap, f.reward, axis=-1) / mean, rhs, error + moved * (1.0 + steep), 1.0)


def _apart(f: Facts, log_q: Array) -> tuple[Array, Array]:
    """(where log_q and the draft both have mass (..., K), log_q - log π_S there)."""
    xp = f.xp
    both = f.covered & xp.isfinite(log_q)
    return both, xp.where(both, log_q, 0.0) - xp.where(both, f.log_draft, 0.0)


def drift_kl(f: Facts, rule: str) -> tuple[Array, Array]:
    """(KL(P_n‖π_S) (...), its error) of a rule."""
    xp, law = f.xp, f.draft_law(rule)
    value = divergence.kl(law.log_prob, f.log_draft)
    _, apart = _apart(f, detached(law.log_prob))
    p = xp.exp(detached(law.log_prob))
    moved = 2.0 * divergence.tv(detached(law.log_prob), detached(f.log_draft)) + xp.vecdot(p, xp.abs(apart), axis=-1)
    return value, law.log_error * (moved + law.log_error) + 16.0 * EPS * (1.0 + detached(value))


def drift(f: Facts, form: str, rule: str = "softmax") -> Sides:
    """(M15): KL(P_n‖π_S) or, form "max", D_∞(P_n‖π_S) ≤ log(n/(1 + (n-1) w_min/w_max)); trivial: log n."""
    xp = f.xp
    if form == "max":
        law = f.draft_law(rule)
        both, apart = _apart(f, law.log_prob)
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


def poisson_drafts(f: Facts, form: str) -> Sides:
    """(M24) N ~ Poisson(m) given N ≥ 1, m = n: KL(π‖law) ≤ log(1 + (1+χ²)/m), "sharp" with + log(1 - e^{-m})."""
    xp = f.xp

    def make(rows: Facts) -> Law:
        weight = rows.beta[..., None] * rows.reward + rows.log_ratio
        law = selection_law(rows.log_draft, weight, Counts(rows.xp.zeros_like(detached(rows.n)), rows.n), "softmax")
        return Law(law.log_prob, law.error + rows.weight_error, law.log_error + 2.0 * rows.weight_error)

    value, error = f.kl_to(f.shared("poisson law", make))
    rhs = xp.log1p((1.0 + f.chi2) / f.n)
    whole = detached(1.0 + f.chi2)
    some = xp.isfinite(whole)
    rounding = xp.where(some, chi2_error(f, f.log_draft), np.inf) / xp.where(some, whole, 1.0) + 16.0 * EPS
    if form == "sharp":
        rhs = rhs + xp.log(-xp.expm1(-f.n))
    return Sides(value, rhs, error + rounding, detached(divergence.kl(f.log_pi, f.log_draft)))


def importance_bias(f: Facts, form: str) -> Sides:
    """(M27) the bias of self-normalized importance sampling, the worst over |f| ≤ 1: 2 TV(P_n, π) ≤ 12 (1+χ²)/n.

    E_{P_n} f of the softmax rule is exactly the mean of Σ w f/Σ w. "sharp": 2 (1+χ²)/n. Trivial: 2.
    """
    value, law = _tv(f, "softmax")
    rhs = (12.0 if form == "12" else 2.0) * (1.0 + f.chi2) / f.n
    moved = 2.0 * least(chi2_error(f, f.log_draft) / detached(f.n) * 6.0, 1.0 + 0.0 * f.weight_error)
    return Sides(2.0 * value, rhs, 2.0 * law.error + 4.0 * f.weight_error + moved + 16.0 * EPS, 2.0)


def channel(f: Facts) -> Sides:
    """(M27) without its o(1): TV(P_n, π) ≤ KL(π‖μ)/log n, n ≥ 2, for the softmax rule."""
    xp, (value, law) = f.xp, _tv(f, "softmax")
    rhs = divergence.kl(f.log_pi, f.log_draft) / xp.log(f.n)
    rough = law.error + 16.0 * f.weight_error + 32.0 * EPS * (1.0 + detached(rhs))
    return Sides(value, rhs, rough, 1.0)
