"""The law of the winner of n draws: M2-M5, plus the score-gated race of M9. Arrays in, arrays out.

Symbols. K candidates with masses μ (log_mass, shape (K,), summing to one) and log-weights lw (nats, shape (K,), not
normalized; -inf is weight zero). n candidates are drawn iid from μ, candidate i scores w(Y_i)/T_i, the largest wins:

    softmax   T ~ Exp(1)       (M3)    chosen with probability w_i / Σ w_j
    race      T ~ Uniform(0,1) (M4)
    max       T constant       (M5)    ties shared in proportion to mass

Conventions. Candidates of mass zero never matter, whatever their weight. If all n drawn have weight zero, the
winner is uniform among them (the limit of equal weights tending to zero).

Errors. `Law.log_error` bounds |error| of every log-probability above log(1e-300); `Law.error` bounds the TV error of
the numbers. Both are for the weights as given; rounding in forming them is the caller's (see gate.py).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gsi_theory.errors import InputError
from gsi_theory.logscale import Array, decayed_log_cumsum, log1mexp, log_sum, normalize

__all__ = ["RULES", "Law", "as_count", "score_gated_race", "selection_law"]

Indices = NDArray[np.intp]
EPS = float(np.finfo(np.float64).eps)

# Trapezoid step in log-time. The integrand of (M3) is analytic for |Im x| < π/2 and there bounded by its real part's
# integral / cos a, so the relative error is ≤ 2 / (cos a · (e^{2πa/h} - 1)) for every a < π/2 (THEORY.md, M3):
# 4e-18 at h = 7/32, a = 1.536. A dyadic step keeps every node j·h exact, and x + lw exact near cancellation.
STEP = 7.0 / 32.0
STEP_ERROR = 1e-17
# e^{-LEFT} is what a candidate still adds to n(1 - φ) at the left edge of its window: the relative truncation.
LEFT = 42.0
LARGEST_LOG = 1e12
TRUNCATION_ERROR = 4.0 * float(np.exp(-LEFT + 2.0)) / STEP


@dataclass(frozen=True)
class Law:
    """log_prob (K,): log-probabilities of the winner; error: bound on their TV error; log_error: on each (nats)."""

    log_prob: Array
    error: float
    log_error: float


def as_count(value: object, name: str) -> int:
    """`value` as an integer ≥ 1 (NumPy integers and integral floats pass); InputError names `name` otherwise."""
    try:
        count = operator.index(value) if not isinstance(value, float) else int(value)  # type: ignore[arg-type]
        whole = count == value
    except (TypeError, ValueError, OverflowError):
        count, whole = 0, False
    if not whole or count < 1 or count > 2**53:
        raise InputError(f"{name} = {value!r}: give a whole number from 1 to 2^53")
    return count


def _windows(log_weight: Array, n: int, right: float) -> Array:
    """Nodes x = j·STEP in the union over candidates of [-lw - log n - LEFT, -lw + right], ascending.

    Between windows φ is constant and the integrand grows like e^x up to the next window, so what is left out is a
    relative e^{-LEFT} (THEORY.md, M3).
    """
    low = np.floor((-log_weight - np.log(n) - LEFT) / STEP)
    high = np.ceil((-log_weight + right) / STEP)
    order = np.argsort(low)
    low, high = low[order], np.maximum.accumulate(high[order])
    starts = np.flatnonzero(np.r_[True, low[1:] > high[:-1] + 1])
    ends = np.r_[starts[1:] - 1, low.size - 1]
    return STEP * np.concatenate([np.arange(low[s], high[e] + 1) for s, e in zip(starts, ends, strict=True)])


def _log_phi(x: Array, log_mass: Array, log_weight: Array, n: int, right: float, zero_mass: float) -> Array:
    """log φ(e^x) of (M3) at ascending nodes; lw descending. Sums only positive terms, 1 - φ below φ = ½."""
    mass = np.exp(log_mass)
    gone = np.r_[0.0, np.cumsum(mass)]
    left = np.r_[np.cumsum(mass[::-1])[::-1], 0.0] + zero_mass
    out = np.empty_like(x)
    for block in _blocks(x.size, max(1, (1 << 20) // max(1, log_weight.size))):
        nodes = x[block]
        first = int(np.searchsorted(-log_weight, -(right - nodes[0]), side="left"))
        last = int(np.searchsorted(-log_weight, nodes[-1] + np.log(n) + LEFT, side="right"))
        rate = np.exp(np.minimum(nodes[:, None] + log_weight[None, first:last], right))
        deficit = gone[first] + -np.expm1(-rate) @ mass[first:last]
        kept = left[last] + np.exp(-rate) @ mass[first:last]
        with np.errstate(divide="ignore"):
            out[block] = np.where(deficit < 0.5, np.log1p(-np.minimum(deficit, 0.5)), np.log(kept))
    return out


def _blocks(size: int, step: int) -> list[slice]:
    return [slice(i, min(i + step, size)) for i in range(0, size, step)]


def _softmax(log_mass: Array, log_weight: Array, n: int, zero_mass: float) -> Array:
    """(M3) by the trapezoid rule in log-time; lw finite and descending. Returns log P, shape (K,)."""
    right = float(np.log(800.0 - log_mass.min()))
    x = _windows(log_weight, n, right)
    log_power = (n - 1) * _log_phi(x, log_mass, log_weight, n, right, zero_mass)
    # log Σ_{j ≤ i} e^{x_j - x_i} φ_j^{n-1}: left of a candidate's window exp(-e^{x+lw}) is 1 to rounding.
    before = decayed_log_cumsum(log_power, np.diff(x, prepend=x[0]))
    out = np.empty_like(log_mass)
    for block in _blocks(log_weight.size, 64):
        lw = log_weight[block]
        first = int(np.searchsorted(x, -lw[0] - LEFT))
        last = int(np.searchsorted(x, -lw[-1] + right, side="right"))
        u = x[None, first:last] + lw[:, None]
        inside = log_sum(u - np.exp(np.minimum(u, 700.0)) + log_power[None, first:last])
        out[block] = np.logaddexp(before[first - 1] + (x[first - 1] + lw), inside) if first else inside
    return np.log(n) + np.log(STEP) + log_mass + out


def _race(log_mass: Array, log_weight: Array, n: int, zero_mass: float) -> tuple[Array, Array]:
    """(M4) in closed form; lw finite and descending. Returns (log of w_k n ∫_0^{1/w_k} A^{n-1}, log A(1/w_k)), (K,).

    A(v) is piecewise linear with A' = -S_k between the breakpoints 1/w_{k-1} and 1/w_k, S_k = Σ_{j ≥ k} μ_j w_j. A
    (summed upward from the smallest weight) and 1 - A are both sums of positive terms, so A^n keeps its relative
    accuracy, and everything is relative to w_k, so log-weights of 1e6 cost no digits.
    """
    gap = np.r_[0.0, log_weight[:-1] - log_weight[1:]]
    log_r = decayed_log_cumsum(log_mass[::-1], np.r_[gap[1:], 0.0][::-1])[::-1]  # log S_k / w_k
    drop = np.exp(log_r) * -np.expm1(-gap)  # A(1/w_{k-1}) - A(1/w_k), k ≥ 1
    a = np.r_[np.cumsum(drop[:0:-1])[::-1], 0.0] + zero_mass
    heavier = np.r_[0.0, np.cumsum(np.exp(log_mass))[:-1]]
    deficit = np.minimum(heavier + np.exp(log_r), 1.0)
    with np.errstate(divide="ignore"):
        log_a = np.where(deficit < 0.5, np.log1p(-np.minimum(deficit, 0.5)), np.log(a))
        previous = np.r_[0.0, log_a[:-1]]
        live = np.isfinite(previous)
        share = np.r_[deficit[0], drop[1:] / np.maximum(a[:-1], np.finfo(float).tiny)]
        ratio = np.where(live, log_a, 0.0) - np.where(live, previous, 0.0)
        step = np.minimum(np.where(share < 0.5, np.log1p(-np.minimum(share, 0.5)), ratio), 0.0)
        log_piece = np.where(live & (step < 0), n * previous + log1mexp(n * step), -np.inf)
    log_piece = np.where(np.isfinite(log_piece), log_piece - np.where(np.isfinite(log_r), log_r, 0.0), -np.inf)
    return decayed_log_cumsum(log_piece, gap), log_a


def _max(log_mass: Array, log_weight: Array, n: int, zero_mass: float) -> Array:
    """(M5): F^n - F_-^n over level sets of w (exact equality of log-weights), shared in proportion to mass."""
    level = np.r_[0, np.cumsum(np.diff(log_weight) != 0)]
    size = np.bincount(level, weights=np.exp(log_mass))
    above = np.r_[0.0, np.cumsum(size)[:-1]]
    below = np.r_[np.cumsum(size[::-1])[::-1][1:], 0.0] + zero_mass
    with np.errstate(divide="ignore"):
        log_f = np.where(above < 0.5, np.log1p(-np.minimum(above, 0.5)), np.log(below + size))
        share = size / (below + size)
        step = np.where(share < 0.5, np.log1p(-np.minimum(share, 0.5)), np.log(below) - np.log(below + size))
        won = n * log_f + log1mexp(n * np.minimum(step, 0.0))
        return log_mass + (won - np.log(size))[level]


RULES = ("softmax", "race", "max")


def _checked(log_mass: ArrayLike, log_weight: ArrayLike, rule: str) -> tuple[Array, Array]:
    mass, weight = np.asarray(log_mass, dtype=np.float64), np.asarray(log_weight, dtype=np.float64)
    if rule not in RULES:
        raise InputError(f"rule {rule!r}: give one of {', '.join(RULES)}")
    if mass.ndim != 1 or mass.shape != weight.shape or mass.size == 0:
        raise InputError(f"log_mass {mass.shape} and log_weight {weight.shape}: give vectors of one length K ≥ 1")
    for name, values in (("log_mass", mass), ("log_weight", weight)):
        beyond = np.isfinite(mass) & (values > -np.inf) & (np.abs(values) > LARGEST_LOG)
        bad = np.flatnonzero(np.isnan(values) | beyond)
        if bad.size:
            raise InputError(f"{name}[{bad[0]}] = {values[bad[0]]}: give -inf or numbers within ±{LARGEST_LOG:g} nats")
    total = float(log_sum(mass))
    if abs(total) > 1e-9:
        raise InputError(f"exp(log_mass) sums to {np.exp(total)!r}: give masses that sum to 1 within 1e-9")
    return normalize(mass), weight


def _split(mass: Array, weight: Array) -> tuple[Indices, Indices, float]:
    """(order of the positive-weight candidates, weight descending; indices of weight zero; their mass)."""
    held = np.isfinite(mass)
    zero = np.flatnonzero(held & (weight == -np.inf))
    live = np.flatnonzero(held & (weight > -np.inf))
    return live[np.argsort(-weight[live], kind="stable")], zero, float(np.sum(np.exp(mass[zero])))


def _rounding(size: int, n: int, log_share: Array, rule: str) -> float:
    """Bound on the rounding of a log-probability: sums of `size` positive terms, and exponents read back from logs.

    A sum of m positive terms carries (log2 m + 2) units by pairwise summation in NumPy; running sums carry one unit a
    term in the worst case. n·log A is at most 745 where a probability above 1e-300 comes from, at relative precision
    of the deficit.
    """
    terms = np.log2(size + 1.0) + 8.0 if rule == "softmax" else size + 8.0
    exponent = 60.0 + float(np.max(np.minimum(np.abs(log_share), 745.0), initial=0.0))
    return EPS * (terms * (2.0 if n == 1 else 8.0) + exponent)


def selection_law(log_mass: ArrayLike, log_weight: ArrayLike, n: int, rule: str = "softmax") -> Law:
    """Law of the candidate selected among n draws (M2): softmax (M3), race (M4) or max (M5).

    log_mass (K,) sums to one within 1e-9 (then normalized); log_weight (K,) in nats up to a constant, -inf legal,
    +inf only where the mass is zero; 1 ≤ n ≤ 2^53. Raises InputError otherwise.
    """
    n = as_count(n, "n")
    mass, weight = _checked(log_mass, log_weight, rule)
    if n == 1:
        return Law(mass, EPS * 4, EPS * 4)
    order, zero, zero_mass = _split(mass, weight)
    log_prob = np.full(mass.shape, -np.inf)
    if zero.size:
        # From the other side where it is near one: (n - 1)·log m₀ would carry n units of rounding of m₀.
        live_mass = float(np.sum(np.exp(mass[order])))
        log_zero = float(np.log1p(-live_mass) if live_mass < 0.5 else np.log(zero_mass))
        log_prob[zero] = mass[zero] + (n - 1) * log_zero
    if order.size:
        lm, lw = mass[order], weight[order]
        if rule == "softmax":
            log_prob[order] = _softmax(lm, lw, n, zero_mass)
        elif rule == "race":
            log_prob[order] = lm + _race(lm, lw, n, zero_mass)[0]
        else:
            log_prob[order] = _max(lm, lw, n, zero_mass)
    return _with_error(np.minimum(log_prob, 0.0), mass, n, rule)


def _with_error(log_prob: Array, mass: Array, n: int, rule: str) -> Law:
    held = log_prob > np.log(1e-300)
    log_error = _rounding(mass.size, n, log_prob[held], rule)
    if rule == "softmax":
        log_error += STEP_ERROR + TRUNCATION_ERROR
    with np.errstate(under="ignore"):
        p = np.exp(log_prob)
    weighted = EPS * (np.log2(mass.size + 1.0) + 70.0 - np.where(held, log_prob, 0.0))
    tv_error = 0.5 * float(np.sum(p * np.minimum(weighted, log_error)))
    # The sum of the numbers is a free check: the deviation from one is error that happened.
    return Law(log_prob, max(tv_error, 0.5 * abs(float(np.sum(p)) - 1.0)) + 1e-300 * mass.size, log_error)


def score_gated_race(log_mass: ArrayLike, log_weight: ArrayLike, n: int, log_score: float) -> tuple[Array, float]:
    """Race rule, accepted when the winning score w/T is at least exp(log_score) (M9).

    Returns (accepted log-mass (K,), log P(reject)): the accepted mass of y is n μ w ∫_0^{min(1/w, 1/M)} A(v)^{n-1} dv,
    and P(reject) = A(1/M)^n. log_score = -inf accepts always, +inf never.
    """
    n = as_count(n, "n")
    mass, weight = _checked(log_mass, log_weight, "race")
    order, _, zero_mass = _split(mass, weight)
    if log_score == -np.inf:
        return selection_law(mass, weight, n, "race").log_prob, -np.inf
    if log_score == np.inf or order.size == 0:
        return np.full(mass.shape, -np.inf), 0.0
    # The gate is one more breakpoint: a candidate of mass zero whose weight is M. Past it the integral stands still.
    lm, lw = mass[order], weight[order]
    position = int(np.searchsorted(-lw, -log_score, side="right"))
    log_integral, log_a = _race(np.insert(lm, position, -np.inf), np.insert(lw, position, log_score), n, zero_mass)
    accepted = np.full(mass.shape, -np.inf)
    accepted[order[:position]] = lm[:position] + log_integral[:position]
    accepted[order[position:]] = lm[position:] + log_integral[position] + (lw[position:] - log_score)
    return np.minimum(accepted, 0.0), float(n * log_a[position])
