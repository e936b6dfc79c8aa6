"""One prompt's curve from its draws: values at every n, and how far they scatter when the prompt is drawn anew (M47).

The variance is that of the jackknife over draws for n < N: never too small on average (M31). At n = N there is one
subset, and Efron and Stein's inequality serves, Var Z ≤ E Σ_j (Z − Z_j)² with Z_j the statistic of the other draws:

    V(N) = Σ_j (U(N) − U without j at N − 1)² = N (U(N) − U(N − 1))² + N/(N − 1) V_J(N − 1).

Symbols: R rows, each `count` draws alike; N draws in all; M numbers n; V values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory.estimate import checked_pool, curves, subset_mean
from gsi_theory.samples.subset_shares import share_rows
from gsi_theory.types import Floats, Ints

__all__ = ["DrawCurve", "best_of_n", "closed_at_all", "shorter", "weighted_by_reward"]

_WORK = 1 << 18  # draws times n up to which a prompt's means by a rule are computed
_MOST = 1 << 13  # draws of a prompt that rules are asked about one by one


@dataclass(frozen=True)
class DrawCurve:
    """value and variance (V, M), NaN where nothing was computed; simulation (V, M): its error where subsets were
    drawn at random (a standard error, contained in the variance), 0 where it is exact. variance of one draw: inf."""

    value: Floats
    variance: Floats
    simulation: Floats


def shorter(ns: Ints, size: int) -> Ints:
    """ns (M,) with N − 1 behind them: what `closed_at_all` needs."""
    return np.append(np.minimum(ns, size), max(size - 1, 1))


def closed_at_all(ns: Ints, size: int, value: Floats, jackknife: Floats) -> tuple[Floats, Floats]:
    """(value, variance) (V, M) from those at `shorter(ns)`, the jackknife's at n = N being anything."""
    last, before = value[:, -1:], jackknife[:, -1:]
    value, jackknife = value[:, :-1], jackknife[:, :-1]
    if size == 1:
        return value, np.full(value.shape, np.inf)
    whole = size * (value - last) ** 2 + size / (size - 1) * before
    return value, np.where(ns >= size, whole, jackknife)


def best_of_n(reward: Floats, values: Floats, counts: Ints, ns: Ints) -> DrawCurve:
    """Best-of-n, ties shared, from rows alike: reward, counts (R,), values (V, R), ns (M,) in 1..N.

    Exact to 1e-12 of max f − min f. Cost O(R M).
    """
    size = int(counts.sum())
    level = np.unique(reward, return_inverse=True)[1]
    members = np.bincount(level, weights=counts).astype(np.float64)
    means = np.array([np.bincount(level, weights=counts * row) for row in values]) / members
    upto: Floats = np.cumsum(members)
    asked = shorter(ns, size)
    share = np.diff(share_rows(upto, size, asked), axis=0, prepend=0.0)
    low = values.min(axis=1, keepdims=True)
    value = low + np.einsum("vl,lm->vm", means - low, share)
    value = np.clip(value, low, values.max(axis=1, keepdims=True))
    if size == 1:
        return DrawCurve(value[:, :-1], np.full((len(values), ns.size), np.inf), np.zeros((len(values), ns.size)))
    n = np.minimum(asked, size - 1)
    if (n != asked).any():
        share = np.diff(share_rows(upto, size, n), axis=0, prepend=0.0)
    # subsets that hold a draw of level l: all others below l, or a higher level m decides
    others = share_rows(np.asarray(upto - 1.0), size - 1, n - 1)
    above = np.diff(others, axis=0, prepend=0.0)[None] * means[:, :, None]
    above = np.cumsum(above[:, ::-1], axis=1)[:, ::-1] - above
    alone = (size / n) * share / members[:, None]
    centre = np.einsum("vl,lm->vm", means, share)
    jackknife = np.empty((len(values), asked.size))
    for v, row in enumerate(values):
        rest = (members[level] * means[v, level] - row) / np.maximum(members[level] - 1.0, 1.0)
        part = above[v, level] + row[:, None] * alone[level] + rest[:, None] * (others - alone)[level]
        jackknife[v] = np.einsum("r,rm->m", counts.astype(np.float64), (part - centre[v]) ** 2)
    jackknife *= (size - 1) / size * (n / (size - n)) ** 2
    value, variance = closed_at_all(ns, size, value, jackknife)
    return DrawCurve(value, variance, np.zeros(value.shape))


def weighted_by_reward(
    reward: Floats, values: Floats, counts: Ints, ns: Ints, beta: float, rule: str, errors: bool = True
) -> DrawCurve:
    """Winners by a rule of the table at weights e^{βr} (M31): softmax is soft best-of-n, race the race; as best_of_n.

    NaN for n where draws · n exceed 2¹⁸, or beyond 2¹³ draws: the rules take draws one by one. errors: without, the
    variance is NaN.
    """
    size = int(counts.sum())
    shape = len(values), ns.size
    out = DrawCurve(np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape))
    known = ns * size <= _WORK
    if size > _MOST or not known.any():
        return out
    each = np.repeat(np.arange(counts.size), counts)
    if not errors:
        out.value[:, known] = curves(checked_pool(values[:, each], beta * reward[each], ns[known], rule))
        return out
    means = subset_mean(values[:, each], beta * reward[each], ns[known], rule)
    out.value[:, known], out.variance[:, known] = means.value, means.stderr**2
    return out
