"""Unbiased race curves (M31) and their gate on the score (M9), in closed form: no quadrature.

Within a subset whose largest weight is w*, the race is this (permute-and-flip): candidates come in random order, each
is kept with probability w/w*, the first kept wins. So with ranks m ascending in weight, a_j = w_j/w_m, q_j = 1 − a_j
and e_k, d_k the means of subset_sums over the m − 1 lighter candidates at z = q, g = f a, the average over n-subsets is

    Σ_m p_m(n) [ f_m/n Σ_{k<n} e_k + Σ_{0<k<n} (1/k − 1/n) d_k ],   p_m(n) = C(m−1, n−1)/C(N, n),

every n from the same running sums. The score gate at M replaces the m lightest, those with w < M, by one term: with
a_j = w_j/M the accepted part of the subsets among them is C(m, n)/C(N, n) Σ_{0<k≤n} d_k/k, and the rejected part
C(m, n)/C(N, n) e_n (a subset with a heavier member always passes).
"""

from __future__ import annotations

import numpy as np

from gsi_theory.arrays import COMPILED
from gsi_theory.logscale import Array
from gsi_theory.subset_sums import Indices, divide, grow, largest_rank

if COMPILED:
    from gsi_theory import compiled_subsets

__all__ = ["race_curve", "race_parts"]

NEGLIGIBLE = 1e-18  # of the subsets: ranks that are hardly ever the largest
LANES = 64


def _ratios(log_weight: Array, log_top: float) -> tuple[Array, Array]:
    """(a, q = 1 − a) of weights relative to e^{log_top}."""
    gap = log_weight - log_top
    return np.exp(gap), -np.expm1(gap)


def _ranks(log_weight: Array, ns: Indices, lightest: int) -> list[tuple[int, Array, int]]:
    """(m, p_m(n) (M,), largest n that matters) of the ranks m > lightest that are ever the largest."""
    shares = largest_rank(log_weight.size, ns)
    found = []
    for m in range(lightest + 1, log_weight.size + 1):
        asked = ns[shares[m - 1] > NEGLIGIBLE]
        if asked.size:
            found.append((m, shares[m - 1], int(asked.max())))
    return found


def _sums(values: Array, a: Array, q: Array, most: int) -> tuple[Array, Array]:
    """(e (most+1,), d (V, most+1)) over candidates with ratios a, q = 1 − a."""
    e, d = np.zeros((1, most + 1)), np.zeros((values.shape[0], 1, most + 1))
    e[0, 0] = 1.0
    # Candidates come heaviest last: e_k starts near one and nothing underflows that is not negligible in the end.
    grow(e, d, q[:, None], a[:, None], values, 0)
    return e[0], d[:, 0]


def _reach(size: int, most: int) -> int:
    """Largest k to keep of `size` candidates, so that one can be left out for n ≤ most."""
    return most if 2 * most <= size else size


def _largest(values: Array, log_weight: Array, m: int, most: int) -> tuple[Array, Array, Array, Array, Array]:
    """(e, d, a, q of the lighter candidates, mean kernel (V, most+1) over n-subsets whose largest rank is m)."""
    a, q = _ratios(log_weight[: m - 1], log_weight[m - 1])
    e, d = _sums(np.ascontiguousarray(values[:, : m - 1]), a, q, most)
    n, k = np.arange(1, most + 1), np.arange(1, most)
    won = values[:, m - 1, None] * np.cumsum(e[:most]) / n
    before = np.zeros_like(won)
    before[:, 1:] = np.cumsum(d[:, 1:most] / k, axis=1) - np.cumsum(d[:, 1:most], axis=1) / n[1:]
    return e, d, a, q, np.concatenate([np.zeros((values.shape[0], 1)), won + before], axis=1)


def _below(values: Array, log_weight: Array, log_cut: float, ns: Indices) -> tuple[int, Array, Array, Array, Array]:
    """(m, e, d, a, q) of the m candidates lighter than the gate, ready for `divide`."""
    m = int(np.searchsorted(log_weight, log_cut))
    a, q = _ratios(log_weight[:m], log_cut)
    e, d = _sums(np.ascontiguousarray(values[:, :m]), a, q, _reach(m, int(ns.max())))
    return m, e, d, a, q


def _among(m: int, size: int, ns: Indices) -> Array:
    """C(m, n)/C(size, n) (M,)."""
    k = np.arange(int(ns.max()))
    factors = np.maximum(m - k, 0) / np.maximum(size - k, 1)
    return np.cumprod(factors)[ns - 1]


def race_curve(values: Array, log_weight: Array, ns: Indices, log_cut: float = -np.inf) -> Array:
    """Mean of f over winners that pass the gate (V, M); the probability to pass is that of f = 1.

    values (V, N) ≥ 0, log_weight (N,) finite, ascending; log_cut: log M in units of the weights, -inf for no gate.
    """
    total = np.zeros((values.shape[0], ns.size))
    lightest = 0
    if log_cut > log_weight[0]:
        lightest, e, d, _, _ = _below(values, log_weight, log_cut, ns)
        at = np.minimum(ns, e.size - 1)
        among = _among(lightest, log_weight.size, ns)
        total += among * np.cumsum(d[:, 1:] / np.arange(1, e.size), axis=1)[:, at - 1]
    for m, share, most in _ranks(log_weight, ns, lightest):
        kernel = _largest(values, log_weight, m, most)[-1]
        asked = ns <= most
        total[:, asked] += share[asked] * kernel[:, ns[asked]]
    return total


def race_parts(values: Array, log_weight: Array, ns: Indices, log_cut: float = -np.inf) -> Array:
    """Mean of the (gated) kernel over the n-subsets that hold candidate i (V, M, N); shapes as in race_curve, n < N."""
    size = log_weight.size
    out = np.zeros((values.shape[0], ns.size, size))
    lightest = 0
    if log_cut > log_weight[0]:
        lightest, e, d, a, q = _below(values, log_weight, log_cut, ns)
        held = _gated_held(e, d, q, values[:, :lightest] * a, ns)
        out[:, :, :lightest] += (_among(lightest, size, ns) * size / lightest)[:, None] * held
    for m, share, most in _ranks(log_weight, ns, lightest):
        e, d, a, q, kernel = _largest(values, log_weight, m, max(most, _reach(m - 1, most)))
        asked = np.flatnonzero(ns <= most)
        out[:, asked, m - 1] += (size / ns * share)[asked] * kernel[:, ns[asked]]
        column, weight = np.full(e.size + 2, -1), np.zeros(e.size + 2)
        column[ns[asked]], weight[ns[asked]] = asked, (share * size * (ns - 1) / (max(m - 1, 1) * ns))[asked]
        for at in range(0, m - 1, LANES):
            lanes = slice(at, min(at + LANES, m - 1))
            gain = np.ascontiguousarray(values[:, lanes] * a[lanes])
            low, high = divide(e, d, m - 1, q[lanes], gain)
            part = np.zeros((values.shape[0], ns.size, gain.shape[1]))
            _add_held(low, high, q[lanes], gain, values[:, m - 1].copy(), weight, column, part)
            out[:, :, lanes] += part
    return out


def _add_held(
    low: Array, high: Array, q: Array, gain: Array, top: Array, weight: Array, column: Indices, out: Array
) -> None:
    """Add weight · mean kernel over n-subsets that hold rank m and a lighter candidate i, for each i (V, M, L).

    low, high: means without i; top: f_m (V,). Shares of m, of i, of another when i comes later, and earlier:
    1/(n(n−1)) [f_m Σ e_k ((n−1−k) + (k+1) q) + g Σ e_k (n−1−k) + Σ d_k (n−k)(n−1−k)/k + q Σ d_k (n−1−k)], k ≤ n − 2.
    """
    if COMPILED:
        compiled_subsets.race_sums(low, high, q, gain, top, weight, column, out)
        return
    k = np.arange(low.shape[0])[:, None]
    zeroth, first = np.cumsum(low, axis=0), np.cumsum(k * low, axis=0)
    total, turned = np.cumsum(high, axis=1), np.cumsum(k * high, axis=1)
    inverse = np.cumsum(high / np.maximum(k, 1), axis=1)
    for n in np.flatnonzero(column >= 0):
        if n >= 2:
            at = n - 2
            rest = (n - 1) * zeroth[at] - first[at]
            won = top[:, None] * (rest + q * (zeroth[at] + first[at])) + gain * rest
            won += n * (n - 1) * inverse[:, at] - (2 * n - 1) * total[:, at] + turned[:, at]
            won += q * ((n - 1) * total[:, at] - turned[:, at])
            out[:, column[n]] += weight[n] / (n * (n - 1)) * won


def _gated_held(e: Array, d: Array, q: Array, gain: Array, ns: Indices) -> Array:
    """Mean of the accepted part over n-subsets of the light candidates that hold i (V, M, L), 0 where n > L."""
    light = q.size
    low, high = divide(e, d, light, q, gain)
    k = np.arange(low.shape[0])[:, None]
    zeroth, total, inverse = np.cumsum(low, axis=0), np.cumsum(high, axis=1), np.cumsum(high / np.maximum(k, 1), axis=1)
    at, n = np.minimum(ns, light) - 1, ns[:, None]
    held = (gain[:, None] * zeroth[at] + n * inverse[:, at] - total[:, at] + q * total[:, at]) / n
    return np.where(n <= light, held, 0.0)
