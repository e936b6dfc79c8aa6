"""Sides of the claims on the race rule (M17) and on what no rule can beat (M19). See sides.py."""

from __future__ import annotations

import math

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import log1mexp
from gsi_theory.arrays.namespace import detached, rows_of, table
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides, least
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.selection_law import EPS, Law
from gsi_theory.limits import best_tv
from gsi_theory.rules.rule import Rule
from gsi_theory.types import Array, Namespace

__all__ = [
    "decreasing",
    "dominance",
    "hockey_limit",
    "mixture",
    "ordered",
    "race_bound",
    "race_tail",
    "race_tv",
    "rule_limit",
]

GRID = 512  # values of M tried between e^-1 and the coverage constant, besides the weights themselves
LARGEST_LOG = 690.0  # e^690 is finite and so is its product with a mass
BUDGET = 1 << 16  # entries of the largest temporary array: a few of them fit the cache


def _tv(f: Facts, rule: str | Rule) -> tuple[Array, Law]:
    law = f.draft_law(rule)
    return f.once(("tv", rule), lambda: divergence.tv(f.log_pi, law.log_prob)), law


def race_tv(f: Facts) -> Sides:
    """(M17): TV(P_n^race, π) ≤ min{1, 2(1+χ²)/(e n), (1 - 1/C)^n}."""
    xp, (value, law), n = f.xp, _tv(f, "race"), f.n
    some = f.log_coverage > 0
    log_coverage = xp.where(some, f.log_coverage, 1.0)
    with np.errstate(under="ignore"):
        minimax = xp.where(some, xp.exp(n * log1mexp(-log_coverage)), 0.0)
    rhs = xp.clip(least(2.0 * (1.0 + f.chi2) / (math.e * n), minimax), None, 1.0)
    # n·log(1 - 1/C) inherits the error of log C times its derivative n/(C - 1).
    n, grown = detached(n), xp.expm1(xp.clip(detached(f.log_coverage), None, 700.0))
    sensitivity = n / xp.clip(grown, 1e-290, None)
    moved = xp.clip((sensitivity + n * EPS) * f.weight_error * 4.0, None, 1.0)
    return Sides(value, rhs, law.error + f.weight_error + detached(rhs) * moved + 16.0 * EPS, 1.0)


def race_tail(f: Facts) -> Sides:
    """(M17): TV(P_n^race, π) ≤ inf_M {E_M + (1 - A_M/M)^n}, over the weights and 512 values between them.

    Gradients are those at the best M found, which moves with its weight where it is one.
    """
    xp, (value, law) = f.xp, _tv(f, "race")
    mass = xp.exp(f.log_draft)
    weighted = f.covered & f.held
    w = xp.where(weighted, xp.exp(xp.clip(xp.where(weighted, f.log_w, 0.0), None, LARGEST_LOG)), 0.0)
    top = xp.clip(detached(f.log_coverage), 0.0, LARGEST_LOG)[..., None]
    step = table(np.arange(GRID) / (GRID - 1.0), mass)
    grid = xp.exp(-1.0 + (top + 1.0) * step)
    trial = xp.concat([xp.where(w > 0, w, float(np.exp(-1.0))), grid], axis=-1)
    # The best M is looked for without a graph, then the bound is taken there.
    masses, weights, trials = (xp.reshape(detached(v), (-1, v.shape[-1])) for v in (mass, w, trial))
    n = xp.reshape(detached(f.n), (-1, 1))
    parts = rows_of(n.shape[0], trial.shape[-1] * mass.shape[-1], BUDGET)
    best = xp.concat(
        [xp.argmin(_tail(xp, masses[part], weights[part], trials[part], n[part]), axis=-1) for part in parts]
    )
    chosen = xp.take_along_axis(trial, xp.reshape(best, (*f.shape, 1)), axis=-1)
    rhs = _tail(xp, mass, w, chosen, f.n[..., None])[..., 0]
    error = law.error + f.weight_error * (2.0 + xp.clip(detached(f.n), None, 1e3)) + 64.0 * EPS
    # a clipped weight has lost its part of E_M
    return Sides(value, rhs, xp.where(detached(f.log_coverage) > LARGEST_LOG, np.inf, error), 1.0)


def _tail(xp: Namespace, mass: Array, w: Array, trial: Array, n: Array) -> Array:
    """E_M + (1 - A_M/M)^n at every M of `trial` (..., T)."""
    each, bound = w[..., None, :], trial[..., None]
    above = xp.clip(each - bound, 0.0, None)
    with np.errstate(under="ignore"):
        tail = xp.squeeze(xp.matmul(above, mass[..., None]), axis=-1)
        reach = xp.squeeze(xp.matmul(each - above, mass[..., None]), axis=-1) / trial
        some = reach < 1.0
        return tail + xp.where(some, xp.exp(n * xp.log1p(-xp.where(some, reach, 0.0))), 0.0)


def dominance(f: Facts, kind: str) -> Sides:
    """(M17): the race's divergence is at most the softmax rule's, for the same n and weights."""
    if kind == "tv":
        (one, race), (other, softmax) = _tv(f, "race"), _tv(f, "softmax")
        return Sides(one, other, race.error + softmax.error + 2.0 * f.weight_error)
    if kind == "kl_forward":
        (one, error), (other, further) = f.kl("race"), f.kl("softmax")
        return Sides(one, other, error + further)
    values, error = [], 2.0 * EPS
    for rule in ("race", "softmax"):
        tv, law = _tv(f, rule)
        values.append(divergence.kl(law.log_prob, f.log_pi))
        size = abs(detached(values[-1]))
        error = error + law.log_error * (2.0 * detached(tv) + 2.0 * size) + 16.0 * EPS * size
    return Sides(values[0], values[1], error)


def rule_limit(f: Facts, rule: str | None = None) -> Sides:
    """(M19): no rule is closer to π than best_tv; the witness is `rule`, or the scheme's own."""
    value, law = _tv(f, rule or f.rule)
    lhs = best_tv(f.log_pi, f.log_draft, Counts(f.n, f.xp.zeros_like(detached(f.n))))
    return Sides(lhs, value, law.error + 4.0 * f.weight_error + (f.outcomes + 16.0) * EPS)


def race_bound(f: Facts, form: str) -> Sides:
    """(M17), one form at a time: TV ≤ 2(1+χ²)/(e n) ("chi2"), half of that ("half"), E_π(1 - 1/w)_+ⁿ ("mean") or
    (1 - 1/C)ⁿ ("minimax"); trivial: 1."""
    xp, (value, law), n = f.xp, _tv(f, "race"), f.n
    if form in ("chi2", "half"):
        rhs = xp.clip((2.0 if form == "chi2" else 1.0) * (1.0 + f.chi2) / (math.e * n), None, 1.0)
        return Sides(value, rhs, law.error + 32.0 * f.weight_error + 16.0 * EPS, 1.0)
    if form == "mean":
        above = f.held & (f.log_w > 0)
        log_w = xp.where(above, xp.clip(xp.where(above, f.log_w, 1.0), None, LARGEST_LOG), 1.0)
        # x e^{-n x} ≤ 1/e n: a relative error of 1/w moves each power by at most 1/e, and (1 - 1/w)ⁿ⁻¹ n/w by 1.
        rhs = xp.sum(xp.where(above, f.pi * xp.exp(n[..., None] * log1mexp(-log_w)), 0.0), axis=-1)
        return Sides(value, rhs, law.error + 16.0 * f.weight_error + (f.outcomes + 16.0) * EPS, 1.0)
    rhs, moved = _missed(f)
    return Sides(value, rhs, law.error + f.weight_error + moved + 16.0 * EPS, 1.0)


def _missed(f: Facts) -> tuple[Array, Array]:
    """((1 - 1/C)ⁿ (...), its error): the error of log C times n (1 - 1/C)ⁿ/(C - 1)."""
    xp = f.xp
    some = f.log_coverage > 0
    with np.errstate(under="ignore"):
        value = xp.where(some, xp.exp(f.n * log1mexp(-xp.where(some, f.log_coverage, 1.0))), 0.0)
    n, grown = detached(f.n), xp.expm1(xp.clip(detached(f.log_coverage), None, 700.0))
    slope = n / xp.clip(grown, 1e-290, None) + n * EPS
    moved = detached(value) * xp.clip(4.0 * slope * f.weight_error, None, 1.0)
    # At C = 1 to rounding and n = 1 the bound itself is of the size of the rounding.
    return value, moved + xp.where(detached(f.n) < 8.0, 16.0 * f.weight_error, 0.0)


def mixture(f: Facts) -> Sides:
    """(M17): P_n^race ≥ p_n π with equality at the heaviest, p_n = 1 - (1 - 1/C)ⁿ: D_∞(π‖P_n) = -log p_n."""
    xp, law = f.xp, f.draft_law("race")
    apart = xp.where(f.held, f.log_pi, 0.0) - xp.where(f.held, law.log_prob, 0.0)
    missed, moved = _missed(f)
    seen = xp.clip(1.0 - missed, 1e-290, None)
    # For large C and small n/C p_n is n/C to first order: 1 - missed would cancel.
    some = f.log_coverage > 0
    log_missed = f.n * log1mexp(-xp.where(some, f.log_coverage, 1.0))
    near = some & (f.log_coverage < 600.0)
    rhs = -xp.log(-xp.expm1(xp.where(near, xp.clip(log_missed, None, -1e-290), -1.0)))
    rhs = xp.where(near, rhs, xp.where(some, f.log_coverage - xp.log(f.n), 0.0))
    error = law.log_error + 4.0 * f.weight_error + moved / detached(seen) + 16.0 * EPS
    far = 8.0 * f.weight_error + 8.0 * EPS * (1.0 + xp.abs(detached(f.log_coverage)))
    error = xp.where(detached(missed) < 0.5, error, law.log_error + far) + f.blind(law.log_prob)
    return Sides(xp.max(xp.where(f.held, apart, -np.inf), axis=-1), rhs, error, scale=1.0)


def _divergence(f: Facts, law: Law, kind: str) -> tuple[Array, Array]:
    """(D(law, π) (...), its error to first order in the errors of the log-probabilities)."""
    xp, log_q = f.xp, law.log_prob
    if kind == "tv":
        return divergence.tv(f.log_pi, log_q), law.error + 2.0 * f.weight_error
    if kind == "kl_forward":
        return f.kl_to(law)
    both = f.held & xp.isfinite(detached(log_q))
    t = xp.where(both, detached(log_q), 0.0) - xp.where(both, detached(f.log_pi), 0.0)
    off = law.log_error + 2.0 * f.weight_error
    if kind == "chi2":
        value = divergence.chi2(log_q, f.log_pi)
        steep = 2.0 * _weighted(xp, detached(log_q), t, both)
    elif kind == "chi2_reverse":
        value = divergence.chi2(f.log_pi, log_q)
        # |x² - 1| + |x - 1| with x = π/P.
        steep = _weighted(xp, detached(f.log_pi), -2.0 * t, both)
        steep = steep + _weighted(xp, detached(f.log_pi), -t, both)
    elif kind == "hockey":
        # γ = 2: Σ (P - 2π)_+; mostly zero, except where the law is far from the tilted policy.
        return divergence.hockey_stick(log_q, f.log_pi, 2.0), 2.0 * law.error + 4.0 * f.weight_error + f.outcomes * EPS
    elif kind == "renyi_half":
        value, steep = divergence.renyi(f.log_pi, log_q, 0.5), 1.0 + 0.0 * off
    else:
        value, steep = divergence.renyi(f.log_pi, log_q, np.inf), 1.0 + 0.0 * off
    size = xp.where(detached(value) < np.inf, xp.abs(detached(value)), 0.0)
    # Where both laws agree to rounding a χ² is the square of that rounding.
    smallest = 16.0 * EPS if kind.startswith("renyi") else 8.0 * off * off
    error = steep * off + smallest + 16.0 * EPS * size
    return value, error if kind in ("kl_reverse", "chi2") else error + f.blind(log_q)


def _weighted(xp: Namespace, log_p: Array, t: Array, where: Array) -> Array:
    """Σ p |e^t - 1| (...) over `where`; e^t may overflow where p e^t does not."""
    large = t > 300.0
    with np.errstate(over="ignore", under="ignore"):
        near = xp.exp(log_p) * xp.abs(xp.expm1(xp.where(large, 0.0, t)))
        terms = xp.where(large, xp.exp(xp.where(large, xp.where(where, log_p, 0.0) + t, 0.0)), near)
        return xp.sum(xp.where(where, terms, 0.0), axis=-1)


def ordered(f: Facts, kind: str) -> Sides:
    """(M17): D(P^race, π) ≤ D(P^softmax, π) at the same n, for any divergence of `_divergence`."""
    (one, error), (other, further) = (_divergence(f, f.draft_law(rule), kind) for rule in ("race", "softmax"))
    return Sides(one, other, error + further)


def decreasing(f: Facts, kind: str) -> Sides:
    """(M17): D(P_{n+1}^race, π) ≤ D(P_n^race, π)."""
    later = f.shared(("law", "race", "n + 1"), lambda rows: rows.draft_law("race", rows.n + 1.0))
    (one, error), (other, further) = (_divergence(f, law, kind) for law in (later, f.draft_law("race")))
    return Sides(one, other, error + further)


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
        value, law = _tv(f, f.rule)
        return Sides(spare, value, error + law.error + 4.0 * f.weight_error)
    lhs = best_tv(f.log_pi, f.log_draft, Counts(f.n, f.xp.zeros_like(detached(f.n))))
    return Sides(1.0 - spare, 1.0 - lhs, error + 4.0 * f.weight_error + (f.outcomes + 16.0) * EPS)
