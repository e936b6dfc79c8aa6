"""Sides of the claims on the race rule (M17) and on what no rule can beat (M19). See sides.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays import detached, rows_of, table
from gsi_theory.draws import Counts
from gsi_theory.facts import Facts
from gsi_theory.law import EPS, Law
from gsi_theory.limits import best_tv
from gsi_theory.logscale import log1mexp
from gsi_theory.sides import Sides, least

__all__ = ["dominance", "race_tail", "race_tv", "rule_limit"]

GRID = 512  # values of M tried between e^-1 and the coverage constant, besides the weights themselves
LARGEST_LOG = 690.0  # e^690 is finite and so is its product with a mass
BUDGET = 1 << 16  # entries of the largest temporary array: a few of them fit the cache


def _tv(f: Facts, rule: str) -> tuple[Any, Law]:
    law = f.draft_law(rule)
    return f.once(("tv", rule), lambda: divergence.tv(f.log_pi, law.log_prob)), law


def race_tv(f: Facts) -> Sides:
    """(M17): TV(P_n^race, π) ≤ min{1, 2(1+χ²)/(e n), (1 - 1/C)^n}."""
    xp, (value, law), n = f.xp, _tv(f, "race"), f.n
    some = f.log_coverage > 0
    log_coverage = xp.where(some, f.log_coverage, 1.0)
    with np.errstate(under="ignore"):
        minimax = xp.where(some, xp.exp(n * log1mexp(-log_coverage)), 0.0)
    rhs = xp.clip(least(2.0 * (1.0 + f.chi2) / (float(np.e) * n), minimax), None, 1.0)
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
    return Sides(value, rhs, error, 1.0)


def _tail(xp: Any, mass: Any, w: Any, trial: Any, n: Any) -> Any:
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


def rule_limit(f: Facts) -> Sides:
    """(M19): no rule is closer to π than best_tv; the scheme's own rule is the witness."""
    value, law = _tv(f, f.rule)
    lhs = best_tv(f.log_pi, f.log_draft, Counts(f.n, f.xp.zeros_like(detached(f.n))))
    return Sides(lhs, value, law.error + 4.0 * f.weight_error + (f.size + 16.0) * EPS)
