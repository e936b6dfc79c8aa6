"""Clipped log-ratios, early exit and first passage: the parts of exponential-noise GSI (our reading of ExpGSI).

Candidates Y_1..Y_n iid from μ score w(Y_i)/T_i with T_i ~ Uniform(0, 1): the race rule (M4). Log-masses and log-weights
are (K,) in nats, log_score = log M, M in the units of w. Two ways not to score all n:

    early exit      score in ascending order of T, stop when no later candidate can win: the law is that of the race
    first passage   keep the first candidate whose score is at least M: the accepted law is μ min(1, w/M) / a

Sources: ExpBoN, arXiv 2609.21899 (its text was not at hand: these are our formulas, proved in THEORY.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.logscale import log1mexp, log_sum
from gsi_theory.errors import InputError, nearest
from gsi_theory.laws.selection_law import as_count
from gsi_theory.types import Floats

__all__ = ["SIDES", "FirstPassage", "clip_log_ratio", "early_exit_calls", "expected_calls", "first_passage"]

SIDES = ("one", "two")


def clip_log_ratio(log_ratio: ArrayLike, clip: float, sides: str = "one") -> Floats:
    """min(ℓ, clip) ("one"), or ℓ clipped to [-clip, clip] ("two"); (K,) nats, clip ≥ 0, inf leaves ℓ as it is.

    Two-sided clipping lets outcomes without base mass win: their ratio becomes e^{-clip}.
    Raises InputError for a clip below 0 or NaN, or unknown sides.
    """
    if not clip >= 0.0:
        raise InputError(f"clip = {clip!r}: give nats ≥ 0 (inf: no clipping)")
    if sides not in SIDES:
        raise InputError(f"sides {sides!r}{nearest(sides, SIDES)}: give one of {', '.join(SIDES)}")
    ratio = np.asarray(log_ratio, dtype=np.float64)
    return np.clip(ratio, -clip if sides == "two" else None, clip)


def expected_calls(log_stop: float, n: int, log_reach: float = 0.0) -> float:
    """(1 - (1 - q·τ)^n)/q with q = e^log_stop, τ = e^log_reach, both at most 1: expected candidates scored.

    Each candidate that is reached stops the search with probability q, and is within reach with probability τ. Exact
    in relative terms from q = 0 (then n·τ) to q = 1.
    """
    n = as_count(n, "n")
    q, tau = float(np.exp(min(log_stop, 0.0))), float(np.exp(min(log_reach, 0.0)))
    # Below 1e-290 the quotient is n·τ to rounding for every n ≤ 2^53, and q·τ might leave float64.
    if q < 1e-290:
        return n * tau
    if q * tau == 1.0:
        return 1.0
    return float(-np.expm1(n * np.log1p(-q * tau)) / q)


def early_exit_calls(
    log_mass: ArrayLike, log_weight: ArrayLike, n: int, log_bound: float, log_score: float = -np.inf
) -> float:
    """Expected number of candidates scored by the lossless early exit of the race rule.

    log_bound = log C', an upper bound of all log-weights. Candidates are scored in ascending order of noise; the search
    stops when the best score so far is at least C'/T_next, or when C'/T_next < M (the score gate, M9: nothing that is
    left can pass). With q = E_μ w/C' and τ = min(1, C'/M) it is (1 - (1 - qτ)^n)/q. Raises InputError if a candidate of
    positive mass weighs more than C'.
    """
    mass, weight = np.asarray(log_mass, dtype=np.float64), np.asarray(log_weight, dtype=np.float64)
    held = np.isfinite(mass)
    top = float(np.max(weight[held]))
    if not top <= log_bound:
        raise InputError(f"log_bound = {log_bound!r} is below the log-weight {top!r}: give an upper bound of all")
    log_reach = 0.0 if log_score == -np.inf else min(0.0, log_bound - log_score)
    return expected_calls(float(log_sum(mass[held] + weight[held])) - log_bound, n, log_reach)


@dataclass(frozen=True)
class FirstPassage:
    """accepted_log_mass (K,); log_p_reject; expected number of candidates scored; log_pass = log a of one candidate."""

    accepted_log_mass: Floats
    log_p_reject: float
    calls: float
    log_pass: float


def first_passage(log_mass: ArrayLike, log_weight: ArrayLike, n: int, log_score: float) -> FirstPassage:
    """Score one candidate after the other and keep the first whose score w/T is at least M = e^log_score.

    One candidate passes with probability a = E_μ min(1, w/M), so the accepted law is μ min(1, w/M)/a, P(reject) =
    (1 - a)^n and (1 - (1 - a)^n)/a candidates are scored in expectation: rejection sampling, exactly π, when M ≥ sup w.
    log_score = -inf keeps the first candidate, +inf none.
    """
    n = as_count(n, "n")
    mass, weight = np.asarray(log_mass, dtype=np.float64), np.asarray(log_weight, dtype=np.float64)
    held = np.isfinite(mass)
    passing = np.zeros(mass.shape)
    if log_score == np.inf:
        passing[:] = -np.inf
    elif log_score > -np.inf:
        passing[held] = np.minimum(weight[held] - log_score, 0.0)
    one = np.where(held, mass + passing, -np.inf)
    log_pass = min(float(log_sum(one)), 0.0)
    # 1 - a from positive terms where a is large, from a where it is small.
    log_miss = float(log_sum(np.where(held, mass, -np.inf) + log1mexp(passing)))
    if log_pass < -np.log(2.0):
        log_miss = float(log1mexp(np.array(log_pass)))
    log_reject = n * min(log_miss, 0.0)
    share = float(log1mexp(np.array(log_reject))) - log_pass if log_pass > -np.inf else 0.0
    return FirstPassage(one + share, log_reject, expected_calls(log_pass, n), log_pass)
