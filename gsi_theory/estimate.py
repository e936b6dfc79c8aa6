"""Unbiased curves from a pool (M31): the mean of f over winners, for every n up to the pool's size, with errors.

The estimate is the average of a rule's expected f over **all** n-subsets of the N candidates (a U-statistic): exact,
not sampled, and unbiased for E_{P_n} f whatever the weights, their tails included. None exists for n > N.

Standard errors are those of the jackknife over candidates, exact for this statistic. Its square is an unbiased estimate
of the part of the variance that is linear in the candidates, and counts a part of order c by c(N−1)/(N−c) ≥ c: for
n < N it is never too small on average. At n = N there is one subset, and Efron and Stein's inequality serves, Var U ≤
E Σ_j (U − U_j)² with U_j the statistic of the other draws. For n near N few candidates decide, and it is noisy.

A value is any number of a candidate: reward, gold reward, correctness, tokens, or an indicator. Several values share
one pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gsi_theory.arrays.namespace import as_numbers, numbers_or_indicators
from gsi_theory.errors import InputError
from gsi_theory.rules.rule import Rule, ScoreGate
from gsi_theory.rules.table import rule_named, score_gate_of
from gsi_theory.types import Floats, Ints

__all__ = [
    "Estimate",
    "LeaveOneOut",
    "SubsetPool",
    "checked_pool",
    "curves",
    "deviations",
    "leave_one_out",
    "refuse",
    "subset_mean",
]

FAR, GAP = 1e6, 2000.0  # nats
LARGEST_VALUE = 1e150  # whose squares are floats
ENTRIES = 1 << 25  # of the largest array of deviations kept at once


@dataclass(frozen=True)
class Estimate:
    """value and stderr, one entry per n: (M,), or (V, M) for several values; stderr is +inf for a pool of one."""

    value: Floats
    stderr: Floats


@dataclass(frozen=True)
class LeaveOneOut:
    """value (V, M), deviation (V, M, N): the jackknife covariance of two values is Σ_j of their deviations' product."""

    value: Floats
    deviation: Floats


def subset_mean(values: ArrayLike, log_weight: ArrayLike, ns: ArrayLike, rule: str | Rule = "softmax") -> Estimate:
    """Unbiased estimate of E f(winner) among n draws (M31), for every n of `ns`, by the rule.

    values (N,) or (V, N); log_weight (N,) in nats, any scale (-inf: weight zero); ns: whole numbers 1..N, any order.
    value is exact to about 1e-13 of max f − min f, for weights relative to the largest, and lies in [min f, max f].
    Cost O(N · max n) a node: about 100 nodes and 4 more for each nat of spread (softmax), one for each candidate that
    is ever the heaviest (race).
    Raises InputError on NaN, weights of +inf, n out of range, shapes that differ, an unknown rule.
    """
    pool = checked_pool(values, log_weight, ns, rule)
    value = curves(pool)
    chunk = max(1, ENTRIES // (pool.values.size + 1))
    parts = [deviations(replace(pool, ns=pool.ns[at : at + chunk])) for at in range(0, pool.ns.size, chunk)]
    stderr = np.concatenate([np.sqrt(np.sum(part * part, axis=-1)) for part in parts], axis=-1)
    return Estimate(value[0], stderr[0]) if np.ndim(values) == 1 else Estimate(value, stderr)


def leave_one_out(values: ArrayLike, log_weight: ArrayLike, ns: ArrayLike, rule: str | Rule = "softmax") -> LeaveOneOut:
    """As `subset_mean`, with each candidate's share in the error, from which every covariance follows.

    deviation_j = √((N−1)/N) · (U − U without candidate j); without the factor at n = N. Memory: V·M·N numbers.
    """
    pool = checked_pool(values, log_weight, ns, rule)
    return LeaveOneOut(curves(pool), deviations(pool))


@dataclass(frozen=True)
class SubsetPool:
    """Checked input of a curve: values (V, N), log_weight (N,), ns (M,), rule; log_cut gates the winning score (M9)."""

    values: Floats
    log_weight: Floats
    ns: Ints
    rule: Rule
    log_cut: float = -np.inf

    @property
    def gate(self) -> ScoreGate | None:
        """The gate on the score, by which a winner may be refused, so that f = 1 does not average to one; or None."""
        return self.rule.score_gate if self.log_cut > -np.inf else None


def checked_pool(
    values: ArrayLike, log_weight: ArrayLike, ns: ArrayLike, rule: str | Rule, log_cut: float = -np.inf
) -> SubsetPool:
    """Input as float64 arrays, or InputError naming the first entry that is wrong."""
    weight, table = as_numbers(log_weight, "log_weight"), np.atleast_2d(numbers_or_indicators(values, "values"))
    if weight.ndim != 1 or weight.size == 0 or table.ndim != 2 or table.shape[1] != weight.size:
        raise InputError(
            f"values of shape {np.shape(values)}, log_weight of shape {weight.shape}: give (N,) or (V, N), and (N,)"
        )
    refuse(~(np.abs(table) <= LARGEST_VALUE), table, "values", f"give finite numbers within ±{LARGEST_VALUE:g}")
    refuse(np.isnan(weight) | (weight == np.inf), weight, "log_weight", "give nats (-inf: weight zero)")
    rule = rule_named(rule)
    if log_cut > -np.inf:
        score_gate_of(rule)
    counts = np.atleast_1d(as_numbers(ns, "ns"))
    if counts.ndim != 1 or counts.size == 0:
        raise InputError(f"ns of shape {counts.shape}: give one list of whole numbers")
    wrong = (counts != np.floor(counts)) | (counts < 1) | (counts > weight.size)
    refuse(wrong, counts, "ns", f"no unbiased estimate exists beyond the pool; give whole numbers 1..{weight.size}")
    weight, log_cut = _drawn_near(weight, log_cut)
    top = weight.max()
    if np.isfinite(top):  # sums of weights keep their digits; the gate is at M in the same units
        weight, log_cut = weight - top, log_cut - top
    return SubsetPool(table, weight, counts.astype(np.int64), rule, log_cut)


def _drawn_near(weight: Floats, log_cut: float) -> tuple[Floats, float]:
    """The same weights and cut with gaps of at most GAP nats where they spread over FAR or more.

    Only order counts across such a gap: e^{-GAP} is nothing beside 1. Far from zero the nodes of the quadrature, and
    differences of weights, would lose their digits.
    """
    points = np.append(weight, log_cut)
    alive = np.flatnonzero(np.isfinite(points))
    if alive.size < 2 or 0.5 * points[alive].max() - 0.5 * points[alive].min() < 0.5 * FAR:
        return weight, log_cut
    order = alive[np.argsort(points[alive], kind="stable")]
    gaps = np.minimum(0.5 * points[order[1:]] - 0.5 * points[order[:-1]], 0.5 * GAP)  # halves: no overflow
    points[order] = np.concatenate([[0.0], np.cumsum(2.0 * gaps)])
    return points[:-1], float(points[-1])


def refuse(bad: NDArray[np.bool_], array: Floats, name: str, cure: str) -> None:
    """InputError naming the first entry of `array` that is bad, if any is."""
    where = np.argwhere(bad)
    if where.size:
        at = ", ".join(str(i) for i in where[0])
        raise InputError(f"{name}[{at}] = {float(array[tuple(where[0])])!r}: {cure}")


def _ranked(pool: SubsetPool) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """(values − min f, log-weights, order), ranks ascending in weight; a gate adds a row f = 1."""
    order = np.argsort(pool.log_weight, kind="stable")
    weight = pool.log_weight[order]
    shifted = (pool.values - pool.values.min(axis=1, keepdims=True))[:, order]
    if pool.gate:
        shifted = np.vstack([shifted, np.ones(order.size)])
    return np.ascontiguousarray(shifted), weight, order


def curves(pool: SubsetPool) -> Floats:
    """The averages over all n-subsets (V, M)."""
    ns, at = np.unique(pool.ns, return_inverse=True)
    return _curves(replace(pool, ns=ns))[:, at]


def _curves(pool: SubsetPool) -> Floats:
    """As `curves`; ns ascending, each once."""
    values, weight, _ = _ranked(pool)
    low, high = pool.values.min(axis=1, keepdims=True), pool.values.max(axis=1, keepdims=True)
    if pool.gate:
        total = pool.gate.subset_means(values, weight, pool.ns, pool.log_cut)
        return total[:-1] + low * np.clip(total[-1], 0.0, 1.0)
    return np.clip(low + pool.rule.subset_means(values, weight, pool.ns), low, high)


def deviations(pool: SubsetPool) -> Floats:
    """(V, M, N): √((N−1)/N) (U − U without j) = √((N−1)/N) n/(N−n) (mean over subsets with j − U) for n < N.

    At n = N the statistic without j is that of n = N − 1, and there is no factor: U(N) − U(N−1) without j.
    """
    size = pool.log_weight.size
    if size == 1:
        return np.full((*pool.values.shape[:1], pool.ns.size, 1), np.inf)
    ns, at = np.unique(np.minimum(pool.ns, size - 1), return_inverse=True)
    values, weight, order = _ranked(pool)
    if pool.gate:
        parts = pool.gate.subset_parts(values, weight, ns, pool.log_cut)
    else:
        parts = pool.rule.subset_parts(values, weight, ns)
    parts = parts - parts.mean(axis=-1, keepdims=True)
    if pool.gate:
        parts = parts[:-1] + pool.values.min(axis=1)[:, None, None] * parts[-1]
    out = np.empty_like(parts)
    out[:, :, order] = parts * (np.sqrt((size - 1) / size) * ns / (size - ns))[:, None]
    out, whole = out[:, at], pool.ns == size
    if whole.any():
        ends = curves(replace(pool, ns=np.array([size - 1, size])))
        out[:, whole] = out[:, whole] * np.sqrt(size / (size - 1)) + np.diff(ends)[:, :, None]
    return out
