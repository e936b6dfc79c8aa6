r"""The target of order q (M41), Best-of-Tails (arXiv 2603.06797): π = π_B (1 + (q-1)β(r - λ))_+^{1/(q-1)}, Σπ = 1.

Written "order:Q", 0 ≤ Q ≤ LARGEST, not 1, where the limit is the target kl; order 2 is the target chi2, order 0 the
reverse KL. It is the largest E_P r - E_{π_B} f_q(P/π_B)/β, f_q(x) = (x^q - 1 - q(x-1))/(q(q-1)).

How λ is computed. With κ = |q-1|β, a = 1/(q-1) and an *anchor*, an outcome of reward ρ, the weight of reward r is
(s + h)^a, s = 1 + (q-1)β(ρ - λ) ≥ 0 and h = κ|r - ρ|: two positive terms, where 1 + (q-1)β(r - λ) would cancel.
For q > 1 the anchor is the least reward of positive weight, found by bisection over the levels (at s = 0 the levels
above it must sum to less than one), for q < 1 the largest reward, and s solves Σ π_B (s + h)^a = 1 in log s.

Its error. The sum, evaluated, is off by a relative δ, so the true s lies between the roots for sums 1 - δ and 1 + δ;
both are computed, and with them how far each weight may be off. Where that is more than an eighth of it (only just
above zero) the outcome is *vague*, and its weight the largest it may be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.optimize import brentq

from gsi_theory.arrays.logscale import log_sum, normalize
from gsi_theory.errors import InputError
from gsi_theory.targets.target import Aim, Target
from gsi_theory.types import Flags, Floats

__all__ = ["order"]

EPS = float(np.finfo(np.float64).eps)
LARGEST, NEAREST, DEEP, MOST = 1e3, 1e-6, 800.0, 0.125


def _log_distance(scale: float, r: Floats, anchor: float) -> Floats:
    """log of scale·(r - anchor) (K,), -inf where that is not positive; without overflow for rewards of any size."""
    with np.errstate(over="ignore", divide="ignore"):
        apart = np.maximum(r - anchor, 0.0)
        half = np.log(scale) + np.log(np.maximum(0.5 * r - 0.5 * anchor, 0.0)) + np.log(2.0)
        near = scale * apart
        return np.where(np.isfinite(near) & (near > 1e-290), np.log(near), half)


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f, monotone on [low, high], changes its sign; the end it is nearest to, if it does not."""
    ends = f(low), f(high)
    if ends[0] * ends[1] >= 0:
        return low if abs(ends[0]) <= abs(ends[1]) else high
    return float(brentq(f, low, high, xtol=1e-300, rtol=4.0 * EPS, maxiter=500))


def _aim(q: float, log_base: Floats, reward: Floats, beta: float) -> Aim:
    if beta == 0:
        zero = np.zeros(reward.size)
        return Aim(zero, reward, 0.0, 0.0, zero, zero, 0.0)
    live = log_base > -np.inf
    log_p = normalize(log_base)
    a, scale = 1.0 / (q - 1.0), abs(q - 1.0) * beta
    levels = np.unique(reward[live])[::-1]
    # what the base never says takes no part in λ; for q < 1 a reward above all that it says has no weight of its own
    r = np.minimum(reward, levels[0]) if q < 1 else reward

    def distances(anchor: float) -> Floats:
        return _log_distance(scale, -r, -anchor) if q < 1 else _log_distance(scale, r, anchor)

    def total(x: float, log_h: Floats, some: Flags) -> float:
        some = some & live
        return float(log_sum(log_p[some] + a * np.logaddexp(x, log_h[some])))

    def missing(k: int) -> float:
        """log of what the levels above the k-th sum to, at s = 0 there."""
        return total(-np.inf, distances(float(levels[k])), r > levels[k]) if k else -np.inf

    def last_below(bound: float) -> int:
        low, high = 0, levels.size  # missing(low) < bound ≤ missing(high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if missing(middle) < bound else (low, middle)
        return low

    at = last_below(0.0) if q > 1 else 0
    anchor, above = float(levels[at]), missing(at)
    inside = r >= anchor if q > 1 else r <= anchor
    log_h = distances(anchor)
    # The least reward of all weighs one at most, the largest one at least, and for q < 1 its mass gives the lower end.
    bracket = (1.0 - q) * float(log_sum(log_p[live & (r == anchor)])) - 1.0, 1e-3
    if q > 1:
        next_level = levels[at + 1 : at + 2]
        nearest = float(_log_distance(scale, levels[at : at + 1], float(next_level[0]))[0]) if next_level.size else 1e-3
        bracket = min(nearest, 0.0) - DEEP / min(a, 1.0), nearest

    def solved(wanted: float) -> float:
        return -np.inf if above >= wanted else _root(lambda x: total(x, log_h, inside) - wanted, *bracket)

    def log_weights(x: float) -> Floats:
        return np.where(inside, a * np.logaddexp(x, log_h), -np.inf)

    x = solved(0.0)
    log_g = log_weights(x)
    pi = np.exp(log_p + log_g)
    depth = np.where(pi > 0, np.abs(log_p) + 2.0 * np.abs(np.where(pi > 0, log_g, 0.0)) + 8.0 * abs(a), 0.0)
    delta = EPS * (np.log2(r.size + 1.0) + 16.0 + float(pi @ depth)) + abs(float(np.sum(pi)) - 1.0)
    fewer, more = solved(-delta), solved(delta)
    ends = log_weights(fewer), log_weights(more)
    known = inside & (ends[0] > -np.inf)
    moved = np.where(known, np.abs(np.where(known, ends[1], 0.0) - np.where(known, ends[0], 0.0)), np.inf)
    size = moved / EPS + 8.0 * abs(a) + 4.0 * np.abs(np.where(known, log_g, 0.0))
    unclear, slack = inside & (moved > MOST), 0.0
    if q > 1:
        log_g = np.where(unclear, ends[1], log_g)
        border = (r < anchor) & (r >= levels[last_below(delta)])  # levels that may weigh something too
        if border.any():
            most = np.log(2.0 * delta) - log_sum(log_p[live & (r == levels[at + 1])])
            log_g = np.where(border, min(0.0, float(most)), log_g)
            unclear = unclear | border
    if unclear.any():
        slack = float(np.sum(np.exp(log_p[unclear] + log_g[unclear])))
        unclear = unclear | (log_g == -np.inf)
    with np.errstate(over="ignore"):
        roots = [anchor - np.expm1(end) / (q - 1.0) / beta for end in (x, fewer, more)]
    lam = np.clip(roots, levels[-1], levels[0]).tolist()
    return Aim(
        log_g,
        np.where(log_g > -np.inf, _as_reward(r, log_g, lam[0], q, beta), -np.inf),
        beta,
        beta * lam[0],
        np.where(log_g > -np.inf, r, -np.inf),
        np.where(unclear | (log_g == -np.inf), 0.0, size),
        beta * abs(lam[0]) + 8.0 * (1.0 + abs(a)) + beta * abs(lam[2] - lam[1]) / EPS,
        unclear if unclear.any() else None,
        slack,
    )


def _as_reward(r: Floats, log_g: Floats, lam: float, q: float, beta: float) -> Floats:
    """λ + log g/β (K,), without the rounding of a small log g where 1 + (q-1)β(r - λ) is near one."""
    with np.errstate(over="ignore", invalid="ignore"):
        y = (q - 1.0) * beta * (r - lam)
        near = np.abs(y) < 0.25
        y = np.where(near & (y != 0), y, 1.0)
        rest = np.where(near & (y != 1.0), np.log1p(y) / y - 1.0, 0.0)
        return np.where(near, r + (r - lam) * rest, lam + log_g / beta)


def order(parameter: str) -> Target:
    """The target of order q, a number from 0 to LARGEST other than 1, as text. Raises InputError otherwise."""
    try:
        q = float(parameter)
    except ValueError:
        q = np.nan
    if not (0.0 <= q <= LARGEST and abs(q - 1.0) >= NEAREST):
        cure = f"give a number q from 0 to {LARGEST:g}, not within {NEAREST:g} of 1, where its limit is the target 'kl'"
        raise InputError(f"target 'order:{parameter}': {cure}")
    words = f"base·(1 + {q - 1.0:g}·β(reward - λ))^(1/{q - 1.0:g})" + (", or 0 where that is negative" if q > 1 else "")
    return Target(f"order:{parameter}", words, partial(_aim, q))
