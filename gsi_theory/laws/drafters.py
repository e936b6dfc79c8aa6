"""Several drafters p_1..p_m with n_j draws from each, selected by the balance heuristic (M20).

Symbols. log_drafters (m, K) log-probabilities; counts (m,) whole numbers n_j ≥ 0, n their sum; p_mix = Σ (n_j/n) p_j;
log_weight (K,) nats, up to a constant: log(π/p_mix) for the balance heuristic. Two allocations:

    random   n draws iid from p_mix: `selection_law` with p_mix, and all its bounds
    fixed    exactly n_j draws from p_j, all in one selection by rule softmax or race: `fixed_allocation_law`

The pooled hybrid of n_S draft and n_B base candidates is the case m = 2. Outcomes that no drafter has never matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory import divergence
from gsi_theory.arrays.logscale import decayed_log_cumsum, log_sum, normalize
from gsi_theory.arrays.namespace import log_of_either, rows_of
from gsi_theory.arrays.quadrature import STEP
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import MOST
from gsi_theory.laws.selection_law import Law, as_count, selection_law
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.softmax_bands import BUDGET, windows
from gsi_theory.types import Floats

__all__ = [
    "FIXED_RULES",
    "balance_log_weight",
    "fixed_allocation_bound",
    "fixed_allocation_law",
    "log_mixture",
    "random_allocation_law",
]

EPS = float(np.finfo(np.float64).eps)
# Step and windows as for (M3), with the errors proved there in THEORY.md; the proof covers products of several φ_j.
QUADRATURE_ERROR = 1e-16
# Exponents beyond e^700 leave float64; exp(-e^700) is zero.
LARGEST_RATE = 700.0
# Gauss-Legendre in a piece of the race integral over which the integrand falls by at most e^45: 32 nodes leave a
# relative e^-63, and what is cut off is below e^-43 (THEORY.md, M20).
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(32)
NODES, NODE_WEIGHTS = 0.5 * (NODES + 1.0), 0.5 * NODE_WEIGHTS
FALL = 45.0


def _checked(log_drafters: ArrayLike, counts: Sequence[int]) -> tuple[Floats, Floats]:
    """Drafters that draw at all, normalized (m, K), and their counts (m,) as floats."""
    drafters = np.atleast_2d(np.asarray(log_drafters, dtype=np.float64))
    if drafters.ndim != 2 or drafters.shape[0] != len(counts) or drafters.shape[1] == 0:
        raise InputError(
            f"drafters {drafters.shape} with {len(counts)} counts: give (m, K) log-probabilities and m counts"
        )
    used = [j for j, count in enumerate(counts) if count != 0]
    numbers = [as_count(counts[j], f"counts[{j}]") for j in used]
    if not 1 <= sum(numbers) <= MOST:
        raise InputError(f"the sum of counts = {sum(numbers)}: give 1 to 2^53 draws in all")
    for j in used:
        total = float(log_sum(drafters[j])) if not np.any(np.isnan(drafters[j])) else float("nan")
        if not abs(total) <= 1e-9:
            raise InputError(f"drafter {j} sums to {np.exp(total)!r}: give log-probabilities that sum to 1 within 1e-9")
    return np.stack([normalize(drafters[j]) for j in used]), np.array(numbers, dtype=np.float64)


def log_mixture(log_drafters: ArrayLike, counts: Sequence[int]) -> Floats:
    """log p_mix (K,) with p_mix = Σ (n_j/n) p_j (M20). Raises InputError on masses off one or no draws at all."""
    drafters, numbers = _checked(log_drafters, counts)
    return normalize(log_sum(drafters + np.log(numbers / numbers.sum())[:, None], axis=0))


def balance_log_weight(log_target: ArrayLike, log_drafters: ArrayLike, counts: Sequence[int]) -> Floats:
    """log(π/p_mix) (K,), the balance heuristic (M20); -inf where no drafter has mass. π may be unnormalized."""
    mix, target = log_mixture(log_drafters, counts), np.asarray(log_target, dtype=np.float64)
    held = np.isfinite(mix)
    return np.where(held, target, -np.inf) - np.where(held, mix, 0.0)


def random_allocation_law(
    log_drafters: ArrayLike, log_weight: ArrayLike, counts: Sequence[int], rule: str | Rule = "softmax"
) -> Law:
    """Law of the winner when each of the n draws first picks drafter j with probability n_j/n (M20): M2 on p_mix."""
    return selection_law(log_mixture(log_drafters, counts), log_weight, int(sum(counts)), rule)


def fixed_allocation_law(
    log_drafters: ArrayLike, log_weight: ArrayLike, counts: Sequence[int], rule: str | Rule = "softmax"
) -> Law:
    """Law of the winner among exactly n_j draws from each p_j, by rule "softmax" or "race" (M20).

    If all drawn have weight zero the winner is uniform among them. Costs O(K·nodes·m). Raises InputError on other
    rules, masses off one, weights that are NaN or +inf where a drafter has mass.
    """
    drafters, numbers = _checked(log_drafters, counts)
    weight = np.asarray(log_weight, dtype=np.float64)
    rule = str(rule)
    if rule not in FIXED_RULES:
        raise InputError(f"rule {rule!r} with a fixed allocation: give one of {', '.join(FIXED_RULES)}")
    log_integrals, terms = FIXED_RULES[rule]
    if weight.shape != drafters.shape[1:]:
        raise InputError(f"log_weight of shape {weight.shape}: give {drafters.shape[1]} log-weights")
    held = np.any(np.isfinite(drafters), axis=0)
    bad = np.flatnonzero(held & ~(weight < np.inf))
    if bad.size:
        raise InputError(f"log_weight[{bad[0]}] = {weight[bad[0]]}: give nats below inf where a drafter has mass")
    zero, live = np.flatnonzero(held & (weight == -np.inf)), np.flatnonzero(held & (weight > -np.inf))
    order = live[np.argsort(-weight[live], kind="stable")]
    log_prob = np.full(weight.shape, -np.inf)
    zero_mass, live_mass = np.exp(drafters[:, zero]).sum(axis=1), np.exp(drafters[:, order]).sum(axis=1)
    if zero.size:
        with np.errstate(divide="ignore"):
            log_zero = np.where(live_mass < 0.5, np.log1p(-np.minimum(live_mass, 0.5)), np.log(zero_mass))
        log_power = _log_powers(log_zero[:, None], numbers)
        log_prob[zero] = log_sum((np.log(numbers / numbers.sum()))[:, None] + drafters[:, zero] + log_power, axis=0)
    if order.size:
        log_integral = log_integrals(drafters[:, order], weight[order], numbers, zero_mass)
        log_prob[order] = log_sum(np.log(numbers)[:, None] + drafters[:, order] + log_integral, axis=0)
    return _with_error(np.minimum(log_prob, 0.0), terms(log_prob.size))


def _with_error(log_prob: Floats, terms: float) -> Law:
    """Rounding as for `selection_law`: sums of positive terms, and powers at relative precision of the deficit."""
    visible = log_prob[log_prob > np.log(1e-300)]
    log_error = QUADRATURE_ERROR + EPS * (8.0 * terms + 60.0 + float(np.max(-visible, initial=0.0)))
    p = np.exp(visible)
    error = 0.5 * float(p @ (QUADRATURE_ERROR + EPS * (8.0 * np.log2(log_prob.size + 1.0) + 124.0 - visible)))
    # The sum of the numbers is a free check: the deviation from one is error that happened.
    return Law(log_prob, max(error, 0.5 * abs(float(p.sum()) - 1.0)) + 1e-300 * log_prob.size, log_error)


def _log_powers(log_base: Floats, counts: Floats) -> Floats:
    """Row j: log of b_j^{n_j - 1} Π_{i≠j} b_i^{n_i} for log_base (m, ...) = log b; b⁰ = 1, also for b = 0."""
    rows = []
    for j in range(counts.size):
        power = counts - (np.arange(counts.size) == j)
        terms = [power[i] * log_base[i] if power[i] else np.zeros_like(log_base[i]) for i in range(counts.size)]
        rows.append(np.sum(terms, axis=0))
    return np.stack(rows)


def _fixed_softmax(drafters: Floats, log_weight: Floats, counts: Floats, zero_mass: Floats) -> Floats:
    """log w(y) ∫ e^{-t w(y)} φ_j^{n_j - 1} Π_{i≠j} φ_i^{n_i} dt, (m, K), by the trapezoid rule in log-time (M20)."""
    right = float(np.log(800.0 - np.min(drafters[np.isfinite(drafters)])))
    x = windows(log_weight, float(np.log(counts.sum())), right)
    mass = np.exp(drafters)
    log_phi = np.empty((counts.size, x.size))
    for block in rows_of(x.size, log_weight.size, BUDGET):
        rate = np.exp(np.minimum(x[block, None] + log_weight, LARGEST_RATE))
        deficit, kept = mass @ -np.expm1(-rate).T, mass @ np.exp(-rate).T + zero_mass[:, None]
        log_phi[:, block] = log_of_either(kept, deficit)
    log_power = _log_powers(log_phi, counts)
    out = np.empty_like(drafters)
    for block in rows_of(log_weight.size, x.size, BUDGET):
        u = x + log_weight[block, None]
        inside = u - np.exp(np.minimum(u, LARGEST_RATE))
        for j in range(counts.size):
            out[j, block] = log_sum(inside + log_power[j])
    return out + np.log(STEP)


def _fixed_race(drafters: Floats, log_weight: Floats, counts: Floats, zero_mass: Floats) -> Floats:
    """log w(y) ∫_0^{1/w(y)} A_j^{n_j - 1} Π_{i≠j} A_i^{n_i} dv, A_i(v) = Σ p_i (1 - v w)_+, (m, K) (M20).

    Between breakpoints 1/w_{k-1} and 1/w_k every A_i is linear; lengths are in units of 1/w_k, so wide log-weights cost
    no digits. In each piece ξ in [0, ξ'] with ξ'·|slope of the log-integrand at 0| ≤ FALL is integrated.
    """
    m, size = drafters.shape
    gap = np.r_[0.0, log_weight[:-1] - log_weight[1:]]
    length = np.r_[1.0, -np.expm1(-gap[1:])]
    back = np.r_[gap[1:], 0.0][::-1]
    slope = np.exp(
        np.stack([decayed_log_cumsum(row[::-1], back)[::-1] for row in drafters])
    )  # Σ_{j ≥ k} p_ij w_j / w_k
    fall = slope * length  # A_i at the left end of piece k minus at the right end
    end = np.c_[np.cumsum(fall[:, :0:-1], axis=1)[:, ::-1], np.zeros(m)] + zero_mass[:, None]
    dead = np.c_[np.zeros(m), np.cumsum(np.exp(drafters), axis=1)[:, :-1]]
    start = end + fall
    steepness = counts @ np.divide(fall, start, out=np.zeros_like(fall), where=start > 0)
    reach = np.minimum(1.0, FALL / np.maximum(steepness, 1e-300))
    pieces = np.empty_like(drafters)
    for block in rows_of(size, NODES.size * m, BUDGET):
        xi = reach[block, None] * NODES
        place = np.exp(-gap[block, None]) * (np.arange(size)[block, None] > 0) + length[block, None] * xi
        kept = end[:, block, None] + fall[:, block, None] * (1.0 - xi)
        log_a = log_of_either(kept, dead[:, block, None] + slope[:, block, None] * place)
        pieces[:, block] = log_sum(_log_powers(log_a, counts) + np.log(NODE_WEIGHTS))
    with np.errstate(divide="ignore"):
        pieces = pieces + np.log(reach * length)
    return np.stack([decayed_log_cumsum(row, gap) for row in pieces])


# rule -> (log w(y) ∫ … of each drafter (m, K), how many roundings a sum of K terms carries)
FIXED_RULES: dict[str, tuple[Callable[[Floats, Floats, Floats, Floats], Floats], Callable[[int], float]]] = {
    "softmax": (_fixed_softmax, lambda size: float(np.log2(size + 1.0)) + 8.0),
    "race": (_fixed_race, lambda size: size + 8.0),
}


def fixed_allocation_bound(log_target: ArrayLike, log_drafters: ArrayLike, counts: Sequence[int]) -> float:
    """log(1 + (1 + χ²(π‖p_mix) - min_j E_{p_j} w)/n), which KL(π‖law) of the fixed allocation does not exceed (M20).

    For rule softmax with balance weights; log_target normalized. +inf where no drafter has some of π's mass.
    """
    drafters, numbers = _checked(log_drafters, counts)
    target = normalize(np.asarray(log_target, dtype=np.float64))
    chi2 = divergence.chi2(target, log_mixture(drafters, numbers.astype(np.int64).tolist()))
    if chi2 == np.inf:
        return float("inf")
    weight = balance_log_weight(target, drafters, numbers.astype(np.int64).tolist())
    held = np.isfinite(weight)
    least = min(float(np.sum(np.exp(row[held] + weight[held]))) for row in drafters)
    return float(np.log1p((1.0 + chi2 - least) / numbers.sum()))
