"""The race rule (M4) in closed form after one sort, and its gate on the winning score (M9).

Rows are independent laws: mass, log_weight (B, K) and counts (B, M) give (B, M, K). With weights descending,
A(v) = Σ μ (1 - v w)_+ is piecewise linear between the breakpoints 1/w_k, with slope -S_k, S_k = Σ_{j ≥ k} μ_j w_j, so

    w_k ∫_0^{1/w_k} G'(A(v)) dv = Σ_{i ≤ k} (w_k / S_i) (G(A_{i-1}) - G(A_i)),   A_i = A(1/w_i).

A (summed upward from the smallest weight) and 1 - A are both sums of positive terms, so G(A) keeps its relative
accuracy; everything is relative to w_k, so log-weights of 1e6 cost no digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import array_api_compat
import numpy as np

from gsi_theory.arrays.logscale import decayed_log_cumsum
from gsi_theory.arrays.namespace import (
    COMPILED,
    detached,
    divided,
    exp_of,
    expm1_of,
    highest,
    host,
    is_numpy,
    log1p_of,
    log_of,
    log_of_either,
    lowest,
    running_sum,
    table,
    times,
)
from gsi_theory.arrays.ranked_rows import ranked
from gsi_theory.laws.draws import Counts
from gsi_theory.rules import race_subsets
from gsi_theory.rules.max import compiled_rows, summed_rounding
from gsi_theory.rules.rule import Rule, ScoreGate
from gsi_theory.rules.softmax import exponential
from gsi_theory.types import Array, Floats, Ints, Namespace

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_law import Levels, LogWeight

__all__ = ["RACE", "fall_linear", "log_fall", "log_ratio", "ratio_bound", "score_gate", "tv_curve"]

# Sums are kept on the linear scale while the least of them, mass times weight of the lightest, is above e^{-LINEAR}.
LINEAR = 650.0
NEAR = 32.0  # nats below the largest weight at which what their difference rounds off is still within the error
TINY = 2.3e-308
BELOW = 1e290  # stands for -log 0 where an infinity would meet a zero


def log_ratio(mass: Array, log_weight: Array, counts: Counts, zero_mass: Array) -> Array:
    """log P(y)/μ(y) (B, M, K); log_weight finite (any number where mass is zero)."""
    xp = array_api_compat.array_namespace(mass, log_weight)
    if _large(mass, log_weight, counts, zero_mass):
        out = np.empty((*counts.fixed.shape, mass.shape[1]))
        for row in zip(mass, log_weight, counts.fixed, out, strict=True):
            _large_row(*row)
        return out
    log_weight = _used(xp, mass, log_weight)
    order = xp.argsort(log_weight, axis=-1, descending=True, stable=False)
    integral, _ = _integral(xp, _rank(xp, mass, order), _rank(xp, log_weight, order), counts, zero_mass)
    return _restore(xp, integral, order)


def _large(mass: Array, log_weight: Array, counts: Counts, zero_mass: Array) -> bool:
    """Whether rows are long, plain and on the linear scale."""
    if not compiled_rows(mass, counts, zero_mass):
        return False
    return highest(log_weight) - lowest(log_weight) - float(np.log(lowest(mass))) <= LINEAR


def _large_row(mass: Array, log_weight: Array, n: Array, out: Array) -> None:
    """`log_ratio` of one row (K,) for fixed n (M,), into out (M, K). Arrays serve twice: new ones cost page faults."""
    from gsi_theory.arrays.kernels import race_collect, race_powers, race_walk

    order, weight, first = ranked(log_weight, mass)
    second, share = np.empty_like(mass), np.zeros_like(mass)
    np.subtract(weight[1:], weight[:-1], out=share[1:])
    scale = _scale(weight, weight[0])
    del weight
    slope, log_a = np.empty_like(mass), np.empty_like(mass)
    near = race_walk(first, scale, expm1_of(share), slope, log_a, second)
    with np.errstate(divide="ignore"):
        log1p_of(log_a[:near])
        log_of(log_a[near:])
        log1p_of(share)
    for row, count in zip(out, n, strict=True):
        race_powers(log_a, share, count, first, second)
        race_collect(exp_of(first), expm1_of(second), slope, scale, order, row)
        log_of(row)


def _scale(log_weight: Array, top: Array) -> Array:
    """w/w_top of log-weights (..., K) descending from top.

    Far below the top, neighbors would be moved against each other by the rounding of their differences from it: that
    is put back (Knuth's two-sum).
    """
    below = log_weight - top
    if lowest(below[..., -1]) >= -NEAR:
        return exp_of(below)
    part = below - log_weight
    lost = (log_weight - (below - part)) - (top + part)
    return times(exp_of(below), 1.0 + lost)


def _rank(xp: Namespace, values: Array, order: Array) -> Array:
    return xp.take_along_axis(values, order, axis=-1)


def _restore(xp: Namespace, ranked: Array, order: Array) -> Array:
    """Ranked (B, M, K) in the order of the candidates."""
    back = xp.argsort(order, axis=-1, stable=False)
    return xp.take_along_axis(ranked, xp.broadcast_to(back[:, None, :], ranked.shape), axis=-1)


def _used(xp: Namespace, mass: Array, log_weight: Array) -> Array:
    """log_weight with candidates of mass zero moved among the others: they must not widen the spread."""
    used = host(mass) > 0
    if used.all():
        return log_weight
    low = np.min(np.where(used, host(log_weight), np.inf), axis=-1, keepdims=True)
    return xp.where(table(used, mass), log_weight, table(np.where(np.isfinite(low), low, 0.0), mass))


def _integral(xp: Namespace, mass: Array, log_weight: Array, counts: Counts, zero_mass: Array) -> tuple[Array, Array]:
    """(log of w_k ∫_0^{1/w_k} G'(A)/P(N ≥ 1) (B, M, K), (log A_k, 1 - A_k) (B, K)); weights descending."""
    gap = _gap(xp, log_weight)
    lightest = lowest(mass) or lowest(xp.where(mass > 0, mass, 1.0))
    linear = highest(log_weight[:, 0] - log_weight[:, -1]) - float(np.log(lightest)) <= LINEAR
    fall = fall_linear(xp, mass, log_weight, zero_mass) if linear else _fall_wide(xp, mass, gap, zero_mass)
    log_a, quotient = log_fall(xp, fall)
    drop = fall.drop[:, None, :]
    before = _after(xp, fall.deficit)[:, None, :]
    previous = _after(xp, log_a)
    if not lowest(previous) > -xp.inf:
        live = previous > -xp.inf
        previous, quotient = xp.where(live, previous, -BELOW), xp.where(live, quotient, 0.0)
    if not lowest(quotient) > -xp.inf:
        quotient = xp.where(quotient > -xp.inf, quotient, -BELOW)
    if linear:
        level = counts.log_pgf(previous[:, None, :], before)
        terms = times(exp_of(level), expm1_of(counts.log_pgf_step(quotient[:, None, :], drop)))
        slope = fall.slope if lowest(fall.slope) > 0 else xp.where(fall.slope > 0, fall.slope, xp.inf)
        total = running_sum(divided(terms, -slope[:, None, :]))
        if counts.random:
            total = divided(total, counts.some[..., None])
        integral = log_of(times(total, fall.scale[:, None, :]))
    else:
        # fall.slope is here S_k / w_k, on its own scale.
        slope = xp.where(fall.slope > 0, fall.slope, xp.inf)
        terms = counts.log_fall(previous[:, None, :], before, quotient[:, None, :], drop) - xp.log(slope)[:, None, :]
        integral = decayed_log_cumsum(terms, xp.broadcast_to(gap[:, None, :], terms.shape))
    return integral, (log_a, fall.deficit)


def _after(xp: Namespace, values: Array) -> Array:
    """Each entry's predecessor, 0 for the first: a function of A just before a breakpoint."""
    return xp.concat([xp.zeros_like(values[:, :1]), values[:, :-1]], axis=-1)


@dataclass(frozen=True)
class _Fall:
    """A along the breakpoints, (B, K) each: scale w_k / w_0 (where kept), slope S_k / w_0 (or S_k / w_k), drop
    A_{k-1} - A_k, share drop / A_{k-1}, A_k, deficit 1 - A_k."""

    scale: Array
    slope: Array
    drop: Array
    share: Array
    a: Array
    deficit: Array


def _gap(xp: Namespace, log_weight: Array) -> Array:
    return xp.concat([xp.zeros_like(log_weight[:, :1]), log_weight[:, :-1] - log_weight[:, 1:]], axis=-1)


def fall_linear(xp: Namespace, mass: Array, log_weight: Array, zero_mass: Array) -> _Fall:
    """A along the breakpoints, on the linear scale; mass, log_weight (B, K) with weights descending."""
    scale, share = _scale(log_weight, log_weight[:, :1]), expm1_of(-_gap(xp, log_weight))
    if COMPILED and is_numpy(mass):
        from gsi_theory.arrays.kernels import race_fall

        return _Fall(scale, *race_fall(mass, scale, share, zero_mass))
    slope = xp.flip(running_sum(xp.flip(mass * scale, axis=-1)), axis=-1)
    return _sum_fall(xp, scale, slope, slope / scale, share, mass, zero_mass)


def _fall_wide(xp: Namespace, mass: Array, gap: Array, zero_mass: Array) -> _Fall:
    reverse = xp.concat([xp.zeros_like(gap[:, :1]), xp.flip(gap[:, 1:], axis=-1)], axis=-1)
    some = mass > 0
    log_mass = xp.where(some, xp.log(xp.where(some, mass, 1.0)), -xp.inf)
    ratio = xp.exp(xp.flip(decayed_log_cumsum(xp.flip(log_mass, axis=-1), reverse), axis=-1))
    return _sum_fall(xp, None, ratio, ratio, xp.expm1(-gap), mass, zero_mass)


def _sum_fall(
    xp: Namespace, scale: Array, slope: Array, ratio: Array, share: Array, mass: Array, zero_mass: Array
) -> _Fall:
    zero = xp.zeros_like(mass[:, :1])
    drop = -ratio * share
    rise = running_sum(xp.flip(drop[:, 1:], axis=-1))
    a = xp.concat([xp.flip(rise, axis=-1), zero], axis=-1) + zero_mass[:, None]
    heavier = xp.concat([zero, running_sum(mass)[:, :-1]], axis=-1)
    deficit = xp.clip(heavier + ratio, 0.0, 1.0)
    # A_{-1} = 1: the first drop is the whole of what A has lost at the first breakpoint.
    drop = xp.concat([deficit[:, :1], drop[:, 1:]], axis=-1)
    before = xp.concat([zero + 1.0, a[:, :-1]], axis=-1)
    # Where nothing is left of A there is nothing to lose.
    share = xp.clip(drop / xp.where(before > TINY, before, TINY), 0.0, 1.0)
    return _Fall(scale, slope, drop, share, a, deficit)


def log_fall(xp: Namespace, fall: _Fall) -> tuple[Array, Array]:
    """(log A_k, log A_k / A_{k-1}), (B, K) each: of A or of 1 - A, whichever is the smaller."""
    log_a, share = log_of_either(fall.a, fall.deficit), fall.share
    if highest(share) < 0.5:
        return log_a, log1p_of(-share)
    small = share < 0.5
    step = xp.concat([log_a[:, :1], log_a[:, 1:] - xp.where(log_a > -xp.inf, log_a, 0.0)[:, :-1]], axis=-1)
    quotient = xp.where(small, xp.log1p(-xp.where(small, share, 0.0)), step)
    return log_a, xp.where(quotient > 0.0, 0.0, quotient)


def score_gate(
    mass: Array, log_weight: Array, counts: Counts, zero_mass: Array, log_score: Array
) -> tuple[Array, Array]:
    """(M9): accept when the winning score w/T is at least exp(log_score) (B,), finite.

    Returns (log of accepted mass over μ (B, M, K), log P(reject) (B, M)): the accepted mass of y is
    μ w ∫_0^{min(1/w, 1/M)} G'(A) dv and P(reject) = G(A(1/M)) - G(0), both over P(N ≥ 1).
    """
    xp = array_api_compat.array_namespace(mass, log_weight)
    # Where every weight is zero nothing depends on the score: log 0 would make its gradient NaN.
    log_score = xp.where(xp.any(mass > 0, axis=-1), log_score, detached(log_score))
    # The gate is one more breakpoint: a candidate of mass zero whose weight is M. Past it the integral stands still.
    mass = xp.concat([mass, xp.zeros_like(mass[:, :1])], axis=-1)
    log_weight = xp.concat([_used(xp, mass[:, :-1], log_weight), log_score[:, None]], axis=-1)
    order = xp.argsort(log_weight, axis=-1, descending=True, stable=False)
    integrals, (log_a, deficit) = _integral(xp, _rank(xp, mass, order), _rank(xp, log_weight, order), counts, zero_mass)
    integral = _restore(xp, integrals, order)
    gate = (_restore(xp, v[:, None, :], order)[..., -1:] for v in (log_a, deficit))
    log_reject = counts.log_unbeaten(*gate)[..., 0]
    at_gate = integral[..., -1:] + (log_weight[:, :-1] - log_score[:, None])[:, None, :]
    accepted = xp.where((log_weight[:, :-1] >= log_score[:, None])[:, None, :], integral[..., :-1], at_gate)
    return accepted, log_reject


def tv_curve(mass: Floats, log_weight: Floats, counts: Counts) -> Floats:
    """TV(P_n, π) (M,) for counts (1, M), weights descending and all positive, from the crossing of P_n/π and one.

    With weights normalized, S_k = Σ_{i ≥ k} μ_i w_i and T_k = Σ_{i ≤ k} (A_{i-1}^n - A_i^n)/S_i = P_n/π at k, the mass
    of the j heaviest is 1 - A_j^n - S_{j+1} T_j, hence TV = A_j^n - S_{j+1} (1 - T_j) at the last j with T_j < 1.
    """
    from gsi_theory.arrays.kernels import race_curve

    fall = fall_linear(array_api_compat.array_namespace(mass), mass[None], log_weight[None], np.zeros(1))
    log_a = log_of_either(fall.a[0], fall.deficit[0])
    return race_curve(counts.fixed[0], log_a, np.append(fall.slope[0] / fall.slope[0, 0], 0.0))


def ratio_bound(log_w: Floats, n: int, log_cut: Floats | float = -np.inf) -> Floats:
    """log of P_n/π ≥ 1 - (1 - 1/max(w, M, 1))^n (M17), since A(v) ≥ (1 - v)_+ in (M4); log_cut: the gate's log M."""
    largest = np.maximum(np.maximum(log_w, log_cut), 0.0)
    with np.errstate(divide="ignore"):
        miss = np.log1p(-np.exp(-largest))
        return np.asarray(np.log(-np.expm1(n * miss)))


def log_noise(uniforms: Floats) -> Floats:
    """log T, T uniform on (0, 1), so that -log T is exponential."""
    return -exponential(uniforms)


# Compiled loops and balls are imported where they are called: numba and flint take long to import.


def pool_means(values: Floats, log_weight: Floats, ns: Ints, log_cuts: Floats) -> Floats | None:
    """`race_means`; None beyond its range."""
    from gsi_theory.rules.race_means import WIDEST, race_means

    if not (np.isfinite(log_weight).all() and (np.ptp(log_weight, axis=1) <= WIDEST).all()):
        return None
    return race_means(values, log_weight, ns, log_cuts)


def balls(levels: Levels, n: int, goal: int) -> tuple[list[arb], arb]:
    """(M4) in balls."""
    from gsi_theory.rules.race_balls import race_ratios

    return race_ratios(levels, n)


def ball_excess(mass: Sequence[Fraction], weight: Sequence[LogWeight], n: int, goal: int) -> list[arb]:
    """P_n/π - 1 in balls."""
    from gsi_theory.rules.race_balls import race_excess

    return race_excess(mass, weight, n, goal)


def score_balls(
    mass: Sequence[Fraction], weight: Sequence[LogWeight], n: int, score: LogWeight, goal: int
) -> tuple[list[arb], arb]:
    """(M9) in balls."""
    from gsi_theory.rules.race_balls import race_score_balls

    return race_score_balls(mass, weight, n, score, goal)


RACE = Rule(
    "race",
    log_ratio,
    summed_rounding,
    race_subsets.subset_means,
    race_subsets.subset_parts,
    log_noise,
    balls,
    score_gate=ScoreGate(score_gate, race_subsets.race_curve, race_subsets.race_parts, score_balls),
    tv_curve=tv_curve,
    ratio_bound=ratio_bound,
    pool_means=pool_means,
    ball_excess=ball_excess,
    converges=True,
)
